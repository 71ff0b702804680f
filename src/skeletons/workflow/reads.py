"""What each stage reads, by the path of the artifact that it makes.

The rules list the inputs of jobs in a run. This table gives the same inputs for any artifact, also
outside of a run. A test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from skeletons.model_ids import Model
from skeletons.workflow.plan import DATA
from skeletons.workflow.targets import Targets

Wildcards = Mapping[str, str]
Reads = Callable[[Targets, Wildcards], Iterable[str]]
_MODEL, _PAIR = r"(?P<model>[^/]+)", r"(?P<a>[^/]+)--(?P<b>[^/]+?)"


def of_data(targets: Targets, *names: str) -> list[str]:
    """Files of the task's data set."""
    return [f"{DATA}/{targets.plan.task}/{name}" for name in names]


def _of_network(targets: Targets, wildcards: Wildcards) -> list[str]:
    """The inputs of each stage that runs one network."""
    dataset = wildcards.get("dataset", targets.plan.task)
    model = wildcards["model"]
    return [targets.weights(model), targets.network(model), targets.images(dataset)]


def _bases(targets: Targets, wildcards: Wildcards) -> list[str]:
    """The inputs of each inspection of two models, without their alignment."""
    a, b = wildcards["a"], wildcards["b"]
    images = targets.images(targets.plan.task)
    return [targets.weights(a), targets.weights(b), targets.network(a), images]


def _of_score(targets: Targets, wildcards: Wildcards) -> list[str]:
    model = wildcards["model"]
    predictions = targets.predictions(targets.plan.task, model)
    return [predictions, targets.network(model), *targets.sparsity(model)]


def _of_masks(targets: Targets, wildcards: Wildcards) -> list[str]:
    a, b = wildcards["a"], wildcards["b"]
    aligned = targets.aligned(a, b) if wildcards["overlap"] == "mask_overlap_aligned" else {}
    bases = targets.unwalked(a, b).values()
    return [targets.weights(a), targets.weights(b), targets.network(a), *bases, *aligned.values()]


def _of_alignment(targets: Targets, wildcards: Wildcards) -> list[str]:
    a, b = wildcards["a"], wildcards["b"]
    return [targets.weights(a), targets.weights(b), targets.symmetries(b)]


def _of_units(targets: Targets, wildcards: Wildcards) -> list[str]:
    return [*_of_network(targets, wildcards), targets.symmetries(wildcards["model"])]


def _of_both_units(targets: Targets, wildcards: Wildcards) -> list[str]:
    a, b = wildcards["a"], wildcards["b"]
    held = [targets.matched_by(base, "activations") for base in (a, b)]
    return [*held, targets.symmetries(b)]


def _of_frame(targets: Targets, wildcards: Wildcards) -> list[str]:
    bases = targets.plan.bases_of(wildcards["net"])
    held = [targets.matched_by(base, wildcards["by"]) for base in bases]
    return [*held, targets.symmetries(bases[0])]


def _through_frame(targets: Targets, wildcards: Wildcards) -> list[str]:
    a, b, by = wildcards["a"], wildcards["b"], wildcards["by"]
    held = [targets.matched_by(base, by) for base in (a, b)]
    return [targets.frame(b, by), *held, targets.symmetries(b)]


def _of_plane(targets: Targets, wildcards: Wildcards) -> list[str]:
    plan = targets.plan
    return [
        *(targets.weights(model) for model in plan.plane_models()),
        targets.network(plan.plane_models()[0]),
        targets.images(plan.task),
        *targets.aligned(*plan.plane_models()[:2]).values(),
    ]


def _of_timing(targets: Targets, wildcards: Wildcards) -> list[str]:
    folder = f"{targets.results}/exposed/{wildcards['model']}"
    exposed = [f"{folder}/weights.safetensors", f"{folder}/exposed.json"]
    return [*_of_network(targets, wildcards), *exposed]


def _of_importance(targets: Targets, wildcards: Wildcards) -> list[str]:
    parent = Model.parse(wildcards["model"]).parent
    return [targets.weights(parent), *_of_network(targets, wildcards)]


def _of_match(targets: Targets, wildcards: Wildcards) -> list[str]:
    a, b = wildcards["a"], wildcards["b"]
    tables = [f"{targets.results}/importance/{model}.parquet" for model in (a, b)]
    return [*tables, targets.weights(b), *targets.aligned(a, b).values()]


def _of_probe(targets: Targets, wildcards: Wildcards) -> list[str]:
    variant = targets.plan.variant_of(wildcards["base_id"])
    return [
        targets.images(targets.plan.task),
        targets.weights(variant.parent),
        targets.network(variant),
        targets.weights(variant),
    ]


def _of_sparsest(targets: Targets, wildcards: Wildcards) -> list[str]:
    walk = targets.plan.variant_of(wildcards["base_id"]).parent
    return [
        targets.images(targets.plan.task),
        targets.weights(walk),
        targets.network(walk),
        targets.weights(walk.base),
        targets.network(walk.base),
        targets.ranks_of(walk),
    ]


def _of_original_width(targets: Targets, wildcards: Wildcards) -> list[str]:
    a, b = (targets.walk_of(wildcards[name]) for name in ("a", "b"))
    models = [targets.weights(model) for model in (*a, *b)]
    return [*models, targets.network(wildcards["a"]), targets.images(targets.plan.task)]


def _of_judged_bridge(targets: Targets, wildcards: Wildcards) -> list[str]:
    a, b = wildcards["a"], wildcards["b"]
    place, pair = f"{targets.results}/bridge", f"{a}--{b}"
    return [
        f"{place}/{pair}.parquet",
        *(f"{place}/original_width/{pair}.{suffix}" for suffix in ("parquet", "json")),
        *(path for paths in targets.bridged(a, b).values() for path in paths),
        targets.network(a),
    ]


def _of_transfer(targets: Targets, wildcards: Wildcards) -> list[str]:
    data = of_data(targets, "images.safetensors", "info.json")
    return [*data, *targets.masked_by(wildcards["base_id"], wildcards["mask"]).values()]


def _of_block(targets: Targets, wildcards: Wildcards) -> list[str]:
    bases = dict.fromkeys((wildcards["one"], wildcards["two"]))
    return [path for base in bases for path in targets.predictions_of_base(wildcards["ood"], base)]


def _of_report(targets: Targets, wildcards: Wildcards) -> list[str]:
    names = ("config.yaml", "versions.json", "findings.json", "scores.parquet")
    return [
        *(f"{targets.results}/{name}" for name in names),
        *targets.similarity_tables(),
        *targets.measure_tables(),
        *targets.base_histories(),
        *targets.longest_walks("history.parquet"),
        *(path for path, _, _ in targets.figures()),
        *targets.inspection_figures(),
    ]


def _nothing(targets: Targets, wildcards: Wildcards) -> list[str]:
    """For stages that check no lineages: they would follow every pair to its beginnings."""
    return []


def _pair_in(folder: str) -> Reads:
    """A pair of files of two models, in a folder that may be named by a wildcard."""

    def reads(targets: Targets, wildcards: Wildcards) -> list[str]:
        place = f"{targets.results}/{folder.format(**wildcards)}"
        features = folder.startswith(("features", "layers"))
        suffix = "safetensors" if features else "parquet"
        return [f"{place}/{wildcards[name]}.{suffix}" for name in ("a", "b")]

    return reads


# By the path of an artifact in its experiment: the stage that makes it, and that stage's inputs.
MADE: tuple[tuple[str, str, Reads], ...] = (
    (rf"predictions/(?P<dataset>[^/]+)/{_MODEL}\.parquet", "predict", _of_network),
    (rf"features/(?P<dataset>[^/]+)/{_MODEL}\.safetensors", "features", _of_network),
    (rf"layers/(?P<dataset>[^/]+)/{_MODEL}\.safetensors", "layers", _of_network),
    (rf"ranks/(?P<criterion>[^/]+)/{_MODEL}\.safetensors", "rank", _of_network),
    (rf"scores/{_MODEL}\.json", "score", _of_score),
    (
        r"trunks/(?P<base_id>[^/]+)_ep=(?P<epochs>[^/]+)\.safetensors",
        "trunk",
        lambda targets, found: of_data(targets, "images.safetensors", "info.json"),
    ),
    (
        r"planted/(?P<net>(?:net=[^/]+_)?)width=(?P<width>\d+)/(weights\.safetensors|history\.parquet|model\.json)",
        "small",
        lambda targets, found: of_data(targets, "images.safetensors", "info.json"),
    ),
    (
        r"similarity/(?P<ood>[^/]+)/bases/(?P<one>[^/]+)--(?P<two>[^/]+?)\.parquet",
        "compare_bases",
        _of_block,
    ),
    (rf"similarity/(?P<ood>[^/]+)/{_PAIR}\.parquet", "compare", _pair_in("predictions/{ood}")),
    (
        rf"representations/(?P<representation>[^/]+)/(?P<ood>[^/]+)/{_PAIR}\.parquet",
        "compare_features",
        _pair_in("features/{ood}"),
    ),
    (
        rf"layer_maps/(?P<representation>[^/]+)/(?P<ood>[^/]+)/{_PAIR}\.parquet",
        "compare_layers",
        _pair_in("layers/{ood}"),
    ),
    (rf"weights/(?P<overlap>[^/]+)/{_PAIR}\.parquet", "compare_masks", _of_masks),
    (
        r"alignment/(?P<net>(?:net=[^/]+_)?)symmetries\.json",
        "symmetries",
        lambda targets, found: of_data(targets, "info.json"),
    ),
    (
        r"units/(?P<net>(?:net=[^/]+_)?)units\.json",
        "units",
        lambda targets, found: of_data(targets, "info.json"),
    ),
    (rf"alignment/{_PAIR}\.(safetensors|json)", "align", _of_alignment),
    (rf"alignment/units/{_MODEL}\.safetensors", "activations", _of_units),
    (rf"alignment/activations/{_PAIR}\.(safetensors|json)", "align_activations", _of_both_units),
    (
        r"alignment/together/(?P<by>[^/]+)/(?P<net>(?:net=[^/]+_)?)frame\.safetensors",
        "align_together",
        _of_frame,
    ),
    (
        rf"alignment/together/(?P<by>[^/]+)/{_PAIR}\.(safetensors|json)",
        "align_through_frame",
        _through_frame,
    ),
    (
        rf"lines/{_PAIR}\.parquet",
        "line",
        lambda targets, pair: [
            *_bases(targets, pair),
            *targets.aligned_on_line(pair["a"], pair["b"]).values(),
        ],
    ),
    (
        rf"curve/{_PAIR}\.(parquet|safetensors)",
        "curve",
        lambda targets, pair: [
            *_bases(targets, pair),
            *targets.aligned(pair["a"], pair["b"]).values(),
        ],
    ),
    (rf"bridge/original_width/{_PAIR}\.(parquet|json)", "original_width", _of_original_width),
    (rf"bridge/{_PAIR}\.parquet", "bridge", _bases),
    (rf"bridge/{_PAIR}\.json", "judge_bridge", _of_judged_bridge),
    (r"transfer/(?P<base_id>[^/]+)_mask=(?P<mask>[^/]+)\.json", "transfer", _of_transfer),
    (r"plane/(plane|located)\.parquet", "plane", _of_plane),
    (rf"exposed/{_MODEL}/(weights\.safetensors|exposed\.json)", "expose", _of_network),
    (rf"exposed/{_MODEL}/timing\.json", "time_exposed", _of_timing),
    (rf"importance/matched/{_PAIR}\.json", "match_importance", _of_match),
    (rf"importance/{_MODEL}\.(parquet|json)", "importance", _of_importance),
    (
        r"probe/(?P<base_id>[^/]+)_l1=(?P<l1>[^_/]+)\.(parquet|json|safetensors)",
        "probe",
        _of_probe,
    ),
    (rf"takeover/{_MODEL}\.(parquet|json|safetensors)", "takeover", _of_importance),
    (r"sparsest/(?P<base_id>[^/]+)\.json", "sparsest", _of_sparsest),
    (
        r"similarity/(?P<ood>[^/]+)\.parquet",
        "similarity",
        lambda targets, found: targets.compared(found["ood"]),
    ),
    (
        r"representations/(?P<representation>[^/]+)/(?P<ood>[^/]+)\.parquet",
        "representations",
        lambda targets, found: targets.feature_pairs(found["representation"], found["ood"]),
    ),
    (
        r"weights/(?P<overlap>[^/]+?)(?:_layers)?\.parquet",
        "weights",
        lambda targets, found: targets.mask_pairs(found["overlap"]),
    ),
    (
        r"findings\.json|findings\.md",
        "findings",
        lambda targets, found: [*targets.scores(), f"{targets.results}/verdict.json"],
    ),
    (r"verdict\.json", "verdict", lambda targets, found: targets.scores()),
    (r"scores\.parquet", "scores", lambda targets, found: targets.scores()),
    (r"versions\.json|config\.yaml", "record", _nothing),
    (r"report\.html", "report", _of_report),
)
