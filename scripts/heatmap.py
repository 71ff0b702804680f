"""Draw the heatmap of a costly measure."""

from skeletons.workflow.jobs import process

with process(snakemake) as job:
    job.run(
        "figures.heatmap_stage",
        snakemake.input.table,
        snakemake.input.scores,
        *snakemake.output,
        snakemake.params.measure,
        snakemake.params.title,
        snakemake.params.colormap,
    )
