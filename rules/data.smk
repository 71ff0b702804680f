# Data sets: one file each, made once and shared by all experiments. A user's images are not input
# files: the settings hold a digest of the place, size and time of each.
#
# Several runs may need the same set at the same time. One job makes it, while the others wait. The flag
# `update` keeps Snakemake from removing, before such a job, what other runs already read.


rule dataset:
    input:
        unpack(lambda wildcards: PLAN.source_of(wildcards.dataset)),
        BEGINNING,
    output:
        images=update("results/data/{dataset}/images.safetensors"),
        info=update("results/data/{dataset}/info.json"),
    log:
        f"{LOGS}/dataset/{{dataset}}.log",
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
