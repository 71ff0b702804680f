"""Run the stage of a rule in its own process."""

from skeletons.workflow.jobs import run_script

run_script(snakemake)
