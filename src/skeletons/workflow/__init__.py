"""All code that depends on Snakemake or SLURM."""
