# Data sets: one file each, made once and shared by all experiments.


rule dataset:
    input:
        dataset_sources,
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
        spec=lambda wildcards: DATASETS[wildcards.dataset],
        data_root=lambda wildcards: download_folder(wildcards.dataset),
        code=lambda wildcards: fingerprint(
            "datasets", own=extensions.files_of(DATASETS[wildcards.dataset]["kind"])
        ),
    script:
        "../scripts/dataset.py"


# Not on a node: those often cannot reach what is to be downloaded.
localrules:
    dataset,
