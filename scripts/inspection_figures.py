"""Draw what looks inside found."""

from skeletons.workflow.jobs import process

with process(snakemake) as job:
    job.run(
        "inspection_figures.inspection_figures_stage",
        {kind: list(paths) for kind, paths in snakemake.input.items()},
        snakemake.params.folder,
        snakemake.params.colormap,
    )
