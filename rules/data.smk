# Data sets: one file each, made once and shared by all experiments. A user's images are not input
# files: the settings hold a digest of the place, size and time of each.


rule dataset:
    input:
        unpack(lambda wildcards: PLAN.source_of(wildcards.dataset)),
        BEGINNING,
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
        **process("dataset"),
        # Where the images are shapes no result: Snakemake does not record what depends on output.
        unrecorded=lambda wildcards, output: PLAN.unrecorded(wildcards.dataset),
    script:
        "../scripts/stage.py"


# Not on a cluster's node, which often has no network access for downloads.
localrules:
    dataset,
