"""Penalise a skeleton's own weights, and see whether others do its work."""

from skeletons.workflow.jobs import process

with process(snakemake) as job:
    job.run_once(
        "probe.probe_stage",
        snakemake.input.dataset,
        snakemake.input.weights,
        snakemake.input.summary,
        snakemake.input.pruned,
        dict(snakemake.output.items()),
        seed=int(snakemake.wildcards.seed),
        l1=float(snakemake.wildcards.l1),
        epochs=snakemake.params.epochs,
        settings=snakemake.params.settings,
        tolerance=snakemake.params.tolerance,
        device=snakemake.params.device,
        precision=snakemake.params.precision,
        threads=snakemake.threads,
    )
