# Training: base models to optimality, then along the ridge. Each job has its own process; on a
# cluster, it is submitted.


rule train_base:
    input:
        dataset=f"results/data/{ID}/images.safetensors",
        info=f"results/data/{ID}/info.json",
    output:
        weights=f"{RESULTS}/models/{{base_id}}/weights.safetensors",
        history=f"{RESULTS}/models/{{base_id}}/history.parquet",
        summary=f"{RESULTS}/models/{{base_id}}/model.json",
    log:
        f"{LOGS}/train_base/{{base_id}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train_base/{{base_id}}.tsv"
    wildcard_constraints:
        base_id=model_ids.TRAINED_ID,
    conda:
        "../envs/skeletons.yaml"
    threads: CONFIG.compute.threads
    resources:
        gpu_jobs=GPU_JOBS,
    params:
        **process("train_base"),
    script:
        "../scripts/stage.py"


# A trained model that the user brings, in place of a trained base.
rule adopt:
    input:
        checkpoint=lambda wildcards: PLAN.checkpoint_of(wildcards.base_id),
        dataset=f"results/data/{ID}/images.safetensors",
        info=f"results/data/{ID}/info.json",
    output:
        weights=f"{RESULTS}/models/{{base_id}}/weights.safetensors",
        summary=f"{RESULTS}/models/{{base_id}}/model.json",
    log:
        f"{LOGS}/adopt/{{base_id}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/adopt/{{base_id}}.tsv"
    wildcard_constraints:
        base_id=model_ids.OWN_ID,
    conda:
        "../envs/skeletons.yaml"
    threads: CONFIG.compute.threads
    resources:
        gpu_jobs=GPU_JOBS,
    params:
        **process("adopt"),
    script:
        "../scripts/stage.py"


rule regularize:
    input:
        unpack(parent_files),
        dataset=f"results/data/{ID}/images.safetensors",
        base=f"{RESULTS}/models/{{base_id}}/weights.safetensors",
    output:
        weights=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}/weights.safetensors",
        history=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}/history.parquet",
        walk=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}/walk.parquet",
        summary=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}/model.json",
        optimizer=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}/optimizer.safetensors",
    log:
        f"{LOGS}/regularize/{{base_id}}_l1={{l1}}_ep={{epochs}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/regularize/{{base_id}}_l1={{l1}}_ep={{epochs}}.tsv"
    conda:
        "../envs/skeletons.yaml"
    threads: CONFIG.compute.threads
    resources:
        gpu_jobs=GPU_JOBS,
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
        weights=f"{RESULTS}/models/{{base_id}}_untrained/weights.safetensors",
        summary=f"{RESULTS}/models/{{base_id}}_untrained/model.json",
    log:
        f"{LOGS}/untrained/{{base_id}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/untrained/{{base_id}}.tsv"
    wildcard_constraints:
        base_id=model_ids.TRAINED_ID,
    conda:
        "../envs/skeletons.yaml"
    threads: CONFIG.compute.threads
    resources:
        gpu_jobs=GPU_JOBS,
    params:
        **process("untrained"),
    script:
        "../scripts/stage.py"


use rule train_base as reorder with:
    output:
        weights=f"{RESULTS}/models/{{base_id}}_order={{order}}/weights.safetensors",
        history=f"{RESULTS}/models/{{base_id}}_order={{order}}/history.parquet",
        summary=f"{RESULTS}/models/{{base_id}}_order={{order}}/model.json",
    log:
        f"{LOGS}/reorder/{{base_id}}_order={{order}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/reorder/{{base_id}}_order={{order}}.tsv"
    params:
        **process("reorder"),


# It has its own process, because it draws torch's random numbers, but is not submitted.
localrules:
    untrained,
