"""Train a curve of low loss between two models."""

from skeletons.workflow.jobs import process

with process(snakemake) as job:
    job.run_once(
        "ridge.curve_stage",
        snakemake.input.a,
        snakemake.input.b,
        snakemake.input.summary,
        snakemake.input.dataset,
        snakemake.output.weights,
        snakemake.output.table,
        seed=snakemake.params.seed,
        settings=snakemake.params.settings,
        precision=snakemake.params.precision,
        points=snakemake.params.points,
        measured={
            **snakemake.params.measured,
            "device": snakemake.params.device,
            "threads": snakemake.threads,
        },
    )
