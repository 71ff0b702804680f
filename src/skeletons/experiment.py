"""An experiment's results from Python: its models as networks, its tables, its figures.

For example::

    from skeletons import Experiment

    demo = Experiment("results/demo")
    demo.similarity()
    demo.load("seed=1")

Nothing here writes or trains, and every file is checked when it is read. This module does not
import torch; that happens when the first network is loaded.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from skeletons import plots, text
from skeletons.alignment.results import aligned
from skeletons.arrays import Floats
from skeletons.config.names import MASK_MEASURES, REPRESENTATIONS
from skeletons.data.files import check_source, read_split
from skeletons.data.given import as_pixels
from skeletons.errors import ArtifactError, SkeletonsError
from skeletons.findings import pair_tables
from skeletons.measures import behaviour, user_defined
from skeletons.measures import predictions as saved
from skeletons.measures.catalogue import MEASURES
from skeletons.measures.measure import Measure
from skeletons.measures.predictions import Predictions
from skeletons.model_ids import MASKED, Model
from skeletons.report import settings
from skeletons.store import artifacts
from skeletons.store.artifacts import Array
from skeletons.user_code import references

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from torch import nn

Images = npt.NDArray[Any]


class Experiment:
    """The results of one experiment, as written by a run of the workflow.

    Attributes:
        path: the folder, `results/EXPERIMENT`.
    """

    def __init__(self, path: str | Path) -> None:
        """Open a folder of results.

        Args:
            path: `results/EXPERIMENT`. Data sets are expected beside it, in `results/data`.

        Raises:
            ArtifactError: it is not the folder of a finished experiment.
        """
        self.path = Path(path)
        if not (self.path / "scores.parquet").is_file():
            raise ArtifactError(_not_an_experiment(self.path))
        self._scores = artifacts.read_table(self.path / "scores.parquet", ["model", "state"])

    def __repr__(self) -> str:
        sets = ", ".join(self.compared_on)
        return f"Experiment({str(self.path)!r}): {len(self._scores)} models, compared on {sets}"

    # --- contents ---------------------------------------------------------------------------------

    def models(self, *states: str) -> pd.DataFrame:
        """All models, or those in the given states, in canonical order: one row per model.

        Returns:
            Columns model (the id), state, seed, l1, epochs and threshold; loss (nats) and
            accuracy (0..1) on the test set; density and sparsity; dead; optimal; and others.

        Raises:
            SkeletonsError: no model is in one of the states.
        """
        for state in states:
            _known(state, self._scores.state.unique(), "state")
        chosen = self._scores.state.isin(states) if states else slice(None)
        return self._scores[chosen].reset_index(drop=True)

    @property
    def compared_on(self) -> list[str]:
        """The data sets on which all pairs were compared."""
        return sorted(path.stem for path in (self.path / "similarity").glob("*.parquet"))

    @property
    def predicted_on(self) -> list[str]:
        """The data sets with saved predictions, including the test set of the task."""
        return sorted(path.name for path in (self.path / "predictions").glob("*") if path.is_dir())

    def dataset(self, name: str | None = None) -> str:
        """The name of a data set that pairs were compared on; None for the only one.

        Raises:
            SkeletonsError: there is no such data set, or there are several and none is named.
        """
        return _only(name, self.compared_on, "data set that pairs were compared on")

    @functools.cached_property
    def findings(self) -> dict[str, Any]:
        """The content of findings.json: the verdict, the claims and their evidence."""
        return artifacts.read_json(self.path / "findings.json", ["verdict"])

    @property
    def first_measure(self) -> str:
        """The name of `findings.primary.measure`, on which the verdict is based."""
        return str(self.findings["verdict"]["measure"])

    @functools.cached_property
    def colormap(self) -> str:
        """The colour map of its heatmaps, `figures.colormap`."""
        return settings.colormap_in(self.path / "config.yaml")

    # --- tables -----------------------------------------------------------------------------------

    def pairs(self, dataset: str | None = None) -> pd.DataFrame:
        """The table of all pairs on a data set as the workflow wrote it, with a column per measure.

        Args:
            dataset: one of `compared_on`; None if there is only one.

        Raises:
            SkeletonsError: there is no such data set, or there are several and none is named.
        """
        path = self.path / "similarity" / f"{self.dataset(dataset)}.parquet"
        return artifacts.read_table(path, ["a", "b"])

    def similarity(self, dataset: str | None = None) -> pd.DataFrame:
        """The similarity of all pairs as a tidy table: one row per pair and measure.

        Args:
            dataset: one of `compared_on`; None if there is only one.

        Returns:
            Columns a and b, the pair; ood, the data set; measure; value, NaN if the pair has none,
            and the reason for that; std, the standard deviation over images, NaN for measures that
            are not means over images; and seed, state, l1, epochs, threshold and draw of each
            model, as seed_a, seed_b and so on. The costly measures that were computed are included;
            for those of masks, ood is empty.

        Raises:
            SkeletonsError: there is no such data set, or there are several and none is named.
        """
        name = self.dataset(dataset)
        wide = self.pairs(name)
        names = [*MEASURES, *self._user_defined]
        found = [(wide, measure) for measure in names if measure in wide.columns]
        features = self.path.glob(f"representations/*/{name}.parquet")
        for path in [*sorted(features), *sorted(self.path.glob("weights/*.parquet"))]:
            measure = path.stem if path.parent.name == "weights" else path.parent.name
            if measure in (*REPRESENTATIONS, *MASK_MEASURES):  # not the tables of single layers
                found.append((artifacts.read_table(path, ["a", "b", measure]), measure))
        parts = [pair_tables.one_measure(*one) for one in found]
        return pair_tables.annotate(pd.concat(parts, ignore_index=True))

    def history(self, model: str) -> pd.DataFrame:
        """The training of a model: one row per epoch.

        For a pruned model, it is its retraining, or without one that of its regularised model.

        Raises:
            SkeletonsError: there is no such model, or it was not trained.
        """
        return artifacts.read_table(self._of_training(model, "history.parquet"))

    def walk(self, model: str) -> pd.DataFrame:
        """The walk along the ridge to a regularised model: one row per recorded step.

        For a pruned model, it is that of its regularised model.

        Returns:
            Columns step, epoch, loss (nats; NaN if `regularize.trace` was 0), accuracy, distance
            from the base and step_length (both L2), and others.

        Raises:
            SkeletonsError: there is no such model, or it did not walk, like a base.
        """
        return artifacts.read_table(self._of_training(model, "walk.parquet"))

    def _of_training(self, model: str, name: str) -> Path:
        """A file of a trained model, or of the trained model that a pruned one comes from."""
        found = self._model(model)
        own = name == "history.parquet" and model in pair_tables.retrained(self._scores)
        trained = found.parent if found.stage in MASKED and not own else found
        path = self._folder(trained) / name
        if not path.is_file():
            having = sorted(path.parent.parent.glob(f"*/{name}"))
            hint = f"; {having[0].parent.name} has one" if having else ""
            raise SkeletonsError(f"{model}: a model of state {found.state} has no {name}{hint}.")
        return path

    # --- models -----------------------------------------------------------------------------------

    def load(self, model: str) -> nn.Sequential:
        """A model as a network on the CPU, in evaluation mode; pruned weights are zero.

        It takes images N×C×H×W (3×24×24 in the demo) with values from 0 to 255, uint8 or float, and
        returns logits, N×classes. It refuses floats that look scaled to 0..1 or standardised: the
        network does the standardisation itself.

        Args:
            model: its id.

        Raises:
            SkeletonsError: there is no such model.
            ArtifactError: one of its files is missing or broken.
        """
        from skeletons.prediction import inference, inputs

        network = inference.restore(self._weights(self._model(model)), self._summary(model))
        return inputs.guard(network).eval()

    def predictions(self, model: str, on: str | Images | None = None) -> Predictions:
        """The predictions of a model.

        Args:
            model: its id.
            on: one of `predicted_on`, whose saved predictions are read; or images N×C×H×W, uint8
                or floats from 0 to 1, on which the network is run now, with labels −1; None for the
                only data set that pairs were compared on.

        Raises:
            SkeletonsError: there is no such model or data set, or the images have another form.
        """
        chosen = self._model(model)
        if on is None or isinstance(on, str):
            name = self.dataset() if on is None else _known(on, self.predicted_on, "data set")
            return saved.read(self.path / "predictions" / name / f"{chosen}.parquet")
        import torch

        from skeletons.networks.image_shape import of_network
        from skeletons.prediction import inference

        network = self.load(model)
        pixels = torch.from_numpy(as_pixels(on, of_network(network)))
        logits = inference.predict(network, pixels)
        labels = np.full(len(on), -1, dtype=np.int64)
        return Predictions(logits.numpy().astype(np.float64), labels)

    def features(self, model: str, on: str | Images | None = None) -> Floats:
        """The inputs of the layer that runs last, float32 N×d; computed now.

        Args:
            model: its id.
            on: as in `predictions`; for a data set, the images with saved predictions.
        """
        import torch

        from skeletons.networks.image_shape import of_network
        from skeletons.prediction import features

        network = self.load(model)
        if on is None or isinstance(on, str):
            images = self.images(on)
        else:
            images = as_pixels(on, of_network(network))
        return features.penultimate(network, torch.from_numpy(images)).numpy()

    def images(self, dataset: str | None = None) -> Images:
        """The test images of a data set that have saved predictions, uint8 N×C×H×W.

        Args:
            dataset: one of `predicted_on`; None for the only one that pairs were compared on.

        Raises:
            SkeletonsError: there is no such data set.
            ArtifactError: it is not in `results/data`, or was made again since from other images.
        """
        name = dataset or self.dataset()
        of = [self.path / f"predictions/{name}/{model}.parquet" for model in self._scores.model]
        first = next(filter(Path.is_file, of), of[0])  # bases need not be compared
        count = len(self.predictions(first.stem, name).labels)
        check_source(first, path := self.path.parent / "data" / name / "images.safetensors")
        return read_split(path, "test")[0][:count]

    def measure(self, name: str, a: str, b: str, on: str | Images | None = None) -> float:
        """A measure of two models, computed now.

        Args:
            name: a key of `skeletons.MEASURES`; or a user-defined measure of the experiment, by its
                name in results or by its reference in the configuration.
            a: the id of a model.
            b: the id of another model.
            on: as in `predictions`; a measure of weights does not use images.

        Returns:
            Its value, in the range that the measure declares; NaN if the pair has none, for example
            because a model is dead.

        Raises:
            SkeletonsError: there is no such measure, model or data set, or it needs other labels.
        """
        measure = self.declared(name)
        if measure.labelled:
            self._demand_labels(measure, on)
        if measure.kind == "weights":
            return self._overlap(measure, a, b)
        if measure.kind == "representation":
            features = [self.features(model, on) for model in (a, b)]
            return float(np.mean(measure.values(*features)))
        one, two = (self.predictions(model, on) for model in (a, b))
        found = behaviour.compare(one, two, {measure.name: measure}, labelled=measure.labelled)
        return float(found[measure.name])

    def _demand_labels(self, measure: Measure, on: str | Images | None) -> None:
        """Refuse images without labels that are classes of the task; the test set has them."""
        name = self.dataset() if on is None else on
        where = name if isinstance(name, str) else "images without labels"
        lacks = where in self.compared_on and measure.name not in self.pairs(where)
        if lacks or where is not name:
            raise SkeletonsError(
                f"{measure.name} needs labels that are classes of the task, but {where} was given; "
                "allowed: a data set that has them, such as the test set of the task."
            )

    def declared(self, name: str) -> Measure:
        """A measure by its name, with all that it declares, such as its range and its label.

        Args:
            name: as in `measure`.

        Raises:
            SkeletonsError: there is no such measure.
        """
        known = references.name_of(name)
        _known(known, [*self._user_defined, *MEASURES], "measure")
        reference = self._user_defined.get(known)
        return user_defined.load(reference) if reference else MEASURES[known]

    @functools.cached_property
    def _user_defined(self) -> dict[str, str]:
        """References to the user-defined measures of the experiment, by their names in results."""
        named = settings.measures_in(self.path / "config.yaml")
        found = filter(references.is_reference, named)
        return {references.name_of(reference): reference for reference in found}

    def _overlap(self, measure: Measure, a: str, b: str) -> float:
        """A measure of weights; for aligned units, the units of b are put into the order of a."""
        first, second = self._model(a), self._model(b)
        tensors = [artifacts.read_tensors(self._weights(model)) for model in (first, second)]
        if measure.name == "mask_overlap_aligned":
            tensors[1] = self._aligned(tensors[1], first.base, second.base)
        names = [layer["name"] for layer in self._summary(a)["layers"] if layer["prunable"]]
        kept = [{name: model[name] for name in names} for model in tensors]
        return float(np.mean(measure.values(*kept)))

    def _aligned(self, tensors: dict[str, Array], a: Model, b: Model) -> dict[str, Array]:
        """A model's tensors, with the units of base b in the order in which the bases fit best."""
        if a == b:
            return tensors
        about, bases = self._summary(str(a))["network"], [self._weights(base) for base in (a, b)]
        chosen = settings.alignment_in(self.path / "config.yaml")
        return aligned(tensors, self.path, bases, about, chosen)

    # --- figures ----------------------------------------------------------------------------------

    def plot(self, figure: str, ax: Axes, **options: Any) -> Self:
        """Draw one of the report's figures into Axes.

        A figure of several panels, or in three dimensions, replaces the Axes by new ones.

        Args:
            figure: a key of `skeletons.plots.PLOTS`.
            ax: the Axes to draw into.
            options: of that figure: `dataset`, `measure`, `model` or `colormap`; see
                `skeletons.plots`. The default measure is that of the verdict.

        Returns:
            The experiment, so that calls can be chained.

        Raises:
            SkeletonsError: there is no such figure, or the experiment has no data for it.
        """
        plots.PLOTS[_known(figure, plots.PLOTS, "figure")](self, ax, **options)
        return self

    # --- paths ------------------------------------------------------------------------------------

    def _model(self, name: str) -> Model:
        return Model.parse(_known(name, self._scores.model, "model"))

    def _folder(self, model: Model) -> Path:
        return self.path / "models" / str(model)

    def _weights(self, model: Model) -> Path:
        return self._folder(model) / "weights.safetensors"

    def _summary(self, name: str) -> dict[str, Any]:
        """The model.json of a model; for a pruned model, that of its parent."""
        model = Model.parse(name)
        described = model.parent if model.stage in MASKED else model
        return artifacts.read_json(self._folder(described) / "model.json", ["network", "layers"])


def _not_an_experiment(path: Path) -> str:
    if not path.is_dir():
        folders = path.parent.glob("*/scores.parquet") if path.parent.is_dir() else ()
        beside = [found.parent.name for found in folders]
        return f"{path} does not exist; beside it, {_listed(beside, path.name)}."
    return (
        f"{path} is not the folder of a finished experiment: it has no scores.parquet; "
        "run snakemake to make it, or open results/EXPERIMENT."
    )


def _known(name: str, names: Iterable[str], what: str) -> str:
    """Check that a name is one of the names, and return it.

    Raises:
        SkeletonsError: it is not one of them.
    """
    have = list(names)
    if name not in have:
        raise SkeletonsError(f"There is no {what} {name!r} here; {_listed(have, name)}.")
    return name


def _only(name: str | None, names: list[str], what: str) -> str:
    """A name that is one of the names, or the only one if no name is given.

    Raises:
        SkeletonsError: it is not one of them, or no name is given and there is not exactly one.
    """
    if name is not None:
        return _known(name, names, what)
    if len(names) != 1:
        raise SkeletonsError(f"Name the {what}; {_listed(names, '')}.")
    return names[0]


def _listed(names: list[str], found: str) -> str:
    """`there are: …`: the name that is nearest to a given one, and a few of the others."""
    near = difflib.get_close_matches(str(found), names, n=1, cutoff=0)
    first = [*near, *(name for name in names if name not in near)]
    more = f" and {len(first) - 8} more" if len(first) > 8 else ""
    return f"{text.there_are(names)}: {', '.join(first[:8])}{more}" if first else "there is none"
