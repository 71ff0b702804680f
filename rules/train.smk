# Training: base models to optimality, then along the ridge. A process and, on a cluster, a job each.


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
        settings=CONFIG.base.model_dump(exclude={"seeds", "target"}),
        network=CONFIG.network.model_dump(),
        device=CONFIG.compute.device,
        precision=CONFIG.compute.precision,
        parents=parents_of,
        code=fingerprint("training", own=NETWORK_CODE),
    script:
        "../scripts/train_base.py"


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
        after=epochs_before,
        settings=CONFIG.regularize.model_dump(exclude={"lambdas", "epochs"}),
        device=CONFIG.compute.device,
        precision=CONFIG.compute.precision,
        parents=parents_of,
        code=fingerprint("training", own=NETWORK_CODE),
    script:
        "../scripts/regularize.py"


# Controls of the bases. They are made as bases are, from the same settings.
rule untrained:
    input:
        dataset=f"results/data/{ID}/images.safetensors",
        info=f"results/data/{ID}/info.json",
    output:
        weights=f"{RESULTS}/models/seed={{seed}}_untrained/weights.safetensors",
        summary=f"{RESULTS}/models/seed={{seed}}_untrained/model.json",
    log:
        f"{LOGS}/untrained/seed={{seed}}.log",
    conda:
        "../envs/skeletons.yaml"
    threads: CONFIG.compute.threads
    params:
        network=CONFIG.network.model_dump(),
        device=CONFIG.compute.device,
        parents=parents_of,
        code=fingerprint("training", own=NETWORK_CODE),
    script:
        "../scripts/untrained.py"


use rule train_base as reorder with:
    output:
        weights=f"{RESULTS}/models/seed={{seed}}_order={{order}}/weights.safetensors",
        history=f"{RESULTS}/models/seed={{seed}}_order={{order}}/history.parquet",
        summary=f"{RESULTS}/models/seed={{seed}}_order={{order}}/model.json",
    log:
        f"{LOGS}/reorder/seed={{seed}}_order={{order}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/reorder/seed={{seed}}_order={{order}}.tsv"


# A process of its own, as drawing weights needs torch's random numbers for itself; not a cluster's.
localrules:
    untrained,
