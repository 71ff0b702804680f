"""Run the stage of a rule in a process of its own."""

from skeletons.workflow.jobs import run_script

run_script(snakemake)
