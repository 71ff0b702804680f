"""Silence each unit of a model in turn."""

from skeletons.workflow.jobs import process

with process(snakemake) as job:
    job.run_once(
        "importance.importance_stage",
        snakemake.input.weights,
        snakemake.input.summary,
        snakemake.input.pruned,
        snakemake.input.dataset,
        snakemake.output.table,
        snakemake.output.ranks,
        images=snakemake.params.images,
        mode=snakemake.params.mode,
        device=snakemake.params.device,
        threads=snakemake.threads,
    )
