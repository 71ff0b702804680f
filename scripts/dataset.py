"""Make a data set's file."""

from skeletons.workflow.jobs import process

with process(snakemake) as job:
    job.run(
        "datasets.dataset_stage",
        snakemake.params.spec,
        snakemake.params.data_root,
        snakemake.output.images,
        snakemake.output.info,
    )
