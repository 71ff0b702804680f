"""Draw the experiment's figures."""

from pathlib import Path

from skeletons.workflow.jobs import process

with process(snakemake) as job:
    job.run(
        "figures.figures_stage",
        snakemake.input.scores,
        dict(zip(snakemake.params.ood, snakemake.input.similarity, strict=True)),
        snakemake.input.histories,
        str(Path(snakemake.output.walk).parent),
        snakemake.params.measures,
        snakemake.params.colormap,
        snakemake.input.findings,
    )
