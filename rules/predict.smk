# The last stage that needs a network: logits on the test set and on each OOD set, and the scores.


rule predict:
    input:
        weights=f"{RESULTS}/models/{{model}}/weights.safetensors",
        summary=lambda wildcards: TARGETS.network(wildcards.model),
        dataset="results/data/{dataset}/images.safetensors",
    output:
        predictions=f"{RESULTS}/predictions/{{dataset}}/{{model}}.parquet",
    log:
        f"{LOGS}/predict/{{dataset}}/{{model}}.log",
    params:
        **stage("predict"),
    run:
        run_stage(input, output, params, wildcards, log)


rule score:
    input:
        unpack(sparsity_file),
        predictions=f"{RESULTS}/predictions/{ID}/{{model}}.parquet",
        summary=lambda wildcards: TARGETS.network(wildcards.model),
    output:
        scores=f"{RESULTS}/scores/{{model}}.json",
    log:
        f"{LOGS}/score/{{model}}.log",
    params:
        **stage("score"),
    run:
        run_stage(input, output, params, wildcards, log)


localrules:
    predict,
    score,
