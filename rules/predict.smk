# The last stage that needs a network: logits on the test set and on each OOD set, and the scores.


rule predict:
    input:
        weights=f"{RESULTS}/models/{{model}}/weights.safetensors",
        summary=lambda wildcards: network_file(wildcards.model),
        dataset="results/data/{dataset}/images.safetensors",
    output:
        predictions=f"{RESULTS}/predictions/{{dataset}}/{{model}}.parquet",
    log:
        f"{LOGS}/predict/{{dataset}}/{{model}}.log",
    params:
        images=lambda wildcards: images_of(wildcards.dataset),
        device=CONFIG.compute.device,
        code=fingerprint("inference", own=NETWORK_CODE),
    run:
        with inside(
            rule, input, output, params, wildcards, log, lineages(input), CACHE
        ) as job:
            job.run_once(
                "inference.predict_stage",
                *input,
                *output,
                params.images,
                params.device,
            )


rule score:
    input:
        predictions=f"{RESULTS}/predictions/{ID}/{{model}}.parquet",
        summary=lambda wildcards: network_file(wildcards.model),
        sparsity=lambda wildcards: sparsity_file(wildcards.model),
    output:
        scores=f"{RESULTS}/scores/{{model}}.json",
    log:
        f"{LOGS}/score/{{model}}.log",
    params:
        target=CONFIG.base.target.model_dump(),
        code=fingerprint("scores"),
    run:
        with inside(
            rule, input, output, params, wildcards, log, lineages(input)
        ) as job:
            job.run(
                "scores.score_stage",
                *output,
                wildcards.model,
                params.target,
                *input,
            )


localrules:
    predict,
    score,
