# Data sets: one file each, made once and shared by all experiments.


rule dataset:
    input:
        BEGINNING,
        lambda wildcards: TARGETS.dataset_sources(wildcards.dataset),
    output:
        images="results/data/{dataset}/images.safetensors",
        info="results/data/{dataset}/info.json",
    log:
        "logs/data/{dataset}.log",
    benchmark:
        "results/data/{dataset}/benchmark.tsv"
    conda:
        "../envs/skeletons.yaml"
    params:
        **stage("dataset"),
    script:
        "../scripts/stage.py"


# Not on a cluster's node, which often has no network access for downloads.
localrules:
    dataset,
