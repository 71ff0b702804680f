"""Make a data set's file."""

from pathlib import Path

from skeletons.jobs import process

with process(snakemake.log):
    from skeletons import datasets

    made = datasets.build(snakemake.params.spec, Path(snakemake.params.data_root))
    datasets.write(made, snakemake.output.images, snakemake.output.info)
