# The experiment's models and files: the only place that knows paths from ids.
import functools
import os
import sys
from pathlib import Path

import yaml

# `report` at the start of a line is a directive, so the function goes by another name.
from snakemake.iocontainers import Wildcards
from snakemake.io import report as in_report

from skeletons import config as schema
from skeletons import artifacts, lock, models
from skeletons.errors import ConfigError, SkeletonsError
from skeletons.fingerprint import fingerprint
from skeletons.jobs import inside, settings_of
from skeletons.provenance import lineage_of
from skeletons.runcache import RunCache


def read_config() -> schema.Config:
    """The validated configuration; what is wrong with it ends the run, one sentence a problem."""
    # Snakemake merges an experiment's file into workflow_config.yaml key by key. A data set is one
    # thing, though: `{kind: cifar10}` must not inherit the options of another kind.
    for path in workflow.overwrite_configfiles:
        override = yaml.safe_load(Path(path).read_text())
        if isinstance(override, dict) and "dataset" in override:
            config["dataset"] = override["dataset"]
    try:
        return schema.load(config)
    except ConfigError as error:
        print(error, file=sys.stderr)
        sys.exit(1)


CONFIG = read_config()
RESULTS = f"results/{CONFIG.experiment}"
LOGS = f"logs/{CONFIG.experiment}"
FIGURES = f"{RESULTS}/figures"
MEASURES = CONFIG.figures.measures
CACHE = config["cache"] = (
    CONFIG.cache
)  # jobs of their own process read it from `config`

DATASETS = {
    schema.dataset_id(spec): spec.model_dump() for spec in (CONFIG.dataset, *CONFIG.ood)
}
ID = schema.dataset_id(CONFIG.dataset)
OOD = sorted(schema.dataset_id(spec) for spec in CONFIG.ood)

GRID = (
    CONFIG.base.seeds,
    CONFIG.regularize.lambdas,
    CONFIG.regularize.epochs,
    CONFIG.prune.thresholds,
)
MODELS = models.grid(*GRID)
COMPARED = models.grid(*GRID, states=CONFIG.compare.states)
PAIRS = list(models.pairs(COMPARED))


wildcard_constraints:
    dataset="|".join(map(re.escape, DATASETS)),
    ood="|".join(map(re.escape, OOD)),
    seed=r"\d+",
    l1=r"[0-9][0-9.e+-]*",
    epochs=r"[1-9]\d*",
    threshold=r"[0-9][0-9.e+-]*",
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
    """The same as a param, for jobs in a process of their own."""
    return lineages(input)


def model_file(model: models.Model | str, name: str) -> str:
    return f"{RESULTS}/models/{model}/{name}"


def network_file(model: models.Model | str) -> str:
    """The model.json that describes a model's network; a pruned one's is its parent's."""
    model = models.Model.parse(str(model))
    return model_file(
        model.parent if model.state == models.PRUNED else model, "model.json"
    )


def sparsity_file(model: str) -> list[str]:
    """A pruned model's sparsity.json, and nothing for another."""
    pruned = models.Model.parse(model).state == models.PRUNED
    return [model_file(model, "sparsity.json")] if pruned else []


def parent_files(wildcards) -> dict[str, str]:
    """What a regularised checkpoint starts from: the base model, or an earlier checkpoint."""
    model = models.Model(
        int(wildcards.seed), float(wildcards.l1), int(wildcards.epochs)
    )
    names = {"weights": "weights.safetensors", "summary": "model.json"}
    if model.parent.state == models.REGULARIZED:
        names |= {"history": "history.parquet", "optimizer": "optimizer.safetensors"}
    return {
        f"parent_{key}": model_file(model.parent, name) for key, name in names.items()
    }


def epochs_before(wildcards) -> int:
    """How many epochs of regularisation a checkpoint's parent has behind it."""
    model = models.Model(
        int(wildcards.seed), float(wildcards.l1), int(wildcards.epochs)
    )
    return model.parent.epochs or 0


def images_of(dataset: str) -> int | None:
    """On how many of a data set's test images models are run; None for all."""
    return None if dataset == ID else CONFIG.compare.ood_images


def dataset_sources(wildcards) -> list[str]:
    """A user's own folders, whose times tell when files were added to them or taken away."""
    spec = DATASETS[wildcards.dataset]
    if spec["kind"] != "imagefolder":
        return []
    root = Path(spec["path"])
    return sorted(str(p) for p in (root, *root.glob("*/"), *root.glob("*/*/")))


def download_folder(dataset: str) -> str | None:
    """Where torchvision keeps a data set; None for one that is not downloaded."""
    downloaded = DATASETS[dataset]["kind"] in schema.DOWNLOADED
    return CONFIG.data_root if downloaded else None


def pair_files(wildcards) -> list[str]:
    return [f"{RESULTS}/similarity/{wildcards.ood}/{a}--{b}.parquet" for a, b in PAIRS]


def artifact_files() -> list[str]:
    """Every artifact of every model: one that was deleted is made again, even if the report is."""
    return [
        *(file for model in MODELS for file in model_files(model)),
        *(f"{RESULTS}/predictions/{ID}/{model}.parquet" for model in MODELS),
        *expand(
            f"{RESULTS}/predictions/{{ood}}/{{model}}.parquet", ood=OOD, model=COMPARED
        ),
        *score_files(),
        *(
            f"{RESULTS}/similarity/{ood}/{a}--{b}.parquet"
            for ood in OOD
            for a, b in PAIRS
        ),
    ]


def model_files(model: models.Model) -> list[str]:
    """What a model's folder holds."""
    names = {
        models.BASE: ["weights.safetensors", "history.parquet", "model.json"],
        models.REGULARIZED: [
            "weights.safetensors",
            "history.parquet",
            "model.json",
            "optimizer.safetensors",
        ],
        models.PRUNED: ["weights.safetensors", "sparsity.json"],
    }
    return [model_file(model, name) for name in names[model.state]]


def score_files() -> list[str]:
    return [f"{RESULTS}/scores/{model}.json" for model in MODELS]


def history_files() -> list[str]:
    """The longest history of each walk: it holds the shorter ones."""
    last = max(CONFIG.regularize.epochs)
    return [
        model_file(model, "history.parquet")
        for model in MODELS
        if model.state == models.REGULARIZED and model.epochs == last
    ]


def report_texts() -> list[str]:
    """The captions, by paths that are the same wherever the workflow lies."""
    found = Path(workflow.basedir, "report").glob("*.rst")
    return sorted(os.path.relpath(path) for path in found)


def drawn(name: str, category: str) -> list:
    """One figure for each OOD set and measure, with its place in the report."""
    return [
        in_report(
            f"{FIGURES}/{name}_{ood}_{measure}.svg",
            caption=f"../report/{name}.rst",
            category=category,
            labels={
                "figure": name.replace("_", " "),
                "OOD set": ood,
                "measure": measure,
            },
        )
        for ood in OOD
        for measure in MEASURES
    ]


def drawn_once(name: str, category: str) -> object:
    """One figure for the whole experiment, with its place in the report."""
    return in_report(
        f"{FIGURES}/{name}.svg",
        caption=f"../report/{name}.rst",
        category=category,
        labels={"figure": name.replace("_", " "), "OOD set": "", "measure": ""},
    )
