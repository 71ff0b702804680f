"""The files of single models and of what aligns two of them."""

from __future__ import annotations

import math
from collections.abc import Callable

from skeletons import model_ids
from skeletons.alignment.permutations import folder_of
from skeletons.config.names import CRITERIA
from skeletons.model_ids import Model
from skeletons.user_code.references import is_reference
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


class ModelFiles:
    """The files of the models and data sets of a plan."""

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
        if model.density is None and criterion not in CRITERIA[1:]:
            return []
        return [f"{self.results}/ranks/{criterion}/{model.parent}.safetensors"]

    def units(self, model: Model) -> list[str]:
        """The weights of the units of a pruned model's network, if whole units are pruned."""
        setup = self.plan.setup_of(model)
        if setup.regularize.groups == "weights" or is_reference(setup.prune.criterion):
            return []
        return [f"{self.results}/units/{_prefix(model)}units.json"]

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

    def longest_walks(self, name: str) -> list[str]:
        """A file of the longest checkpoint of each walk of a base; it includes the shorter ones.

        A walk without a penalty may be shorter than the others, if there is a primary recipe.
        """
        return self._longest(name, lambda model: model.family is None)

    def family_walks(self, name: str) -> list[str]:
        """The same for the walks of families of controls."""
        return self._longest(name, lambda model: model.family is not None)

    def _longest(self, name: str, chosen: Callable[[Model], bool]) -> list[str]:
        walked = [model for model in self.plan.models if model.stage == model_ids.REGULARIZED]
        longest = {(model.root, model.l1): model for model in walked if chosen(model)}
        return [self.model_file(model, name) for model in longest.values()]  # epochs ascend

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


def _prefix(model: Model | str) -> str:
    """The beginning of the names of files of a model's network."""
    tag = Model.parse(str(model)).net
    return "" if tag is None else f"net={tag}_"
