"""A model's predictions, read from its predictions file."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skeletons.arrays import Floats
from skeletons.measures import entropy, temperature
from skeletons.measures.entropy import Distributions
from skeletons.store import artifacts
from skeletons.store.seals import unfit


@dataclass(frozen=True, eq=False)  # two are one only if they are the same object
class Predictions:
    """Logits (float64, N×K) and labels (int64, N) of N images, and values derived from them."""

    logits: Floats
    labels: npt.NDArray[np.int64]

    @functools.cached_property
    def probabilities(self) -> Floats:
        """Softmax of the logits, N×K."""
        from scipy.special import softmax  # here, because importing scipy takes a while

        return np.asarray(softmax(self.logits, axis=1))

    @functools.cached_property
    def top(self) -> npt.NDArray[np.int64]:
        """The predicted class of each image, N."""
        return self.logits.argmax(axis=1)

    @functools.cached_property
    def top_shares(self) -> Floats:
        """The share of images (0..1) that are given each class, K."""
        return np.bincount(self.top, minlength=self.logits.shape[1]) / len(self.labels)

    @functools.cached_property
    def right(self) -> npt.NDArray[np.bool_]:
        """For each image, N: whether the predicted class is its label."""
        return np.asarray(self.top == self.labels)

    @functools.cached_property
    def on_label(self) -> Floats:
        """The probability of each image's label, N."""
        return np.asarray(self.probabilities[np.arange(len(self.labels)), self.labels])

    @functools.cached_property
    def centred(self) -> Floats:
        """Logits whose mean is 0 over the classes of an image and over the images of a class, N×K.

        A preference for some classes that is the same on every image is gone. They are scaled to
        a mean square length of 1 over images; all are 0 if nothing but rounding is left.
        """
        rest = self.logits - self.logits.mean(axis=1, keepdims=True)
        rest -= rest.mean(axis=0)
        length = np.sqrt(np.square(rest).sum() / len(rest))
        if length <= 1e-9 * np.abs(self.logits).max(initial=0.0):
            return np.zeros_like(rest)
        return np.asarray(rest / length)

    @functools.cached_property
    def centred_squares(self) -> Floats:
        """The squared length of each image's `centred` logits, N; their mean is 1 or 0."""
        return np.asarray(np.einsum("nk,nk->n", self.centred, self.centred))

    @functools.cached_property
    def distributions(self) -> Distributions:
        """The probabilities, with the entropy of each image's."""
        return entropy.distributions(self.probabilities)

    @functools.cached_property
    def tempered(self) -> Distributions:
        """Probabilities at the temperature at which their mean entropy is half the highest.

        See `temperature.at_half_entropy`. All are NaN if there is no such temperature.
        """
        return entropy.distributions(temperature.at_half_entropy(self.logits))

    @functools.cached_property
    def _squares(self) -> dict[str, Floats]:
        return {}

    def squares(self, quantity: str) -> Floats:
        """The squared length of each image's logits or probabilities, N.

        It is computed once, because each model is in many pairs.
        """
        if quantity not in self._squares:
            rows: Floats = getattr(self, quantity)
            self._squares[quantity] = np.asarray(np.einsum("nk,nk->n", rows, rows))
        return self._squares[quantity]

    @functools.cached_property
    def silent(self) -> npt.NDArray[np.bool_]:
        """For each image, N: whether all logits are equal, so the prediction prefers no class."""
        return np.asarray(np.ptp(self.logits, axis=1) == 0)

    def only(self, chosen: npt.NDArray[np.bool_]) -> Predictions:
        """The predictions on some of the images; the same object, with all it knows, if on all."""
        if chosen.all():
            return self
        return Predictions(self.logits[chosen], self.labels[chosen])

    @functools.cached_property
    def constant(self) -> bool:
        """Whether every image has the same logits, so the network ignores its input.

        Differences up to a millionth of the largest logit are rounding of single-precision sums.
        """
        if len(self.labels) < 2:
            return False
        spread = float((self.logits.max(axis=0) - self.logits.min(axis=0)).max())
        return spread <= 1e-6 * max(1.0, float(np.abs(self.logits).max()))

    @property
    def loss(self) -> float:
        """Mean cross-entropy in nats."""
        from scipy.special import log_softmax

        logs = log_softmax(self.logits, axis=1)
        return float(np.abs(logs[np.arange(len(self.labels)), self.labels]).mean())

    @property
    def accuracy(self) -> float:
        """Share (0..1) of images whose predicted class is their label."""
        return float(self.right.mean())


@functools.lru_cache(maxsize=2)  # both quantities of the pair at hand, for several measures
def products(a: Predictions, b: Predictions, quantity: str) -> Floats:
    """The scalar product of two models' logits or probabilities, for each image, N."""
    return np.asarray(np.einsum("nk,nk->n", getattr(a, quantity), getattr(b, quantity)))


@artifacts.remembered(512)
def read(path: str) -> Predictions:
    """Read a predictions file: columns `label` and `logit_0`, `logit_1`, …, one row per image.

    The last few hundred files are kept in memory, because each is part of many pairs.

    Raises:
        ArtifactError: the file is missing, broken, or holds a logit that is not finite.
    """
    columns = artifacts.read_columns(path, ["label", "logit_0", "logit_1"])
    label = columns.pop("label")
    names = [f"logit_{k}" for k in range(len(columns))]
    kinds = {column.dtype.kind for column in columns.values()}
    if set(names) != set(columns) or kinds - set("fi") or label.dtype.kind != "i":
        raise unfit(path, "is not a table of predictions")
    # The images of a class lie side by side: sums over the ten or so classes are then faster.
    logits = np.stack([columns[name] for name in names]).astype(np.float64).T
    if not np.isfinite(logits).all():
        raise unfit(path, "holds a logit that is not finite")
    return Predictions(logits, label.astype(np.int64))
