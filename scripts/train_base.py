"""Train a base model to optimality, or once more with its images in another order."""

from skeletons.workflow.jobs import process

with process(snakemake) as job:
    job.run_once(
        "training.train_base_stage",
        snakemake.input.dataset,
        snakemake.input.info,
        snakemake.output.weights,
        snakemake.output.history,
        snakemake.output.summary,
        seed=int(snakemake.wildcards.seed),
        network=snakemake.params.network,
        base=snakemake.params.settings,
        device=snakemake.params.device,
        precision=snakemake.params.precision,
        threads=snakemake.threads,
        order=int(snakemake.wildcards.get("order", 0)),
    )
