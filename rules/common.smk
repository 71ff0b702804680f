# The experiment: its configuration, its models, and what holds for a run as a whole.
import functools
import os
import sys
from pathlib import Path
from typing import get_args

from snakemake.iocontainers import Wildcards
from snakemake.utils import update_config

from skeletons import config as schema
from skeletons import (
    artifacts,
    extensions,
    lock,
    models,
    record,
    yamlfile,
)
from skeletons.errors import ConfigError, SkeletonsError
from skeletons.fingerprint import fingerprint
from skeletons.jobs import inside, settings_of
from skeletons.provenance import lineage_of
from skeletons.runcache import RunCache


def read_config() -> schema.Config:
    """The validated configuration; what is wrong with it ends the run, one sentence a problem."""
    # Snakemake merges an experiment's file into workflow_config.yaml key by key. A data set is one
    # thing, though: `{kind: cifar10}` must not inherit the options of another kind.
    try:
        defaults = Path("workflow_config.yaml")
        if defaults.exists():  # not so where this workflow is a module
            yamlfile.read(str(defaults))
        for path in workflow.overwrite_configfiles:
            override = yamlfile.read(os.path.relpath(path))
            if "dataset" in override:
                config["dataset"] = override["dataset"]
        # Snakemake takes the numbers in `--config 'base={seeds: [3]}'` for text.
        update_config(config, yamlfile.typed(workflow.config_settings.config))
        return schema.load(config)
    except ConfigError as error:
        print(error, file=sys.stderr)
        sys.exit(1)


CONFIG = read_config()
RESULTS = f"results/{CONFIG.experiment}"
LOGS = f"logs/{CONFIG.experiment}"
FIGURES = f"{RESULTS}/figures"
MEASURES = [extensions.name_of(measure) for measure in CONFIG.figures.measures]
OWN_MEASURES = schema.own_measures(CONFIG)
# Files of the user's own that stages run; their code is part of the fingerprints.
NETWORK_CODE = extensions.files_of(CONFIG.network.name)
MEASURE_CODE = extensions.files_of(*OWN_MEASURES)
DRAWN_CODE = extensions.files_of(*CONFIG.figures.measures)
CRITERION_CODE = extensions.files_of(CONFIG.prune.criterion)
CACHE = CONFIG.cache
config["cache"] = CACHE  # where jobs of a process of their own read it

DATASETS = {
    schema.dataset_id(spec): spec.model_dump() for spec in (CONFIG.dataset, *CONFIG.ood)
}
ID = schema.dataset_id(CONFIG.dataset)
OOD = sorted(schema.dataset_id(spec) for spec in CONFIG.ood)
# On what all pairs are compared: the OOD sets, and the task's own test set if it is asked for.
SETS = sorted([*OOD, *([ID] if CONFIG.compare.test_set else [])])

GRID = (
    CONFIG.base.seeds,
    CONFIG.regularize.lambdas,
    CONFIG.regularize.epochs,
    CONFIG.prune.thresholds,
)
CONTROLS = models.controls(
    models.grid(*GRID),
    CONFIG.controls.untrained,
    CONFIG.controls.orders,
    CONFIG.controls.random,
)
MODELS = sorted([*models.grid(*GRID), *CONTROLS], key=lambda model: model.sort_key)
COMPARED = [m for m in MODELS if m in CONTROLS or m.state in CONFIG.compare.states]
PAIRS = list(models.pairs(COMPARED))
# A job a pair is too much for a thousand models, which have half a million pairs.
BLOCKS = len(COMPARED) > CONFIG.compare.blocks_beyond
MASKED = [m for m in COMPARED if m.state in models.MASKED]


wildcard_constraints:
    dataset="|".join(map(re.escape, DATASETS)),
    ood="|".join(map(re.escape, SETS)),
    representation="|".join(get_args(schema.RepresentationName)),
    overlap="|".join(get_args(schema.WeightsName)),
    seed=r"\d+",
    l1=r"[0-9][0-9.e+-]*",
    epochs=r"[1-9]\d*",
    threshold=r"[0-9][0-9.e+-]*",
    one=r"\d+",
    two=r"\d+",
    order=r"[1-9]\d*",
    draw=r"[1-9]\d*",
    model=r"seed=[^/]+?",
    a=r"seed=[^/]+?",
    b=r"seed=[^/]+?",


def keep_others_out() -> None:
    """End this run with a sentence if another is in its way, or nothing can be written.

    Experiments run side by side, unless one has a data set to make that the others may be reading.
    """
    makes_data = any(job.rule.name == "dataset" for job in workflow.dag.needrun_jobs())
    try:
        lock.hold(RESULTS)
        artifacts.sweep(RESULTS)
        lock.hold("results/data", shared=not makes_data)
        if makes_data:
            artifacts.sweep("results/data")
    except SkeletonsError as error:
        print(error, file=sys.stderr)
        sys.exit(1)


def tell_report() -> None:
    """Say what was found, and where it is to be read."""
    page = f"{RESULTS}/report.html"
    # Both as where `--until` stopped before it.
    if tell_outdated() or not os.path.exists(page):
        return
    try:
        found = artifacts.read_json(f"{RESULTS}/findings.json", ["verdict"])
        said = f"The verdict: {found['verdict']['answer']}. The report is {page}."
    except SkeletonsError as error:
        said = str(error)
    print(said, file=sys.stderr)


def tell_outdated() -> bool:
    """Say so if the report is from an earlier run, of another configuration."""
    said = record.outdated(RESULTS, schema.canonical(CONFIG))
    if said:
        print(said, file=sys.stderr)
    return bool(said)


def report_cache() -> None:
    """Say how much the run cache holds, and how it is pruned."""
    if CACHE is None:
        return
    entries = RunCache(CACHE).entries()
    size = sum(entry.size for entry in entries)
    print(
        f"The run cache {CACHE} holds {len(entries)} results in {size / 1e6:,.0f} MB; "
        "`skeletons cache --limit 1GB` removes the oldest.",
        file=sys.stderr,
    )


@functools.cache
def lineage(path: str) -> str | None:
    """What a file is by the configuration, all the way down; None for a source, such as images.

    A file with another lineage was made from other settings, and its readers refuse it.
    """
    makers = [rule for rule in workflow.rules if rule.is_producer(path)]
    if not makers:
        return None
    wildcards = Wildcards(fromdict=makers[0].get_wildcards(path))
    params = {
        key: value(wildcards) if callable(value) else value
        for key, value in makers[0].params.items()
        if key not in ("code", "parents")
    }
    inputs = makers[0].expand_input(wildcards)[0]
    return lineage_of(
        makers[0].name, settings_of(params, wildcards), lineages(inputs).values()
    )


def lineages(paths) -> dict[str, str]:
    """The lineage of each of a job's inputs that the workflow makes."""
    found = {str(path): lineage(str(path)) for path in paths}
    return {path: line for path, line in found.items() if line is not None}


def parents_of(wildcards, input) -> dict[str, str]:
    """The same as a param, for jobs in a process of their own.

    Not for those that read tables of all pairs: it would follow each of thousands of pairs to its
    beginnings at every start, and each was checked when it became part of the table.
    """
    return lineages(input)
