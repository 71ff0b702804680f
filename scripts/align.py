"""Find the order of one model's units that brings its weights nearest another's."""

from skeletons.workflow.jobs import process

with process(snakemake) as job:
    job.run_once(
        "alignment.align_stage",
        snakemake.input.a,
        snakemake.input.b,
        snakemake.input.summary,
        *snakemake.output,
        seed=snakemake.params.seed,
        restarts=snakemake.params.restarts,
    )
