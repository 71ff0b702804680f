"""Time a pruned model and its exposed skeleton."""

from skeletons.workflow.jobs import process

with process(snakemake) as job:
    # Never from the run cache: a time that another machine took says nothing of this one.
    job.run(
        "exposure.timing_stage",
        snakemake.input.weights,
        snakemake.input.summary,
        snakemake.input.exposed,
        snakemake.input.structure,
        snakemake.input.dataset,
        snakemake.output.timing,
        batch=snakemake.params.batch,
        repeats=snakemake.params.repeats,
        device=snakemake.params.device,
        threads=snakemake.threads,
    )
