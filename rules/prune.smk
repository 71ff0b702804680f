# Pruning takes milliseconds, so it runs inside Snakemake's own process.


rule prune:
    input:
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


localrules:
    prune,
    prune_at_random,
