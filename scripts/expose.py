"""Take a pruned model's dead units out."""

from skeletons.workflow.jobs import process

with process(snakemake) as job:
    job.run_once(
        "exposure.expose_stage",
        snakemake.input.weights,
        snakemake.input.summary,
        snakemake.output.weights,
        snakemake.output.structure,
        snakemake.input.dataset,
        images=snakemake.params.images,
        threads=snakemake.threads,
    )
