"""Push a model along the ridge: train its parent on, with an L1 penalty."""

from skeletons.workflow.jobs import process

PARENT = "parent_"

with process(snakemake) as job:
    job.run_once(
        "training.regularize_stage",
        snakemake.input.dataset,
        snakemake.input.base,
        {
            name.removeprefix(PARENT): path
            for name, path in snakemake.input.items()
            if name.startswith(PARENT)
        },
        dict(snakemake.output.items()),
        seed=int(snakemake.wildcards.seed),
        l1=float(snakemake.wildcards.l1),
        after=snakemake.params.after,
        epochs=int(snakemake.wildcards.epochs),
        settings=snakemake.params.settings,
        device=snakemake.params.device,
        precision=snakemake.params.precision,
        threads=snakemake.threads,
    )
