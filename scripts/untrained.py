"""Draw the network that a base model was before training."""

from skeletons.workflow.jobs import process

with process(snakemake) as job:
    job.run(
        "training.untrained_stage",
        snakemake.input.dataset,
        snakemake.input.info,
        snakemake.output.weights,
        snakemake.output.summary,
        seed=int(snakemake.wildcards.seed),
        network=snakemake.params.network,
        device=snakemake.params.device,
        threads=snakemake.threads,
    )
