# Skeletons on Rashomon Ridge: config → targets → artifacts → findings.
# `rules/common.smk` reads the configuration, the two files of targets say which files an experiment
# consists of, and each other file holds one stage.
from snakemake.utils import min_version

min_version("9.0")


configfile: "workflow_config.yaml"


include: "rules/common.smk"
include: "rules/targets.smk"
include: "rules/inspect_targets.smk"
include: "rules/data.smk"
include: "rules/train.smk"
include: "rules/prune.smk"
include: "rules/predict.smk"
include: "rules/compare.smk"
include: "rules/measures.smk"
include: "rules/align.smk"
include: "rules/inspect.smk"
include: "rules/findings.smk"
include: "rules/cluster.smk"
include: "rules/progress.smk"
include: "rules/schedule.smk"
include: "rules/start.smk"


onstart:
    check_cluster()
    keep_others_out()
    tell_plan()
    pace_scheduler()


onsuccess:
    report_failures()
    report_cache()
    tell_report()


onerror:
    report_failures()
    tell_outdated()


rule all:
    default_target: True
    input:
        f"{RESULTS}/report.html",
        artifact_files(),
