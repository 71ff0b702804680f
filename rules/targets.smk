# Which files an experiment consists of: with `inspect_targets.smk` the only place that knows paths.
from collections import Counter
from itertools import combinations_with_replacement

from skeletons import catalogue


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
    models = Counter(model.seed for model in COMPARED)
    both = combinations_with_replacement(sorted(models), 2)
    return [
        f"{folder}/bases/seed={a}--seed={b}.parquet"
        for a, b in both
        if a != b or models[a] > 1  # one model alone makes no pair
    ]


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
    # What a measure of the user's is, only its code says. If it is no mean over images, findings take
    # its values from the table, and these files, which are there anyway, are read in vain.
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


def alignment_file(a: models.Model | str, b: models.Model | str) -> list[str]:
    """The permutations that align a model to another; none where both come from one base."""
    one, two = (models.Model.parse(str(model)).base for model in (a, b))
    return [] if one == two else [f"{RESULTS}/alignment/{one}--{two}.safetensors"]
