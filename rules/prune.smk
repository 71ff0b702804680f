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
        regularized=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}/weights.safetensors",
        summary=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}/model.json",
        like=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}_t={{threshold}}/sparsity.json",
    output:
        weights=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}_t={{threshold}}_random={{draw}}/weights.safetensors",
        sparsity=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}_t={{threshold}}_random={{draw}}/sparsity.json",
    log:
        f"{LOGS}/prune_at_random/{{base_id}}_l1={{l1}}_ep={{epochs}}_t={{threshold}}_random={{draw}}.log",
    params:
        **stage("prune_at_random"),
    run:
        run_stage(input, output, params, wildcards, log)


use rule prune_at_random as prune_at_random_to_density with:
    input:
        regularized=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}/weights.safetensors",
        summary=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}/model.json",
        like=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}_d={{density}}/sparsity.json",
    output:
        weights=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}_d={{density}}_random={{draw}}/weights.safetensors",
        sparsity=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}_d={{density}}_random={{draw}}/sparsity.json",
    log:
        f"{LOGS}/prune_at_random_to_density/{{base_id}}_l1={{l1}}_ep={{epochs}}_d={{density}}_random={{draw}}.log",


localrules:
    prune,
    prune_to_density,
    prune_at_random,
    prune_at_random_to_density,
