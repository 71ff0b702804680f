"""All that knows Snakemake or SLURM."""
