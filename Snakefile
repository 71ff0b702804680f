# Skeletons on Rashomon Ridge: config → targets → artifacts → findings.
# `rules/common.smk` reads the configuration and makes the plan. Each other file holds the rules of one
# part of the workflow.
from snakemake.utils import min_version

min_version("9.27.1")


configfile: "workflow_config.yaml"


include: "rules/common.smk"
include: "rules/data.smk"
include: "rules/train.smk"
include: "rules/prune.smk"
include: "rules/predict.smk"
include: "rules/compare.smk"
include: "rules/measures.smk"
include: "rules/align.smk"
include: "rules/inspect.smk"
include: "rules/findings.smk"


onstart:
    config["forced"] = RUN.forced()  # known only now; read by jobs, as `cache` is
    in_a_sentence(HOOKS.start)


onsuccess:
    HOOKS.success()


onerror:
    HOOKS.error()


rule all:
    default_target: True
    input:
        f"{RESULTS}/report.html",
        TARGETS.artifacts(),
