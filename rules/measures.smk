# Costly measures: of what networks see, and of which weights are left. All are off by default.


rule features:
    input:
        weights=f"{RESULTS}/models/{{model}}/weights.safetensors",
        summary=lambda wildcards: network_file(wildcards.model),
        dataset="results/data/{dataset}/images.safetensors",
    output:
        features=f"{RESULTS}/features/{{dataset}}/{{model}}.safetensors",
    log:
        f"{LOGS}/features/{{dataset}}/{{model}}.log",
    params:
        images=lambda wildcards: images_of(wildcards.dataset),
        device=CONFIG.compute.device,
        code=fingerprint("features", own=NETWORK_CODE),
    run:
        with inside(
            rule, input, output, params, wildcards, log, lineages(input), CACHE
        ) as job:
            job.run_once(
                "features.features_stage",
                *input,
                *output,
                params.images,
                params.device,
            )


rule compare_features:
    input:
        a=f"{RESULTS}/features/{{ood}}/{{a}}.safetensors",
        b=f"{RESULTS}/features/{{ood}}/{{b}}.safetensors",
    output:
        pair=f"{RESULTS}/representations/{{representation}}/{{ood}}/{{a}}--{{b}}.parquet",
    log:
        f"{LOGS}/compare_features/{{representation}}/{{ood}}/{{a}}--{{b}}.log",
    params:
        code=fingerprint("representations"),
    run:
        with inside(
            rule, input, output, params, wildcards, log, lineages(input)
        ) as job:
            job.run(
                "representations.compare_stage",
                *input,
                *output,
                *wildcards,  # the measure, the OOD set, and the two models
            )


rule representations:
    input:
        feature_pairs,
    output:
        table=f"{RESULTS}/representations/{{representation}}/{{ood}}.parquet",
    log:
        f"{LOGS}/representations/{{representation}}/{{ood}}.log",
    params:
        code=fingerprint("representations"),
    run:
        with inside(
            rule, input, output, params, wildcards, log, lineages(input)
        ) as job:
            job.run(
                "representations.collect_stage",
                *output,
                wildcards.representation,
                *input,
            )


rule compare_masks:
    input:
        a=f"{RESULTS}/models/{{a}}/weights.safetensors",
        b=f"{RESULTS}/models/{{b}}/weights.safetensors",
        summary=lambda wildcards: network_file(wildcards.a),
        matched=alignment_of,
    output:
        pair=f"{RESULTS}/weights/{{overlap}}/{{a}}--{{b}}.parquet",
    log:
        f"{LOGS}/compare_masks/{{overlap}}/{{a}}--{{b}}.log",
    params:
        code=fingerprint("overlap"),
    run:
        with inside(
            rule, input, output, params, wildcards, log, lineages(input)
        ) as job:
            job.run(
                "overlap.overlap_stage", *output, wildcards.a, wildcards.b, *input
            )


rule weights:
    input:
        mask_pairs,
    output:
        table=f"{RESULTS}/weights/{{overlap}}.parquet",
    log:
        f"{LOGS}/weights/{{overlap}}.log",
    params:
        code=fingerprint("overlap"),
    run:
        with inside(
            rule, input, output, params, wildcards, log, lineages(input)
        ) as job:
            job.run("overlap.collect_stage", *output, wildcards.overlap, *input)


rule heatmap_of_features:
    input:
        table=f"{RESULTS}/representations/{{representation}}/{{ood}}.parquet",
        scores=f"{RESULTS}/scores.parquet",
    output:
        heatmap=f"{FIGURES}/heatmap_{{ood}}_{{representation}}.svg",
    log:
        f"{LOGS}/heatmap_of_features/{{ood}}_{{representation}}.log",
    conda:
        "../envs/skeletons.yaml"
    params:
        measure=lambda wildcards: wildcards.representation,
        title=lambda wildcards: f"What every pair of models sees of {wildcards.ood}",
        colormap=CONFIG.figures.colormap,
        code=fingerprint("figures"),
    script:
        "../scripts/heatmap.py"


use rule heatmap_of_features as heatmap_of_masks with:
    input:
        table=f"{RESULTS}/weights/{{overlap}}.parquet",
        scores=f"{RESULTS}/scores.parquet",
    output:
        heatmap=f"{FIGURES}/heatmap_{{overlap}}.svg",
    log:
        f"{LOGS}/heatmap_of_masks/{{overlap}}.log",
    params:
        measure=lambda wildcards: wildcards.overlap,
        title="Which weights every pair of pruned models keeps",
        colormap=CONFIG.figures.colormap,
        code=fingerprint("figures"),


localrules:
    features,
    compare_features,
    representations,
    compare_masks,
    weights,
    heatmap_of_features,
    heatmap_of_masks,
