"""Write what the experiment found, in numbers and in words."""

from itertools import islice

from skeletons.workflow.jobs import process

looks = iter(snakemake.input.looks)

with process(snakemake) as job:
    job.run(
        "findings.findings_stage",
        snakemake.output.json,
        snakemake.output.text,
        snakemake.output.scores,
        snakemake.params.experiment,
        snakemake.params.measures,
        snakemake.input.scores,
        dict(zip(snakemake.params.ood, snakemake.input.similarity, strict=True)),
        snakemake.input.predictions,
        snakemake.input.walks,
        snakemake.input.histories,
        snakemake.params.settings,
        {kind: list(islice(looks, count)) for kind, count in snakemake.params.looks.items()},
    )
