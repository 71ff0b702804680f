# Pruning takes milliseconds, so it runs inside Snakemake's own process.


rule prune:
    input:
        weights=f"{RESULTS}/models/seed={{seed}}_l1={{l1}}_ep={{epochs}}/weights.safetensors",
        summary=f"{RESULTS}/models/seed={{seed}}_l1={{l1}}_ep={{epochs}}/model.json",
    output:
        weights=f"{RESULTS}/models/seed={{seed}}_l1={{l1}}_ep={{epochs}}_t={{threshold}}/weights.safetensors",
        sparsity=f"{RESULTS}/models/seed={{seed}}_l1={{l1}}_ep={{epochs}}_t={{threshold}}/sparsity.json",
    log:
        f"{LOGS}/prune/seed={{seed}}_l1={{l1}}_ep={{epochs}}_t={{threshold}}.log",
    params:
        scale=CONFIG.prune.scale,
        criterion=CONFIG.prune.criterion,
        code=fingerprint("pruning", own=CRITERION_CODE),
    run:
        with inside(
            rule, input, output, params, wildcards, log, lineages(input)
        ) as job:
            job.run(
                "pruning.prune_stage",
                *input,
                *output,
                wildcards.threshold,
                params.scale,
                params.criterion,
            )


# The control of a pruned model: as sparse in each layer, but of weights drawn at random.
rule prune_at_random:
    input:
        weights=f"{RESULTS}/models/seed={{seed}}_l1={{l1}}_ep={{epochs}}/weights.safetensors",
        summary=f"{RESULTS}/models/seed={{seed}}_l1={{l1}}_ep={{epochs}}/model.json",
        like=f"{RESULTS}/models/seed={{seed}}_l1={{l1}}_ep={{epochs}}_t={{threshold}}/sparsity.json",
    output:
        weights=f"{RESULTS}/models/seed={{seed}}_l1={{l1}}_ep={{epochs}}_t={{threshold}}_random={{draw}}/weights.safetensors",
        sparsity=f"{RESULTS}/models/seed={{seed}}_l1={{l1}}_ep={{epochs}}_t={{threshold}}_random={{draw}}/sparsity.json",
    log:
        f"{LOGS}/prune_at_random/seed={{seed}}_l1={{l1}}_ep={{epochs}}_t={{threshold}}_random={{draw}}.log",
    params:
        code=fingerprint("pruning"),
    run:
        with inside(
            rule, input, output, params, wildcards, log, lineages(input)
        ) as job:
            job.run("pruning.random_stage", *input, *output)


localrules:
    prune,
    prune_at_random,
