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
        code=fingerprint("pruning"),
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
            )


localrules:
    prune,
