# Training: base models to optimality, then along the ridge. Each job has its own process; on a
# cluster, it is submitted.


rule train_base:
    input:
        dataset=f"results/data/{ID}/images.safetensors",
        info=f"results/data/{ID}/info.json",
    output:
        weights=f"{RESULTS}/models/seed={{seed}}/weights.safetensors",
        history=f"{RESULTS}/models/seed={{seed}}/history.parquet",
        summary=f"{RESULTS}/models/seed={{seed}}/model.json",
    log:
        f"{LOGS}/train_base/seed={{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train_base/seed={{seed}}.tsv"
    conda:
        "../envs/skeletons.yaml"
    threads: CONFIG.compute.threads
    params:
        **process("train_base"),
    script:
        "../scripts/stage.py"


rule regularize:
    input:
        unpack(parent_files),
        dataset=f"results/data/{ID}/images.safetensors",
        base=f"{RESULTS}/models/seed={{seed}}/weights.safetensors",
    output:
        weights=f"{RESULTS}/models/seed={{seed}}_l1={{l1}}_ep={{epochs}}/weights.safetensors",
        history=f"{RESULTS}/models/seed={{seed}}_l1={{l1}}_ep={{epochs}}/history.parquet",
        walk=f"{RESULTS}/models/seed={{seed}}_l1={{l1}}_ep={{epochs}}/walk.parquet",
        summary=f"{RESULTS}/models/seed={{seed}}_l1={{l1}}_ep={{epochs}}/model.json",
        optimizer=f"{RESULTS}/models/seed={{seed}}_l1={{l1}}_ep={{epochs}}/optimizer.safetensors",
    log:
        f"{LOGS}/regularize/seed={{seed}}_l1={{l1}}_ep={{epochs}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/regularize/seed={{seed}}_l1={{l1}}_ep={{epochs}}.tsv"
    conda:
        "../envs/skeletons.yaml"
    threads: CONFIG.compute.threads
    params:
        **process("regularize"),
    script:
        "../scripts/stage.py"


# Controls of the bases, made in the same way and from the same settings.
rule untrained:
    input:
        dataset=f"results/data/{ID}/images.safetensors",
        info=f"results/data/{ID}/info.json",
    output:
        weights=f"{RESULTS}/models/seed={{seed}}_untrained/weights.safetensors",
        summary=f"{RESULTS}/models/seed={{seed}}_untrained/model.json",
    log:
        f"{LOGS}/untrained/seed={{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/untrained/seed={{seed}}.tsv"
    conda:
        "../envs/skeletons.yaml"
    threads: CONFIG.compute.threads
    params:
        **process("untrained"),
    script:
        "../scripts/stage.py"


use rule train_base as reorder with:
    output:
        weights=f"{RESULTS}/models/seed={{seed}}_order={{order}}/weights.safetensors",
        history=f"{RESULTS}/models/seed={{seed}}_order={{order}}/history.parquet",
        summary=f"{RESULTS}/models/seed={{seed}}_order={{order}}/model.json",
    log:
        f"{LOGS}/reorder/seed={{seed}}_order={{order}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/reorder/seed={{seed}}_order={{order}}.tsv"
    params:
        **process("reorder"),


# It has its own process, because it draws torch's random numbers, but is not submitted.
localrules:
    untrained,
