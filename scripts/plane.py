"""Measure the loss on the plane through three models, and see where others lie."""

from skeletons.workflow.jobs import process

with process(snakemake) as job:
    job.run_once(
        "ridge.plane_stage",
        dict(zip(snakemake.params.models, snakemake.input.models, strict=True)),
        snakemake.input.summary,
        snakemake.input.dataset,
        snakemake.output.grid,
        snakemake.output.located,
        matched=dict.fromkeys(snakemake.params.aligned, *snakemake.input.matched),
        points=snakemake.params.points,
        margin=snakemake.params.margin,
        measured={
            **snakemake.params.measured,
            "device": snakemake.params.device,
            "threads": snakemake.threads,
        },
    )
