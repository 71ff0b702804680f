# The experiment's models and files: the only place that knows paths from ids.
import functools
import os
import sys
from itertools import combinations_with_replacement
from pathlib import Path
from typing import get_args

from snakemake.iocontainers import Wildcards
from snakemake.utils import update_config

from skeletons import config as schema
from skeletons import (
    artifacts,
    catalogue,
    extensions,
    inspections,
    lock,
    models,
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
        if Path(
            "workflow_config.yaml"
        ).exists():  # not so where this workflow is a module
            yamlfile.read("workflow_config.yaml")
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
CACHE = config["cache"] = (
    CONFIG.cache
)  # jobs of their own process read it from `config`

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


def model_file(model: models.Model | str, name: str) -> str:
    return f"{RESULTS}/models/{model}/{name}"


def network_file(model: models.Model | str) -> str:
    """The model.json that describes a model's network; a pruned one's is its parent's."""
    model = models.Model.parse(str(model))
    pruned = model.state in models.MASKED
    return model_file(model.parent if pruned else model, "model.json")


def sparsity_file(model: str) -> list[str]:
    """A pruned model's sparsity.json, and nothing for another."""
    pruned = models.Model.parse(model).state in models.MASKED
    return [model_file(model, "sparsity.json")] if pruned else []


def parent_files(wildcards) -> dict[str, str]:
    """What a regularised checkpoint starts from: the base model, or an earlier checkpoint."""
    model = models.Model(
        int(wildcards.seed), float(wildcards.l1), int(wildcards.epochs)
    )
    names = {"weights": "weights.safetensors", "summary": "model.json"}
    if model.parent.state == models.REGULARIZED:
        names |= {
            "history": "history.parquet",
            "walk": "walk.parquet",
            "optimizer": "optimizer.safetensors",
        }
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


def compared_files(ood: str) -> list[str]:
    """What the table of all pairs on a data set is made from: a file a pair, or a block of them."""
    folder = f"{RESULTS}/similarity/{ood}"
    if not BLOCKS:
        return [f"{folder}/{a}--{b}.parquet" for a, b in PAIRS]
    seeds = sorted({model.seed for model in COMPARED})
    both = combinations_with_replacement(seeds, 2)
    return [f"{folder}/bases/seed={a}--seed={b}.parquet" for a, b in both]


def predictions_of_base(ood: str, seed: str) -> list[str]:
    """Predictions of all compared models that come from one base."""
    chosen = [model for model in COMPARED if model.seed == int(seed)]
    return [f"{RESULTS}/predictions/{ood}/{model}.parquet" for model in chosen]


def artifact_files() -> list[str]:
    """Every artifact of every model: one that was deleted is made again, even if the report is."""
    return [
        *(file for model in MODELS for file in model_files(model)),
        *(f"{RESULTS}/predictions/{ID}/{model}.parquet" for model in MODELS),
        *expand(
            f"{RESULTS}/predictions/{{ood}}/{{model}}.parquet", ood=OOD, model=COMPARED
        ),
        *score_files(),
        *(file for ood in SETS for file in compared_files(ood)),
        *measure_files(),
        *(file for files in inspection_files().values() for file in files),
    ]


def model_files(model: models.Model) -> list[str]:
    """What a model's folder holds."""
    trained = ["weights.safetensors", "history.parquet", "model.json"]
    pruned = ["weights.safetensors", "sparsity.json"]
    names = {
        models.BASE: trained,
        models.REORDERED: trained,
        models.UNTRAINED: ["weights.safetensors", "model.json"],
        models.REGULARIZED: [*trained, "walk.parquet", "optimizer.safetensors"],
        models.PRUNED: pruned,
        models.RANDOM: pruned,
    }
    return [model_file(model, name) for name in names[model.state]]


def score_files() -> list[str]:
    return [f"{RESULTS}/scores/{model}.json" for model in MODELS]


def drawn(name: str) -> list[str]:
    """One figure for each OOD set and measure."""
    return [
        f"{FIGURES}/{name}_{ood}_{measure}.svg" for ood in SETS for measure in MEASURES
    ]


def longest_walks(name: str) -> list[str]:
    """A file of each walk's longest checkpoint, which holds those of the shorter ones."""
    last = max(CONFIG.regularize.epochs)
    return [
        model_file(model, name)
        for model in MODELS
        if model.state == models.REGULARIZED and model.epochs == last
    ]


def walks_without_loss() -> list[str]:
    """Histories of the walks, if no loss was recorded along them: these have it once an epoch."""
    return [] if CONFIG.regularize.trace else longest_walks("history.parquet")


def verdict_predictions() -> list[str]:
    """Predictions of the models that a verdict is about, if a measure is a mean over images."""
    # What a measure of the user's is, only its code says; most are means over images.
    over_images = any(
        extensions.is_reference(measure) or catalogue.MEASURES[measure].per_image
        for measure in CONFIG.figures.measures
    )
    if not over_images:
        return []
    chosen = [
        m for m in COMPARED if m.state not in (models.UNTRAINED, models.REORDERED)
    ]
    return expand(
        f"{RESULTS}/predictions/{{ood}}/{{model}}.parquet", ood=SETS, model=chosen
    )


# --- costly measures ------------------------------------------------------------------------------


def feature_pairs(wildcards) -> list[str]:
    """A measure of representations on one OOD set: a file for each pair of compared models."""
    folder = f"{RESULTS}/representations/{wildcards.representation}/{wildcards.ood}"
    return [f"{folder}/{a}--{b}.parquet" for a, b in PAIRS]


def mask_pairs(wildcards) -> list[str]:
    """A measure of masks: a file for each pair of models that have one."""
    folder = f"{RESULTS}/weights/{wildcards.overlap}"
    return [f"{folder}/{a}--{b}.parquet" for a, b in models.pairs(MASKED)]


def alignment_of(wildcards) -> list[str]:
    """The permutations that align b's units to a's; nothing if they are left as they are.

    Units are a matter of the base: two models of one base hold theirs in the same order.
    """
    aligned = wildcards.overlap == "mask_overlap_aligned"
    return alignment_file(wildcards.a, wildcards.b) if aligned else []


def measure_tables() -> list[str]:
    """The table of each costly measure."""
    return [
        *expand(
            f"{RESULTS}/representations/{{measure}}/{{ood}}.parquet",
            measure=CONFIG.compare.representations,
            ood=OOD,
        ),
        *expand(
            f"{RESULTS}/weights/{{measure}}.parquet", measure=CONFIG.compare.weights
        ),
    ]


def measure_heatmaps() -> list[str]:
    """The heatmap of each costly measure."""
    return [
        *expand(
            f"{FIGURES}/heatmap_{{ood}}_{{measure}}.svg",
            measure=CONFIG.compare.representations,
            ood=OOD,
        ),
        *expand(f"{FIGURES}/heatmap_{{measure}}.svg", measure=CONFIG.compare.weights),
    ]


def measure_files() -> list[str]:
    """What costly measures leave: features, alignments, a file a pair, tables."""
    chosen = CONFIG.compare
    masked = list(models.pairs(MASKED))
    aligned = masked if "mask_overlap_aligned" in chosen.weights else []
    return [
        *expand(
            f"{RESULTS}/features/{{ood}}/{{model}}.safetensors",
            ood=OOD if chosen.representations else [],
            model=COMPARED,
        ),
        *(
            f"{RESULTS}/representations/{measure}/{ood}/{a}--{b}.parquet"
            for measure in chosen.representations
            for ood in OOD
            for a, b in PAIRS
        ),
        *(
            f"{RESULTS}/weights/{measure}/{a}--{b}.parquet"
            for measure in chosen.weights
            for a, b in masked
        ),
        *sorted({path for a, b in aligned for path in alignment_file(a, b)}),
        *measure_tables(),
    ]


# --- looks inside, at one variant of each base ----------------------------------------------------

BASES = [model for model in MODELS if model.state == models.BASE]


def variant_of(base: models.Model) -> models.Model:
    """The variant of a base that `inspect` looks at."""
    recipe = CONFIG.inspect.variant
    return models.Model(base.seed, recipe.l1, recipe.epochs, recipe.threshold)


def probed(wildcards) -> models.Model:
    """The variant whose skeleton is penalised; its regularised parent is what is trained on."""
    return variant_of(models.Model(int(wildcards.seed)))


def line_pairs() -> list[tuple[models.Model, models.Model]]:
    """Between which models the loss is measured: bases, a base and its variant, and variants."""
    chosen = list(models.pairs(BASES))[:1] if CONFIG.inspect.curve else []
    if CONFIG.inspect.lines:
        variants = [variant_of(base) for base in BASES]
        own = list(zip(BASES, variants, strict=True))
        chosen = [*models.pairs(BASES), *own, *models.pairs(variants)]
    return chosen


def plane_models() -> list[models.Model]:
    """The three models that span the plane, and those that are shown on it."""
    first, second = BASES[:2]
    walk = [m for m in MODELS if m.state == models.REGULARIZED and m.seed == first.seed]
    return [first, second, variant_of(first), *walk, variant_of(second)]


def alignment_file(a: models.Model | str, b: models.Model | str) -> list[str]:
    """The permutations that align a model to another; none where both come from one base."""
    one, two = (models.Model.parse(str(model)).base for model in (a, b))
    return [] if one == two else [f"{RESULTS}/alignment/{one}--{two}.safetensors"]


def matched_tables(wildcards) -> list[str]:
    return [f"{RESULTS}/importance/{m}.parquet" for m in (wildcards.a, wildcards.b)]


def inspection_files() -> dict[str, list[str]]:
    """All artifacts of looks inside, by kind; nothing of what is off."""
    looks = CONFIG.inspect
    variants = [variant_of(base) for base in BASES] if looks.variant else []
    first = list(models.pairs(BASES))[:1]
    pairs = list(models.pairs(variants))
    probes = [f"{base}_l1={models.spell(l1)}" for base in BASES for l1 in looks.probe]
    exposed = [f"{RESULTS}/exposed/{model}" for model in variants if looks.expose]
    importance = [
        f"{RESULTS}/importance/{model}" for model in variants if looks.importance
    ]
    matched = pairs if looks.importance else []
    curves = [f"{RESULTS}/curve/{a}--{b}" for a, b in first if looks.curve]
    planes = [f"{RESULTS}/plane"] if looks.plane else []
    kinds = {
        "lines": [f"{RESULTS}/lines/{a}--{b}.parquet" for a, b in line_pairs()],
        "plane": [f"{path}/plane.parquet" for path in planes],
        "located": [f"{path}/located.parquet" for path in planes],
        "curve": [f"{path}.parquet" for path in curves],
        "curve_weights": [f"{path}.safetensors" for path in curves],
        "exposed": [f"{path}/exposed.json" for path in exposed],
        "exposed_weights": [f"{path}/weights.safetensors" for path in exposed],
        "timing": [f"{path}/timing.json" for path in exposed],
        "importance": [f"{path}.json" for path in importance],
        "importance_units": [f"{path}.parquet" for path in importance],
        "matched": [f"{RESULTS}/importance/matched/{a}--{b}.json" for a, b in matched],
        "probe": [f"{RESULTS}/probe/{name}.json" for name in probes],
        "probe_epochs": [f"{RESULTS}/probe/{name}.parquet" for name in probes],
        "probe_weights": [f"{RESULTS}/probe/{name}.safetensors" for name in probes],
    }
    return {kind: files for kind, files in kinds.items() if files}


def inspection_findings() -> dict[str, list[str]]:
    """Those of them that the findings are about, by kind."""
    found = inspection_files()
    return {kind: found[kind] for kind in inspections.READ if kind in found}


def inspection_figures() -> list[str]:
    """The figures of looks inside that are on."""
    found = inspection_files()
    names = ["curve"] if CONFIG.inspect.curve else []
    names += ["lines"] if "lines" in found else []
    names += ["plane", "plane_surface"] if CONFIG.inspect.plane else []
    names += ["exposure"] if CONFIG.inspect.expose else []
    for kind in ("importance", "probe"):
        names += [f"{kind}_{Path(path).stem}" for path in found.get(kind, [])]
    return [f"{FIGURES}/{name}.svg" for name in names]
