"""Measure the loss on the line between two models."""

from skeletons.workflow.jobs import process

with process(snakemake) as job:
    job.run_once(
        "ridge.line_stage",
        snakemake.input.a,
        snakemake.input.b,
        snakemake.input.summary,
        snakemake.input.dataset,
        snakemake.output.table,
        matched=next(iter(snakemake.input.matched), None),
        points=snakemake.params.points,
        measured={
            **snakemake.params.measured,
            "device": snakemake.params.device,
            "threads": snakemake.threads,
        },
    )
