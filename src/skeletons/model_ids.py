"""Model ids: what each model is called, which model it is made from, and which are compared."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skeletons.errors import SkeletonsError

BASE, REGULARIZED, PRUNED = "base", "regularized", "pruned"
STATES = (BASE, REGULARIZED, PRUNED)
# Controls: a base before training; a base trained with its images in another order; a regularised
# model pruned at random, which keeps as many weights in each layer as its pruned model; a walk
# without a penalty; a base stopped at the training loss of a pruned model.
UNTRAINED, REORDERED, RANDOM = "untrained", "reordered", "random"
PLAIN, STOPPED = "plain", "stopped"
# Controls that are walked and pruned as bases are: children that share a part of a base's training;
# bases whose labels are permuted; bases in which one small network is laid.
FORKED, LABELS, PLANTED = "forked", "labels", "planted"
FAMILIES = (FORKED, LABELS, PLANTED)
CONTROLS = (UNTRAINED, REORDERED, RANDOM, PLAIN, STOPPED, *FAMILIES)
OWN = "own"  # a base that a user brought; its state is that of any base
MASKED = (PRUNED, RANDOM)  # stages in which some weights are permanently zero

# The numbers in model ids, with their types.
NUMBERS: Mapping[str, Callable[[str], int | float]] = {
    "l1": float,
    "epochs": int,
    "threshold": float,
    "density": float,
    "order": int,
    "draw": int,
    "fork": float,
}

WALKED_AT_ONCE = 4  # epochs of a walk that are not split into checkpoints

# The parts of model ids, as patterns. No tag and no name contains `=`, so an id has one reading.
TAG = r"[A-Za-z0-9][A-Za-z0-9.-]*"
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
NUMBER = r"[0-9][0-9.e+-]*"
TRAINED_ID, OWN_ID = rf"(?:net={TAG}_)?seed=\d+", rf"(?:net={TAG}_)?own={NAME}"
BASE_ID = rf"(?:{TRAINED_ID}|{OWN_ID})"
# What a walk starts from: a base, or a control that is walked as a base is.
_FAMILY = rf"(?:_{LABELS}|_{PLANTED}|(?:_fork={NUMBER})?_order=[1-9]\d*)?"
ROOT = rf"(?:seed=\d+{_FAMILY}|own={NAME})"  # without its network
ROOT_ID = rf"(?:{TRAINED_ID}{_FAMILY}|{OWN_ID})"
_PATTERN = re.compile(
    rf"(?:net=(?P<net>{TAG})_)?(?:own=(?P<own>{NAME}?)|seed=(?P<seed>\d+)"
    rf"(?:_(?P<labels>{LABELS})|_(?P<planted>{PLANTED})"
    rf"|(?:_fork=(?P<fork>{NUMBER}))?_order=(?P<order>[1-9]\d*))?)"
    rf"(?:_(?P<untrained>{UNTRAINED})"
    rf"|_l1=(?P<l1>{NUMBER})_ep=(?P<epochs>\d+)"
    rf"(?:_(?:t=(?P<threshold>{NUMBER})|d=(?P<density>{NUMBER}))"
    rf"(?:_random=(?P<draw>[1-9]\d*)|_(?P<stopped>{STOPPED}))?)?)?"
)
_FLAGS = (UNTRAINED, STOPPED, LABELS, PLANTED)  # parts of an id without a number


def suffix(tag: str | None) -> str:
    """The end of the name of a file that is about one network."""
    return "" if tag is None else f"_net={tag}"


def net_of(path: str | Path) -> str | None:
    """The tag of the network of a file that is named by the id of its model, or of its first."""
    return Model.parse(re.split("--|_mask=", Path(path).stem)[0]).net


def spell(number: float) -> str:
    """The one spelling of a number in names: `1e-5`, `1.0e-05` and `0.00001` are all `1e-05`."""
    return repr(float(number)).removesuffix(".0")


def numbers(parts: Mapping[str, str | None]) -> dict[str, Any]:
    """The parts of a model id as numbers, without its base.

    Args:
        parts: text by name; names that are not in `NUMBERS`, and None, are left out.

    Raises:
        ValueError: the text of one is not a number.
    """
    return {
        name: NUMBERS[name](text)
        for name, text in parts.items()
        if name in NUMBERS and text is not None
    }


@dataclass(frozen=True)
class Model:
    """A base model, a regularised one (+ l1, epochs) or a pruned one (+ threshold or density).

    Or a control: of a base, one that is `untrained`, has another `order`, shares a part of its
    training (`fork`), or learns permuted `labels`; one in which a small network is `planted`; of a
    pruned model, one with a random `draw`, or a base `stopped` at its training loss.

    Attributes:
        seed: of the base model; None if a user brought it.
        l1: the λ of the L1 penalty.
        epochs: of regularisation.
        threshold: below which weights are pruned.
        order: which other order of the images a base was trained in, from 1.
        draw: which random drawing of the pruned weights, from 1.
        untrained: whether this is a base before training.
        net: the tag of its network; None for the experiment's unnamed network.
        own: the name of the base model, if a user brought it.
        density: the share of its prunable weights that pruning keeps, 0..1.
        fork: the share of a base's training, above 0 and below 1, after which the order of the
            images is another one; None for another order from the first image on.
        labels: whether it learns permuted labels.
        planted: whether a small network was laid in it.
        stopped: whether it is a base that was stopped at the training loss of a pruned model.
    """

    seed: int | None = None
    l1: float | None = None
    epochs: int | None = None
    threshold: float | None = None
    order: int | None = None
    draw: int | None = None
    untrained: bool = False
    net: str | None = None
    own: str | None = None
    density: float | None = None
    fork: float | None = None
    labels: bool = False
    planted: bool = False
    stopped: bool = False

    def __str__(self) -> str:
        """The model id, for example `seed=1_l1=1e-05_ep=4_t=0.05` or `net=wide_own=alice`."""
        return self._id

    @functools.cached_property
    def _id(self) -> str:
        parts = [] if self.net is None else [f"net={self.net}"]
        parts += [f"seed={self.seed}" if self.own is None else f"own={self.own}"]
        parts += [LABELS] * self.labels + [PLANTED] * self.planted
        if self.fork is not None:
            parts += [f"fork={spell(self.fork)}"]
        if self.order is not None:
            parts += [f"order={self.order}"]
        if self.l1 is not None:
            parts += [f"l1={spell(self.l1)}", f"ep={self.epochs}"]
        if self.threshold is not None:
            parts += [f"t={spell(self.threshold)}"]
        if self.density is not None:
            parts += [f"d={spell(self.density)}"]
        if self.untrained:
            parts += [UNTRAINED]
        if self.draw is not None:
            parts += [f"random={self.draw}"]
        if self.stopped:
            parts += [STOPPED]
        return "_".join(parts)

    @classmethod
    @functools.cache  # at its start, a workflow asks thousands of times for the same ids
    def parse(cls, text: str) -> Model:
        """The model that an id names.

        Raises:
            SkeletonsError: the text is not the one spelling of a model id.
        """
        match = _PATTERN.fullmatch(text)
        try:
            if match is None:
                raise ValueError
            model = cls(
                None if match["seed"] is None else int(match["seed"]),
                **numbers(match.groupdict()),
                **{flag: match[flag] is not None for flag in _FLAGS},
                net=match["net"],
                own=match["own"],
            )
            if str(model) != text:
                raise ValueError
        except ValueError:
            raise SkeletonsError(
                f"{text!r} is not a model id; one looks like seed=1_l1=1e-05_ep=4_t=0.05."
            ) from None
        return model

    def of(self, **parts: Any) -> Model:
        """The model of the same root with other parts, such as `base.of(l1=1e-4, epochs=2)`."""
        return dataclasses.replace(self.root, **parts)

    @property
    def title(self) -> str:
        """Its base in words: `seed 1`, `wide, seed 1` or `alice`."""
        name = f"seed {self.seed}" if self.own is None else self.own
        return name if self.net is None else f"{self.net}, {name}"

    @property
    def network(self) -> str | None:
        """The tag of its network; another name of `net`, as columns of tables have it."""
        return self.net

    @property
    def number(self) -> int:
        """Names the random numbers of its training: its seed, or a digest of its name.

        Children of one base have digests, because each goes on in its own way.
        """
        if self.order is not None:
            return zlib.crc32(str(self.root).encode())
        return zlib.crc32(str(self.own).encode()) if self.seed is None else self.seed

    @property
    def family(self) -> str | None:
        """One of `FAMILIES`, for its bases, their walks and their pruned models; None otherwise."""
        if self.labels or self.planted:
            return LABELS if self.labels else PLANTED
        return None if self.fork is None else FORKED

    @property
    def control(self) -> str | None:
        """One of `CONTROLS`; None if the model is not a control."""
        if self.family is not None:
            return self.family
        if self.order is not None:
            return REORDERED
        is_plain = self.l1 == 0 and not self.is_cut
        return PLAIN if is_plain else None if self.stage in STATES else self.stage

    @property
    def is_cut(self) -> bool:
        """Whether it is pruned, by a criterion or at random."""
        return self.threshold is not None or self.density is not None

    @property
    def cut(self) -> str:
        """How it is pruned, in words: `threshold 0.05` or `density 0.1`; empty if it is not."""
        if self.density is not None:
            return f"density {spell(self.density)}"
        return "" if self.threshold is None else f"threshold {spell(self.threshold)}"

    @property
    def stage(self) -> str:
        """How it is made: one of `STATES`, `untrained`, `random`, `stopped`, or as its root is."""
        if self.stopped or self.draw is not None:
            return STOPPED if self.stopped else RANDOM
        if self.is_cut:
            return PRUNED
        if self.l1 is not None:
            return REGULARIZED
        if self.untrained:
            return UNTRAINED
        return self.family or (BASE if self.order is None else REORDERED)

    @functools.cached_property
    def state(self) -> str:
        """One of `STATES` or of `CONTROLS`."""
        return self.control or self.stage

    @property
    def is_own_base(self) -> bool:
        """Whether this is a base model that a user brought."""
        return self.own is not None and self.state == BASE

    @property
    def base(self) -> Model:
        """The base model of its seed or name; a base model is its own base."""
        return Model(self.seed, net=self.net, own=self.own)

    @property
    def root(self) -> Model:
        """The model that its walk starts from: its base, or a control that is walked as bases are.

        A model that is not walked is its own root, except that an untrained one has its base's.
        """
        return Model(
            self.seed,
            order=self.order,
            net=self.net,
            own=self.own,
            fork=self.fork,
            labels=self.labels,
            planted=self.planted,
        )

    @property
    def parent(self) -> Model:
        """The model that this one is made from directly.

        A pruned model is made from its regularised model, also if it is pruned at random. The
        regularised checkpoint at epoch e starts from the base, or for e > `WALKED_AT_ONCE` from the
        one at the largest power of two below e. So a checkpoint's ancestry never depends on the
        other checkpoints of an experiment, and a list such as 4, 8, 16, 32 costs 32 epochs, not 60.
        Short walks are not split, because a checkpoint itself costs about half an epoch.

        Raises:
            ValueError: this is a base model or a control of one, which have no parent.
        """
        if self.is_cut:
            return self.of(l1=self.l1, epochs=self.epochs)
        if self.epochs is None:
            raise ValueError(f"{self} is not made from another model and has no parent")
        if self.epochs <= WALKED_AT_ONCE:
            return self.root
        return self.of(l1=self.l1, epochs=1 << ((self.epochs - 1).bit_length() - 1))

    @property
    def sort_key(
        self,
    ) -> tuple[str, bool, int, str, int, float, float, int, float, float, int, int]:
        """Sorts models by (network, base, λ, epochs, threshold or density), unmodified first.

        Models pruned to a density come before those pruned by a threshold.

        The unnamed network comes first, and seeds come before names. Controls come after the model
        that they are a control of; families of controls come after all other models of their seed.
        """
        return (
            self.net or "",
            self.own is not None,
            self.seed or 0,
            self.own or "",
            0 if self.family is None else 1 + FAMILIES.index(self.family),
            self.fork or 0.0,
            -1.0 if self.l1 is None else self.l1,
            -1 if self.epochs is None else self.epochs,
            -1.0 if self.threshold is None else self.threshold,
            -1.0 if self.density is None else self.density,
            0 if self.control is None else 1 + CONTROLS.index(self.control),
            self.order or self.draw or 0,
        )


def grid(
    bases: Iterable[Model],
    lambdas: Iterable[float],
    epochs: Iterable[int],
    thresholds: Iterable[float],
    states: Iterable[str] = STATES,
    densities: Iterable[float] = (),
) -> list[Model]:
    """All models of some bases whose state is one of `states`, sorted."""
    bases = list(bases)
    regularized = [
        base.of(l1=l1, epochs=count)
        for base, l1, count in itertools.product(bases, lambdas, epochs)
    ]
    cuts: list[dict[str, Any]] = [{"threshold": threshold} for threshold in thresholds]
    cuts += [{"density": density} for density in densities]
    pruned = [
        dataclasses.replace(model, **cut) for model, cut in itertools.product(regularized, cuts)
    ]
    made = {BASE: bases, REGULARIZED: regularized, PRUNED: pruned}
    models = [model for state in made if state in set(states) for model in made[state]]
    return sorted(models, key=lambda model: model.sort_key)


def controls(
    models: Iterable[Model], untrained: bool, orders: Iterable[int], random: Iterable[int]
) -> list[Model]:
    """The controls of an experiment's models, sorted.

    Args:
        models: all models; trained bases and pruned models get controls.
        untrained: whether each base gets a control from before its training.
        orders: numbers of other orders of the images; each base gets a control for each.
        random: numbers of random drawings; each pruned model gets a control for each.
    """
    found = []
    for model in models:
        if model.state == BASE and model.own is None:  # the training of another cannot be repeated
            found += [dataclasses.replace(model, untrained=True)] * untrained
            found += [dataclasses.replace(model, order=n) for n in orders]
        elif model.state == PRUNED:
            found += [dataclasses.replace(model, draw=n) for n in random]
    return sorted(found, key=lambda model: model.sort_key)


def pairs(models: Iterable[Model]) -> Iterator[tuple[Model, Model]]:
    """All N(N−1)/2 unordered pairs; the first of a pair is the model that sorts first."""
    return itertools.combinations(sorted(models, key=lambda model: model.sort_key), 2)
