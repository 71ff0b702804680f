# Training: base models to optimality, then along the ridge. Each job has its own process; on a
# cluster, it is submitted.


rule train_base:
    input:
        dataset=f"results/data/{ID}/images.safetensors",
        info=f"results/data/{ID}/info.json",
    output:
        weights=f"{RESULTS}/models/{{base}}/weights.safetensors",
        history=f"{RESULTS}/models/{{base}}/history.parquet",
        summary=f"{RESULTS}/models/{{base}}/model.json",
    wildcard_constraints:
        base=model_ids.TRAINED_ID,
    log:
        f"{LOGS}/train_base/{{base}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train_base/{{base}}.tsv"
    conda:
        "../envs/skeletons.yaml"
    threads: CONFIG.compute.threads
    params:
        **process("train_base"),
    script:
        "../scripts/stage.py"


# A trained model that the user brings, in place of a trained base.
rule adopt:
    input:
        checkpoint=lambda wildcards: PLAN.checkpoint_of(wildcards.base),
        dataset=f"results/data/{ID}/images.safetensors",
        info=f"results/data/{ID}/info.json",
    output:
        weights=f"{RESULTS}/models/{{base}}/weights.safetensors",
        summary=f"{RESULTS}/models/{{base}}/model.json",
    wildcard_constraints:
        base=model_ids.OWN_ID,
    log:
        f"{LOGS}/adopt/{{base}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/adopt/{{base}}.tsv"
    conda:
        "../envs/skeletons.yaml"
    threads: CONFIG.compute.threads
    params:
        **process("adopt"),
    script:
        "../scripts/stage.py"


rule regularize:
    input:
        unpack(parent_files),
        dataset=f"results/data/{ID}/images.safetensors",
        base=f"{RESULTS}/models/{{base}}/weights.safetensors",
    output:
        weights=f"{RESULTS}/models/{{base}}_l1={{l1}}_ep={{epochs}}/weights.safetensors",
        history=f"{RESULTS}/models/{{base}}_l1={{l1}}_ep={{epochs}}/history.parquet",
        walk=f"{RESULTS}/models/{{base}}_l1={{l1}}_ep={{epochs}}/walk.parquet",
        summary=f"{RESULTS}/models/{{base}}_l1={{l1}}_ep={{epochs}}/model.json",
        optimizer=f"{RESULTS}/models/{{base}}_l1={{l1}}_ep={{epochs}}/optimizer.safetensors",
    log:
        f"{LOGS}/regularize/{{base}}_l1={{l1}}_ep={{epochs}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/regularize/{{base}}_l1={{l1}}_ep={{epochs}}.tsv"
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
        weights=f"{RESULTS}/models/{{base}}_untrained/weights.safetensors",
        summary=f"{RESULTS}/models/{{base}}_untrained/model.json",
    wildcard_constraints:
        base=model_ids.TRAINED_ID,
    log:
        f"{LOGS}/untrained/{{base}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/untrained/{{base}}.tsv"
    conda:
        "../envs/skeletons.yaml"
    threads: CONFIG.compute.threads
    params:
        **process("untrained"),
    script:
        "../scripts/stage.py"


use rule train_base as reorder with:
    output:
        weights=f"{RESULTS}/models/{{base}}_order={{order}}/weights.safetensors",
        history=f"{RESULTS}/models/{{base}}_order={{order}}/history.parquet",
        summary=f"{RESULTS}/models/{{base}}_order={{order}}/model.json",
    log:
        f"{LOGS}/reorder/{{base}}_order={{order}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/reorder/{{base}}_order={{order}}.tsv"
    params:
        **process("reorder"),


# It has its own process, because it draws torch's random numbers, but is not submitted.
localrules:
    untrained,
