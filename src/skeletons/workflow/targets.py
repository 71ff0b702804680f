"""The files of an experiment: pairs, tables, figures, and the list of all that a run makes."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import combinations_with_replacement
from pathlib import Path

from skeletons import model_ids
from skeletons.findings.inspected import READ
from skeletons.model_ids import Model, net_of
from skeletons.workflow.model_files import ModelFiles


class Targets(ModelFiles):
    """The files of a plan."""

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
        """The bases of two pruned models of different bases, for the control without a walk.

        If whole units were pruned, the weights of each unit as well.
        """
        one, two = Model.parse(str(a)), Model.parse(str(b))
        if {one.state, two.state} != {model_ids.PRUNED} or one.base == two.base:
            return {}
        bases = {"base_a": self.weights(one.base), "base_b": self.weights(two.base)}
        return bases | dict(zip(("units",), self.units(one), strict=False))

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

        def of_networks(kind: str) -> list[str]:
            return list(dict.fromkeys(map(model_ids.suffix, map(net_of, found.get(kind, [])))))

        names = ["curve"] if looks.curve else []
        names += ["plane", "plane_surface"] if looks.plane else []
        names += ["exposure"] if looks.expose else []
        names += ["sparsest"] if "sparsest" in found else []
        summed = ("lines", "bridge", "transfer")
        names += [kind + end for kind in summed for end in of_networks(kind)]
        names += [
            f"layers_{ood}_{name}{end}"
            for end in of_networks("layer_maps")
            for ood in self.plan.ood
            for name in looks.layers
        ]
        for kind in ("importance", "probe", "takeover"):
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
        faded = [f"{results}/takeover/{model}" for model in plan.variants if looks.takeover]
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
            "takeover": [f"{path}.json" for path in faded],
            "takeover_epochs": [f"{path}.parquet" for path in faded],
            "takeover_weights": [f"{path}.safetensors" for path in faded],
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
        return {kind: found[kind] for kind in READ if kind in found}

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
                    for path in (*self.ranks(model), *self.units(model))
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


def _model(path: str) -> str:
    """The id of the model in whose folder a file lies."""
    return Path(path).parent.name


def _flat(lists: Iterable[list[str]]) -> list[str]:
    return [path for paths in lists for path in paths]
