"""The files of an experiment; the only module that knows all paths of results."""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import combinations_with_replacement
from pathlib import Path

from skeletons import model_ids
from skeletons.alignment.permutations import folder_of
from skeletons.findings import inspections
from skeletons.model_ids import Model
from skeletons.workflow.plan import DATA, Plan

TRAINED = ("weights.safetensors", "history.parquet", "model.json")
PRUNED = ("weights.safetensors", "sparsity.json")
FOLDERS = {  # the files in the folder of a model in each state
    model_ids.BASE: TRAINED,
    model_ids.OWN: ("weights.safetensors", "model.json"),
    model_ids.REORDERED: TRAINED,
    model_ids.UNTRAINED: ("weights.safetensors", "model.json"),
    model_ids.REGULARIZED: (*TRAINED, "walk.parquet", "optimizer.safetensors"),
    model_ids.PRUNED: PRUNED,
    model_ids.RANDOM: PRUNED,
    model_ids.STOPPED: TRAINED,
    model_ids.FORKED: TRAINED,
    model_ids.LABELS: TRAINED,
    model_ids.PLANTED: TRAINED,
}
CUT = "cut"  # the folder of pruned models as they are before retraining


class Targets:
    """The files of a plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.results = plan.results

    # --- one model or data set --------------------------------------------------------------------

    def images(self, dataset: str) -> str:
        """The images of a data set."""
        return f"{DATA}/{dataset}/images.safetensors"

    def model_file(self, model: Model | str, name: str) -> str:
        """A file in a model's folder."""
        return f"{self.results}/models/{model}/{name}"

    def cut_file(self, model: Model | str, name: str) -> str:
        """A file of a model as it was cut: its own if it is not retrained."""
        known = Model.parse(str(model))
        folder = CUT if self.plan.is_retrained(known) else "models"
        return f"{self.results}/{folder}/{known}/{name}"

    def files_of(self, model: Model) -> list[str]:
        """All files of a model, with those from before its retraining."""
        names = FOLDERS[model_ids.OWN if model.is_own_base else model.stage]
        found = [self.model_file(model, name) for name in names]
        if self.plan.is_retrained(model):
            found += [self.model_file(model, "history.parquet")]
            found += [self.cut_file(model, name) for name in PRUNED]
        return found

    def weights(self, model: Model | str) -> str:
        """A model's weights."""
        return self.model_file(model, "weights.safetensors")

    def network(self, model: Model | str) -> str:
        """The model.json of a model's network; that of a pruned model is its parent's."""
        model = Model.parse(str(model))
        pruned = model.stage in model_ids.MASKED
        return self.model_file(model.parent if pruned else model, "model.json")

    def ranks(self, model: Model) -> list[str]:
        """The scores of the weights that a pruned model is made from; none for plain thresholds."""
        criterion = self.plan.setup_of(model).prune.criterion
        if model.density is None and criterion not in ("taylor", "fisher"):
            return []
        return [f"{self.results}/ranks/{criterion}/{model.parent}.safetensors"]

    def ranks_of(self, walk: Model) -> str:
        """The scores of the weights of a regularised model, for pruning it to a density."""
        return self.ranks(walk.of(l1=walk.l1, epochs=walk.epochs, density=1.0))[0]

    def sparsity(self, model: str) -> list[str]:
        """The sparsity.json of a pruned model; none for other models."""
        pruned = Model.parse(model).stage in model_ids.MASKED
        return [self.model_file(model, "sparsity.json")] if pruned else []

    def parent_files(self, model: Model) -> dict[str, str]:
        """The files that a regularised checkpoint starts from: those of a base or a checkpoint."""
        names = {"weights": "weights.safetensors", "summary": "model.json"}
        if model.parent.stage == model_ids.REGULARIZED:
            names |= {
                "history": "history.parquet",
                "walk": "walk.parquet",
                "optimizer": "optimizer.safetensors",
            }
        return {f"parent_{key}": self.model_file(model.parent, name) for key, name in names.items()}

    def predictions(self, dataset: str, model: Model | str) -> str:
        """A model's logits on a data set."""
        return f"{self.results}/predictions/{dataset}/{model}.parquet"

    def alignment(self, a: Model | str, b: Model | str, by: str | None = None) -> list[str]:
        """The permutations that align b's units to a's; none if both come from one base.

        Only bases are aligned: all models of one base have their units in the same order.

        Args:
            a: the model that keeps its order.
            b: the model that is aligned.
            by: `weights` or `activations`; None for what the configuration says.
        """
        chosen = self.plan.config.alignment
        by = by or chosen.match
        one, two = (Model.parse(str(model)).base for model in (a, b))
        folder = folder_of(by, chosen.order)
        return [] if one == two else [f"{self.results}/alignment/{folder}{one}--{two}.safetensors"]

    def matched_by(self, base: Model | str, by: str) -> str:
        """What a base is matched by: its weights, or the activations of its units."""
        if by == "weights":
            return self.weights(base)
        return f"{self.results}/alignment/units/{base}.safetensors"

    def frame(self, model: Model | str, by: str) -> str:
        """The permutations of all bases of a model's network into one order."""
        return f"{self.results}/alignment/together/{by}/{_prefix(model)}frame.safetensors"

    def trunk(self, child: Model) -> list[str]:
        """The state that a child of a base begins at; none if no whole epoch is shared."""
        assert child.fork is not None
        epochs = math.floor(child.fork * self.plan.setup_of(child).base.epochs)
        return [f"{self.results}/trunks/{child.base}_ep={epochs}.safetensors"] if epochs else []

    def small(self, model: Model) -> dict[str, str]:
        """The files of the small network that is laid into a planted one."""
        tag = "" if model.net is None else f"net={model.net}_"
        folder = f"{self.results}/planted/{tag}width={self.plan.config.controls.planted}"
        return {"small": f"{folder}/weights.safetensors", "small_summary": f"{folder}/model.json"}

    def family_walks(self, name: str) -> list[str]:
        """A file of the longest checkpoint of each walk of a family of controls."""
        walked = [
            model
            for model in self.plan.models
            if model.stage == model_ids.REGULARIZED and model.family is not None
        ]
        longest = {(model.root, model.l1): model for model in walked}  # epochs ascend
        return [self.model_file(model, name) for model in longest.values()]

    def symmetries(self, model: Model | str) -> str:
        """Which units of a model's network can change places."""
        return f"{self.results}/alignment/{_prefix(model)}symmetries.json"

    def aligned(self, a: Model | str, b: Model | str) -> dict[str, str]:
        """What aligns b's units to a's, by its name as an input; nothing for models of one base."""
        found = self.alignment(a, b)
        return {"matched": found[0], "symmetries": self.symmetries(b)} if found else {}

    def aligned_on_line(self, a: Model | str, b: Model | str) -> dict[str, str]:
        """The same for a line: bases are aligned in each way, and variants in the chosen one."""
        bases = all(Model.parse(str(model)).state == model_ids.BASE for model in (a, b))
        ways = ("weights", "activations") if bases else (self.plan.config.alignment.match,)
        found = {f"by_{by}": path for by in ways for path in self.alignment(a, b, by)}
        return {**found, "symmetries": self.symmetries(b)} if found else {}

    def walk_of(self, base: Model | str) -> list[Model]:
        """A base, the end of the walk to its inspected variant, and the variant."""
        variant = self.plan.variant_of(base)
        return [variant.base, variant.parent, variant]

    def bridged(self, a: str, b: str) -> dict[str, list[str]]:
        """What a bridge is judged by, by its name as an input, beside its own points."""
        ends = [self.walk_of(base)[1] for base in (a, b)]
        return {
            "walks": [self.model_file(end, "walk.parquet") for end in ends],
            "histories": [self.model_file(end, "history.parquet") for end in ends],
            "scores": [f"{self.results}/scores/{base}.json" for base in (a, b)],
            "predictions_a": [self.predictions(ood, a) for ood in self.plan.ood],
            "predictions_b": [self.predictions(ood, b) for ood in self.plan.ood],
        }

    def masked_by(self, base: str, mask: str) -> dict[str, str]:
        """The pruned model whose mask a base is trained with, and what aligns its units."""
        of = base if mask in ("own", "random") else mask
        variant = self.plan.variant_of(of)
        return {"pruned": self.weights(variant), **self.aligned(of, base)}

    # --- pairs ------------------------------------------------------------------------------------

    def compared(self, ood: str) -> list[str]:
        """The inputs of the table of all pairs on a data set: one file per pair, or blocks."""
        folder = f"{self.results}/similarity/{ood}"
        if not self.plan.blocks:
            return [f"{folder}/{a}--{b}.parquet" for a, b in self.plan.pairs]
        models = Counter(model.base for model in self.plan.compared)
        both = combinations_with_replacement(models, 2)  # in the order of the compared models
        return [
            f"{folder}/bases/{a}--{b}.parquet"
            for a, b in both
            if a != b or models[a] > 1  # a single model makes no pair
        ]

    def predictions_of_base(self, ood: str, base: str) -> list[str]:
        """Predictions of all compared models that come from one base."""
        chosen = [model for model in self.plan.compared if str(model.base) == base]
        return [self.predictions(ood, model) for model in chosen]

    def feature_pairs(self, measure: str, ood: str) -> list[str]:
        """A measure of representations on one OOD set: one file per pair of compared models."""
        folder = f"{self.results}/representations/{measure}/{ood}"
        return [f"{folder}/{a}--{b}.parquet" for a, b in self.plan.pairs]

    def mask_pairs(self, measure: str) -> list[str]:
        """A measure of masks: one file per pair of models of one network that have a mask."""
        folder = f"{self.results}/weights/{measure}"
        pairs = self.plan.within_networks(self.plan.masked)
        return [f"{folder}/{a}--{b}.parquet" for a, b in pairs]

    def unwalked(self, a: Model | str, b: Model | str) -> dict[str, str]:
        """The bases of two pruned models of different bases, for the control without a walk."""
        one, two = Model.parse(str(a)), Model.parse(str(b))
        if {one.state, two.state} != {model_ids.PRUNED} or one.base == two.base:
            return {}
        return {"base_a": self.weights(one.base), "base_b": self.weights(two.base)}

    def mask_layers(self) -> list[str]:
        """The tables of the overlap of masks in each layer, one for each measure of masks."""
        folder = f"{self.results}/weights"
        return [f"{folder}/{m}_layers.parquet" for m in self.plan.config.compare.weights]

    # --- tables -----------------------------------------------------------------------------------

    def similarity_tables(self) -> list[str]:
        """The table of all pairs on each set."""
        return [f"{self.results}/similarity/{ood}.parquet" for ood in self.plan.sets]

    def measure_tables(self) -> list[str]:
        """The table of each costly measure."""
        compare = self.plan.config.compare
        return [
            *(
                f"{self.results}/representations/{measure}/{ood}.parquet"
                for measure in compare.representations
                for ood in self.plan.ood
            ),
            *(f"{self.results}/weights/{measure}.parquet" for measure in compare.weights),
        ]

    def scores(self) -> list[str]:
        """The scores of every model."""
        return [f"{self.results}/scores/{model}.json" for model in self.plan.models]

    def walks(self, name: str) -> list[str]:
        """A file of each walk's longest checkpoint, of bases and of controls."""
        return [*self.longest_walks(name), *self.family_walks(name)]

    def longest_walks(self, name: str) -> list[str]:
        """A file of the longest checkpoint of each walk of a base; it includes the shorter ones."""
        plan = self.plan
        return [
            self.model_file(model, name)
            for model in plan.models
            if model.stage == model_ids.REGULARIZED
            and model.family is None
            and model.epochs == max(plan.setup_of(model).regularize.epochs)
        ]

    def base_histories(self) -> list[str]:
        """The history of each base that is trained here."""
        trained = (base for base in self.plan.bases if not base.is_own_base)
        return [self.model_file(base, "history.parquet") for base in trained]

    def walks_without_loss(self) -> list[str]:
        """Histories of the walks, with a loss per epoch, if no loss was recorded per step."""
        plan = self.plan
        walks = {
            path: plan.setup_of(_model(path)).regularize for path in self.walks("history.parquet")
        }
        return [path for path, walk in walks.items() if not walk.trace and walk.room is None]

    def compared_predictions(self) -> list[str]:
        """Predictions of all compared models on the compared sets and on the test set.

        Of many models, those on the test set, often of 10,000 images, would not fit into memory.
        """
        sets = dict.fromkeys([*self.plan.sets, *([] if self.plan.blocks else [self.plan.task])])
        return [self.predictions(name, model) for name in sets for model in self.plan.compared]

    # --- figures ----------------------------------------------------------------------------------

    def drawn(self, name: str) -> list[str]:
        """One figure for each set, measure and network; a heatmap shows all networks."""
        plan = self.plan
        tags = [None] if name == "heatmap" else plan.setups
        return [
            f"{plan.figures}/{name}_{ood}_{measure}{model_ids.suffix(tag)}.svg"
            for ood in plan.sets
            for measure in plan.measures
            for tag in tags
        ]

    def measure_heatmaps(self) -> list[str]:
        """The heatmap of each costly measure."""
        plan = self.plan
        return [
            *(
                f"{plan.figures}/heatmap_{ood}_{measure}.svg"
                for measure in plan.config.compare.representations
                for ood in plan.ood
            ),
            *(f"{plan.figures}/heatmap_{measure}.svg" for measure in plan.config.compare.weights),
        ]

    def inspection_figures(self) -> list[str]:
        """The figures of the requested inspections."""
        looks = self.plan.config.inspect
        found = self.inspections()
        names = ["curve"] if looks.curve else []
        names += ["lines"] if "lines" in found else []
        names += ["plane", "plane_surface"] if looks.plane else []
        names += ["bridge"] if "bridge" in found else []
        names += ["transfer"] if "transfer" in found else []
        names += ["exposure"] if looks.expose else []
        names += ["sparsest"] if "sparsest" in found else []
        if "layer_maps" in found:
            names += [f"layers_{ood}_{name}" for ood in self.plan.ood for name in looks.layers]
        for kind in ("importance", "probe"):
            names += [f"{kind}_{Path(path).stem}" for path in found.get(kind, [])]
        return [f"{self.plan.figures}/{name}.svg" for name in names]

    def figures(self) -> Iterator[tuple[str, str, dict[str, str]]]:
        """Every figure that no inspection draws: its path, its stage, and that rule's wildcards."""
        plan, compare = self.plan, self.plan.config.compare
        several = ("rises", "kinds_of_pairs", "heatmap", "cross_base", "similarity_to_base")
        names = [path for name in several for path in self.drawn(name)]
        names += [f"{plan.figures}/{name}.svg" for name in ("accuracy_vs_sparsity", "ridge_walk")]
        yield from ((path, "figures", {}) for path in names)
        for measure in compare.representations:
            for ood in plan.ood:
                path = f"{plan.figures}/heatmap_{ood}_{measure}.svg"
                yield path, "heatmap_of_features", {"ood": ood, "representation": measure}
        for overlap in compare.weights:
            path = f"{plan.figures}/heatmap_{overlap}.svg"
            yield path, "heatmap_of_masks", {"overlap": overlap}

    # --- inspections ------------------------------------------------------------------------------

    @functools.cache  # noqa: B019 - one plan lives as long as the run
    def inspections(self) -> dict[str, list[str]]:
        """All artifacts of the requested inspections, by kind."""
        plan, results = self.plan, self.results
        looks = plan.config.inspect
        inspected = [variant.base for variant in plan.variants]
        probes = [f"{base}_l1={model_ids.spell(l1)}" for base in inspected for l1 in looks.probe]
        exposed = [f"{results}/exposed/{model}" for model in plan.variants if looks.expose]
        valued = [f"{results}/importance/{model}" for model in plan.variants if looks.importance]
        matched = plan.within_networks(plan.variants) if looks.importance else []
        curves = [f"{results}/curve/{a}--{b}" for a, b in plan.first_bases() if looks.curve]
        planes = [f"{results}/plane"] if looks.plane else []
        bridges = [f"{a}--{b}" for a, b in plan.bridge_pairs() if looks.bridge]
        transfers = plan.transfers() if looks.transfer else []
        kinds = {
            "lines": [f"{results}/lines/{a}--{b}.parquet" for a, b in plan.line_pairs()],
            "plane": [f"{path}/plane.parquet" for path in planes],
            "located": [f"{path}/located.parquet" for path in planes],
            "curve": [f"{path}.parquet" for path in curves],
            "curve_weights": [f"{path}.safetensors" for path in curves],
            "bridge": [f"{results}/bridge/{pair}.json" for pair in bridges],
            "bridge_points": [f"{results}/bridge/{pair}.parquet" for pair in bridges],
            "original_width": [
                f"{results}/bridge/original_width/{pair}.parquet" for pair in bridges
            ],
            "original_width_units": [
                f"{results}/bridge/original_width/{pair}.json" for pair in bridges
            ],
            "transfer": [f"{results}/transfer/{b}_mask={of}.json" for b, of in transfers],
            "exposed": [f"{path}/exposed.json" for path in exposed],
            "exposed_weights": [f"{path}/weights.safetensors" for path in exposed],
            "timing": [f"{path}/timing.json" for path in exposed],
            "importance": [f"{path}.json" for path in valued],
            "importance_units": [f"{path}.parquet" for path in valued],
            "matched": [f"{results}/importance/matched/{a}--{b}.json" for a, b in matched],
            "probe": [f"{results}/probe/{name}.json" for name in probes],
            "probe_epochs": [f"{results}/probe/{name}.parquet" for name in probes],
            "probe_weights": [f"{results}/probe/{name}.safetensors" for name in probes],
            "sparsest": [f"{results}/sparsest/{base}.json" for base in inspected if looks.sparsest],
            "layers": [
                f"{results}/layers/{ood}/{model}.safetensors"
                for ood in (plan.ood if looks.layers else [])
                for model in (*inspected, *plan.variants)
            ],
            "layer_maps": [
                f"{results}/layer_maps/{measure}/{ood}/{a}--{b}.parquet"
                for measure in looks.layers
                for ood in plan.ood
                for a, b in plan.inspected_pairs()
            ],
        }
        return {kind: files for kind, files in kinds.items() if files}

    def inspection_findings(self) -> dict[str, list[str]]:
        """The artifacts of inspections that the findings read, by kind."""
        found = self.inspections()
        return {kind: found[kind] for kind in inspections.READ if kind in found}

    # --- everything -------------------------------------------------------------------------------

    def artifacts(self) -> list[str]:
        """Every artifact, so that a deleted one is made again even if the report exists."""
        plan = self.plan
        return [
            *_flat(self.files_of(model) for model in plan.models),
            *sorted(
                {
                    path
                    for model in plan.models
                    if model.stage == model_ids.PRUNED
                    for path in self.ranks(model)
                }
                | {
                    self.ranks_of(one.parent)
                    for one in plan.variants
                    if plan.config.inspect.sparsest
                }
            ),
            *self._made_for_controls(),
            *(self.predictions(plan.task, model) for model in plan.models),
            *(self.predictions(ood, model) for ood in plan.ood for model in plan.compared),
            *self.scores(),
            *(path for ood in plan.sets for path in self.compared(ood)),
            *self._costly(),
            *_flat(self.inspections().values()),
        ]

    def _made_for_controls(self) -> list[str]:
        """What controls are made from and no model is: trunks of forks, and small networks."""
        found: dict[str, None] = {}
        for model in self.plan.models:
            if model.stage == model_ids.FORKED:
                found |= dict.fromkeys(self.trunk(model))
            if model.stage == model_ids.PLANTED:
                small = self.small(model).values()
                folder = Path(next(iter(small))).parent
                found |= dict.fromkeys([*small, f"{folder}/history.parquet"])
        return list(found)

    def _costly(self) -> list[str]:
        """The files of costly measures: features, one file per pair, alignments, tables."""
        plan, compare = self.plan, self.plan.config.compare
        masked = plan.within_networks(plan.masked)
        aligned = masked if "mask_overlap_aligned" in compare.weights else []
        return [
            *(
                f"{self.results}/features/{ood}/{model}.safetensors"
                for ood in (plan.ood if compare.representations else [])
                for model in plan.compared
            ),
            *_flat(
                self.feature_pairs(measure, ood)
                for measure in compare.representations
                for ood in plan.ood
            ),
            *_flat(self.mask_pairs(measure) for measure in compare.weights),
            *sorted({path for a, b in aligned for path in self.alignment(a, b)}),
            *self.measure_tables(),
            *self.mask_layers(),
        ]


def _prefix(model: Model | str) -> str:
    """The beginning of the names of files of a model's network."""
    tag = Model.parse(str(model)).net
    return "" if tag is None else f"net={tag}_"


def _model(path: str) -> str:
    """The id of the model in whose folder a file lies."""
    return Path(path).parent.name


def _flat(lists: Iterable[list[str]]) -> list[str]:
    return [path for paths in lists for path in paths]
