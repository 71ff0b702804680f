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


# Controls that are walked and pruned as bases are. A base whose classes are permuted by its seed:
use rule train_base as relabel with:
    output:
        weights=f"{RESULTS}/models/{{base_id}}_labels/weights.safetensors",
        history=f"{RESULTS}/models/{{base_id}}_labels/history.parquet",
        summary=f"{RESULTS}/models/{{base_id}}_labels/model.json",
    log:
        f"{LOGS}/relabel/{{base_id}}_labels.log",
    benchmark:
        f"{RESULTS}/benchmarks/relabel/{{base_id}}_labels.tsv"
    params:
        **process("relabel"),


# A base that is stopped at the training loss of its pruned model.
use rule train_base as stop with:
    input:
        unpack(stopped_like),
        dataset=f"results/data/{ID}/images.safetensors",
        info=f"results/data/{ID}/info.json",
    output:
        weights=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}_t={{threshold}}_stopped/weights.safetensors",
        history=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}_t={{threshold}}_stopped/history.parquet",
        summary=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}_t={{threshold}}_stopped/model.json",
    log:
        f"{LOGS}/stop/{{base_id}}_l1={{l1}}_ep={{epochs}}_t={{threshold}}_stopped.log",
    benchmark:
        f"{RESULTS}/benchmarks/stop/{{base_id}}_l1={{l1}}_ep={{epochs}}_t={{threshold}}_stopped.tsv"
    params:
        **process("stop"),


use rule stop as stop_at_density with:
    output:
        weights=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}_d={{density}}_stopped/weights.safetensors",
        history=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}_d={{density}}_stopped/history.parquet",
        summary=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}_d={{density}}_stopped/model.json",
    log:
        f"{LOGS}/stop_at_density/{{base_id}}_l1={{l1}}_ep={{epochs}}_d={{density}}_stopped.log",
    benchmark:
        f"{RESULTS}/benchmarks/stop_at_density/{{base_id}}_l1={{l1}}_ep={{epochs}}_d={{density}}_stopped.tsv"


# The epochs of a base that all its children of one fork share, and the children.
use rule train_base as trunk with:
    output:
        trunk=f"{RESULTS}/trunks/{{base_id}}_ep={{epochs}}.safetensors",
    log:
        f"{LOGS}/trunk/{{base_id}}_ep={{epochs}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/trunk/{{base_id}}_ep={{epochs}}.tsv"
    params:
        **process("trunk"),


use rule train_base as fork with:
    input:
        unpack(trunk_file),
        dataset=f"results/data/{ID}/images.safetensors",
        info=f"results/data/{ID}/info.json",
    output:
        weights=f"{RESULTS}/models/{{base_id}}_fork={{fork}}_order={{order}}/weights.safetensors",
        history=f"{RESULTS}/models/{{base_id}}_fork={{fork}}_order={{order}}/history.parquet",
        summary=f"{RESULTS}/models/{{base_id}}_fork={{fork}}_order={{order}}/model.json",
    log:
        f"{LOGS}/fork/{{base_id}}_fork={{fork}}_order={{order}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fork/{{base_id}}_fork={{fork}}_order={{order}}.tsv"
    params:
        **process("fork"),


# The small network that is laid into planted ones, and those.
use rule train_base as small with:
    output:
        weights=f"{RESULTS}/planted/{{net}}width={{width}}/weights.safetensors",
        history=f"{RESULTS}/planted/{{net}}width={{width}}/history.parquet",
        summary=f"{RESULTS}/planted/{{net}}width={{width}}/model.json",
    log:
        f"{LOGS}/small/{{net}}width={{width}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/small/{{net}}width={{width}}.tsv"
    params:
        **process("small"),


use rule train_base as plant with:
    input:
        unpack(small_files),
        dataset=f"results/data/{ID}/images.safetensors",
        info=f"results/data/{ID}/info.json",
    output:
        weights=f"{RESULTS}/models/{{base_id}}_planted/weights.safetensors",
        history=f"{RESULTS}/models/{{base_id}}_planted/history.parquet",
        summary=f"{RESULTS}/models/{{base_id}}_planted/model.json",
    log:
        f"{LOGS}/plant/{{base_id}}_planted.log",
    benchmark:
        f"{RESULTS}/benchmarks/plant/{{base_id}}_planted.tsv"
    params:
        **process("plant"),


# It has its own process, because it draws torch's random numbers, but is not submitted.
localrules:
    untrained,
