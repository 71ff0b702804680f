# Pruning takes milliseconds, so it runs inside Snakemake's own process.


# The scores by which weights are ranked, once for each regularised model.
rule rank:
    input:
        weights=f"{RESULTS}/models/{{model}}/weights.safetensors",
        summary=f"{RESULTS}/models/{{model}}/model.json",
        dataset=f"results/data/{ID}/images.safetensors",
    output:
        ranks=f"{RESULTS}/ranks/{{criterion}}/{{model}}.safetensors",
    log:
        f"{LOGS}/rank/{{criterion}}/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/rank/{{criterion}}/{{model}}.tsv"
    conda:
        "../envs/skeletons.yaml"
    threads: CONFIG.compute.threads
    resources:
        gpu_jobs=GPU_JOBS,
    params:
        **process("rank"),
    script:
        "../scripts/stage.py"


# Which weights belong to which unit, for pruning whole units.
rule units:
    input:
        info=f"results/data/{ID}/info.json",
    output:
        units=f"{RESULTS}/units/{{net}}units.json",
    log:
        f"{LOGS}/{{net}}units.log",
    priority: 1
    params:
        **stage("units"),
    run:
        run_stage(input, output, params, wildcards, log)


# If pruned models are retrained (`prune.retrain`), they are cut first, by the rules `cut…`, which are
# the rules `prune…` for another folder. Every network has its own `prune.retrain`.
rule prune:
    input:
        unpack(ranks_file),
        regularized=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}/weights.safetensors",
        summary=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}/model.json",
    output:
        weights=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}_t={{threshold}}/weights.safetensors",
        sparsity=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}_t={{threshold}}/sparsity.json",
    log:
        f"{LOGS}/prune/{{base_id}}_l1={{l1}}_ep={{epochs}}_t={{threshold}}.log",
    wildcard_constraints:
        base_id=PLAN.base_ids(retrained=False),
    params:
        **stage("prune"),
    run:
        run_stage(input, output, params, wildcards, log)


use rule prune as prune_to_density with:
    output:
        weights=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}_d={{density}}/weights.safetensors",
        sparsity=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}_d={{density}}/sparsity.json",
    log:
        f"{LOGS}/prune_to_density/{{base_id}}_l1={{l1}}_ep={{epochs}}_d={{density}}.log",


# The control of a pruned model: equally sparse in each layer, but pruned at random.
rule prune_at_random:
    input:
        unpack(units_file),
        regularized=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}/weights.safetensors",
        summary=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}/model.json",
        like=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}_t={{threshold}}/sparsity.json",
    output:
        weights=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}_t={{threshold}}_random={{draw}}/weights.safetensors",
        sparsity=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}_t={{threshold}}_random={{draw}}/sparsity.json",
    log:
        f"{LOGS}/prune_at_random/{{base_id}}_l1={{l1}}_ep={{epochs}}_t={{threshold}}_random={{draw}}.log",
    wildcard_constraints:
        base_id=PLAN.base_ids(retrained=False),
    params:
        **stage("prune_at_random"),
    run:
        run_stage(input, output, params, wildcards, log)


use rule prune_at_random as prune_at_random_to_density with:
    input:
        unpack(units_file),
        regularized=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}/weights.safetensors",
        summary=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}/model.json",
        like=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}_d={{density}}/sparsity.json",
    output:
        weights=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}_d={{density}}_random={{draw}}/weights.safetensors",
        sparsity=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}_d={{density}}_random={{draw}}/sparsity.json",
    log:
        f"{LOGS}/prune_at_random_to_density/{{base_id}}_l1={{l1}}_ep={{epochs}}_d={{density}}_random={{draw}}.log",


use rule prune as cut with:
    output:
        weights=f"{RESULTS}/cut/{{base_id}}_l1={{l1}}_ep={{epochs}}_t={{threshold}}/weights.safetensors",
        sparsity=f"{RESULTS}/cut/{{base_id}}_l1={{l1}}_ep={{epochs}}_t={{threshold}}/sparsity.json",
    log:
        f"{LOGS}/cut/{{base_id}}_l1={{l1}}_ep={{epochs}}_t={{threshold}}.log",
    wildcard_constraints:
        base_id=PLAN.base_ids(retrained=True),


use rule prune as cut_to_density with:
    output:
        weights=f"{RESULTS}/cut/{{base_id}}_l1={{l1}}_ep={{epochs}}_d={{density}}/weights.safetensors",
        sparsity=f"{RESULTS}/cut/{{base_id}}_l1={{l1}}_ep={{epochs}}_d={{density}}/sparsity.json",
    log:
        f"{LOGS}/cut_to_density/{{base_id}}_l1={{l1}}_ep={{epochs}}_d={{density}}.log",
    wildcard_constraints:
        base_id=PLAN.base_ids(retrained=True),


use rule prune_at_random as cut_at_random with:
    input:
        unpack(units_file),
        regularized=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}/weights.safetensors",
        summary=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}/model.json",
        like=f"{RESULTS}/cut/{{base_id}}_l1={{l1}}_ep={{epochs}}_t={{threshold}}/sparsity.json",
    output:
        weights=f"{RESULTS}/cut/{{base_id}}_l1={{l1}}_ep={{epochs}}_t={{threshold}}_random={{draw}}/weights.safetensors",
        sparsity=f"{RESULTS}/cut/{{base_id}}_l1={{l1}}_ep={{epochs}}_t={{threshold}}_random={{draw}}/sparsity.json",
    log:
        f"{LOGS}/cut_at_random/{{base_id}}_l1={{l1}}_ep={{epochs}}_t={{threshold}}_random={{draw}}.log",
    wildcard_constraints:
        base_id=PLAN.base_ids(retrained=True),


use rule prune_at_random as cut_at_random_to_density with:
    input:
        unpack(units_file),
        regularized=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}/weights.safetensors",
        summary=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}/model.json",
        like=f"{RESULTS}/cut/{{base_id}}_l1={{l1}}_ep={{epochs}}_d={{density}}/sparsity.json",
    output:
        weights=f"{RESULTS}/cut/{{base_id}}_l1={{l1}}_ep={{epochs}}_d={{density}}_random={{draw}}/weights.safetensors",
        sparsity=f"{RESULTS}/cut/{{base_id}}_l1={{l1}}_ep={{epochs}}_d={{density}}_random={{draw}}/sparsity.json",
    log:
        f"{LOGS}/cut_at_random_to_density/{{base_id}}_l1={{l1}}_ep={{epochs}}_d={{density}}_random={{draw}}.log",
    wildcard_constraints:
        base_id=PLAN.base_ids(retrained=True),


# Pruned models and their random controls alike. Each job has its own process; on a cluster, it is
# submitted.
rule retrain:
    input:
        cut=f"{RESULTS}/cut/{{model}}/weights.safetensors",
        cut_sparsity=f"{RESULTS}/cut/{{model}}/sparsity.json",
        summary=lambda wildcards: TARGETS.network(wildcards.model),
        base=lambda wildcards: TARGETS.weights(Model.parse(wildcards.model).root),
        dataset=f"results/data/{ID}/images.safetensors",
    output:
        weights=f"{RESULTS}/models/{{model}}/weights.safetensors",
        sparsity=f"{RESULTS}/models/{{model}}/sparsity.json",
        history=f"{RESULTS}/models/{{model}}/history.parquet",
    log:
        f"{LOGS}/retrain/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/retrain/{{model}}.tsv"
    wildcard_constraints:
        model=rf"{PLAN.base_ids(retrained=True)}_l1=[^/]+_(?:t|d)={model_ids.NUMBER}(?:_random=\d+)?",
    conda:
        "../envs/skeletons.yaml"
    threads: CONFIG.compute.threads
    resources:
        gpu_jobs=GPU_JOBS,
    params:
        **process("retrain"),
    script:
        "../scripts/stage.py"


localrules:
    units,
    prune,
    prune_to_density,
    prune_at_random,
    prune_at_random_to_density,
    cut,
    cut_to_density,
    cut_at_random,
    cut_at_random_to_density,
