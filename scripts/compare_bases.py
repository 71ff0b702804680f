"""Compare all models of one base with all of another."""

from skeletons.workflow.jobs import process

with process(snakemake) as job:
    job.run(
        "similarity.compare_block_stage",
        list(snakemake.input.one),
        list(snakemake.input.two),
        snakemake.output.block,
        snakemake.wildcards.ood,
        snakemake.params.measures,
    )
