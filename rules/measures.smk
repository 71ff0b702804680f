# Costly measures, of features and of masks. All are off by default.


rule features:
    input:
        weights=f"{RESULTS}/models/{{model}}/weights.safetensors",
        summary=lambda wildcards: TARGETS.network(wildcards.model),
        dataset="results/data/{dataset}/images.safetensors",
    output:
        features=f"{RESULTS}/features/{{dataset}}/{{model}}.safetensors",
    log:
        f"{LOGS}/features/{{dataset}}/{{model}}.log",
    params:
        **stage("features"),
    run:
        run_stage(input, output, params, wildcards, log)


rule compare_features:
    input:
        a=f"{RESULTS}/features/{{ood}}/{{a}}.safetensors",
        b=f"{RESULTS}/features/{{ood}}/{{b}}.safetensors",
    output:
        pair=f"{RESULTS}/representations/{{representation}}/{{ood}}/{{a}}--{{b}}.parquet",
    log:
        f"{LOGS}/compare_features/{{representation}}/{{ood}}/{{a}}--{{b}}.log",
    params:
        **stage("compare_features"),
    run:
        run_stage(input, output, params, wildcards, log)


rule representations:
    input:
        pairs=lambda wildcards: TARGETS.feature_pairs(
            wildcards.representation, wildcards.ood
        ),
    output:
        table=f"{RESULTS}/representations/{{representation}}/{{ood}}.parquet",
    log:
        f"{LOGS}/representations/{{representation}}/{{ood}}.log",
    params:
        **stage("representations"),
    run:
        run_stage(input, output, params, wildcards, log)


rule compare_masks:
    input:
        unpack(alignment_for_masks),
        unpack(bases_for_masks),
        a=f"{RESULTS}/models/{{a}}/weights.safetensors",
        b=f"{RESULTS}/models/{{b}}/weights.safetensors",
        summary=lambda wildcards: TARGETS.network(wildcards.a),
    output:
        pair=f"{RESULTS}/weights/{{overlap}}/{{a}}--{{b}}.parquet",
    log:
        f"{LOGS}/compare_masks/{{overlap}}/{{a}}--{{b}}.log",
    params:
        **stage("compare_masks"),
    run:
        run_stage(input, output, params, wildcards, log)


rule weights:
    input:
        pairs=lambda wildcards: TARGETS.mask_pairs(wildcards.overlap),
    output:
        table=f"{RESULTS}/weights/{{overlap}}.parquet",
        layers=f"{RESULTS}/weights/{{overlap}}_layers.parquet",
    log:
        f"{LOGS}/weights/{{overlap}}.log",
    params:
        **stage("weights"),
    run:
        run_stage(input, output, params, wildcards, log)


rule heatmap_of_features:
    input:
        table=f"{RESULTS}/representations/{{representation}}/{{ood}}.parquet",
        scores=f"{RESULTS}/scores.parquet",
    output:
        heatmap=f"{FIGURES}/heatmap_{{ood}}_{{representation}}.svg",
    log:
        f"{LOGS}/heatmap_of_features/{{ood}}_{{representation}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/heatmap_of_features/{{ood}}_{{representation}}.tsv"
    conda:
        "../envs/skeletons.yaml"
    params:
        **stage("heatmap_of_features"),
    script:
        "../scripts/stage.py"


use rule heatmap_of_features as heatmap_of_masks with:
    input:
        table=f"{RESULTS}/weights/{{overlap}}.parquet",
        scores=f"{RESULTS}/scores.parquet",
    output:
        heatmap=f"{FIGURES}/heatmap_{{overlap}}.svg",
    log:
        f"{LOGS}/heatmap_of_masks/{{overlap}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/heatmap_of_masks/{{overlap}}.tsv"
    params:
        **stage("heatmap_of_masks"),


localrules:
    features,
    compare_features,
    representations,
    compare_masks,
    weights,
    heatmap_of_features,
    heatmap_of_masks,
