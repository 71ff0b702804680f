"""What the models of an experiment are called, where each comes from, and which are compared."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from skeletons.errors import SkeletonsError

BASE, REGULARIZED, PRUNED = "base", "regularized", "pruned"
STATES = (BASE, REGULARIZED, PRUNED)
# Controls: what a base was before training; a base trained with its images in another order; a
# regularised model pruned at random, with as many weights left in each layer as its pruned one.
UNTRAINED, REORDERED, RANDOM = "untrained", "reordered", "random"
CONTROLS = (UNTRAINED, REORDERED, RANDOM)
MASKED = (PRUNED, RANDOM)  # weights of these are zero for good

_NUMBER = r"[0-9][0-9.e+-]*"
_PATTERN = re.compile(
    rf"seed=(?P<seed>\d+)(?:_l1=(?P<l1>{_NUMBER})_ep=(?P<epochs>\d+)(?:_t=(?P<threshold>{_NUMBER}))?)?"
    r"(?:_(?P<untrained>untrained)|_order=(?P<order>[1-9]\d*)|_random=(?P<random>[1-9]\d*))?"
)


def spell(number: float) -> str:
    """The one spelling of a number in names: `1e-5`, `1.0e-05` and `0.00001` are all `1e-05`."""
    return repr(float(number)).removesuffix(".0")


@dataclass(frozen=True)
class Model:
    """A base model (seed), a regularised one (+ λ, epochs) or a pruned one (+ threshold).

    Or a control: of a base, with `control` untrained or reordered; of a pruned one, random. `draw`
    numbers the order of the images, or the drawing of the weights that are pruned.
    """

    seed: int
    l1: float | None = None
    epochs: int | None = None
    threshold: float | None = None
    control: str | None = None
    draw: int | None = None

    def __str__(self) -> str:
        """The model id, for example `seed=1_l1=1e-05_ep=4_t=0.05`."""
        parts = [f"seed={self.seed}"]
        if self.l1 is not None:
            parts += [f"l1={spell(self.l1)}", f"ep={self.epochs}"]
        if self.threshold is not None:
            parts += [f"t={spell(self.threshold)}"]
        if self.control == UNTRAINED:
            parts += [UNTRAINED]
        elif self.control is not None:
            parts += [f"{'order' if self.control == REORDERED else RANDOM}={self.draw}"]
        return "_".join(parts)

    @classmethod
    def parse(cls, text: str) -> Model:
        """The model that an id names.

        Raises:
            SkeletonsError: the text is not the one spelling of a model id.
        """
        match = _PATTERN.fullmatch(text)
        try:
            if match is None:
                raise ValueError
            found = match.groupdict()
            control = _control(found)
            model = cls(
                int(found["seed"]),
                None if found["l1"] is None else float(found["l1"]),
                None if found["epochs"] is None else int(found["epochs"]),
                None if found["threshold"] is None else float(found["threshold"]),
                *control,
            )
            if (model.control == RANDOM) != (
                control[0] is not None and model.threshold is not None
            ):
                raise ValueError
            if str(model) != text:
                raise ValueError
        except ValueError:
            raise SkeletonsError(
                f"{text!r} is not a model id; one looks like seed=1_l1=1e-05_ep=4_t=0.05."
            ) from None
        return model

    @property
    def state(self) -> str:
        """One of `STATES`, or of `CONTROLS`."""
        if self.control is not None:
            return self.control
        if self.threshold is not None:
            return PRUNED
        return BASE if self.l1 is None else REGULARIZED

    @property
    def base(self) -> Model:
        """The base model that this one comes from (itself, if it is one)."""
        return Model(self.seed)

    @property
    def parent(self) -> Model:
        """The model that this one is made from directly.

        A pruned model comes from its regularised one, also one pruned at random. The regularised
        checkpoint at epoch e starts from the one at the largest power of two below e (the first
        from the base), so a checkpoint's ancestry never depends on which others an experiment
        asks for, and a list such as 1, 2, 4, 8, 16 costs 16 epochs instead of 31.

        Raises:
            ValueError: this is a base model or a control of one, which have no parent.
        """
        if self.threshold is not None:
            return Model(self.seed, self.l1, self.epochs)
        if self.epochs is None:
            raise ValueError(f"{self} is made from no other model and has no parent")
        if self.epochs == 1:
            return self.base
        return Model(self.seed, self.l1, 1 << ((self.epochs - 1).bit_length() - 1))

    @property
    def sort_key(self) -> tuple[int, float, int, float, int, int]:
        """Orders models by (seed, λ, epochs, threshold) as numbers, unmodified before modified.

        Controls come after the model that they are a control of.
        """
        return (
            self.seed,
            -1.0 if self.l1 is None else self.l1,
            -1 if self.epochs is None else self.epochs,
            -1.0 if self.threshold is None else self.threshold,
            0 if self.control is None else 1 + CONTROLS.index(self.control),
            self.draw or 0,
        )


def _control(found: Mapping[str, str | None]) -> tuple[str | None, int | None]:
    """The control that a name's ending stands for, and its draw."""
    if found["untrained"]:
        return UNTRAINED, None
    if found["order"]:
        return REORDERED, int(found["order"])
    return (RANDOM, int(found["random"])) if found["random"] else (None, None)


def grid(
    seeds: Iterable[int],
    lambdas: Iterable[float],
    epochs: Iterable[int],
    thresholds: Iterable[float],
    states: Iterable[str] = STATES,
) -> list[Model]:
    """All models of an experiment that are in one of `states`, in canonical order."""
    bases = [Model(seed) for seed in seeds]
    regularized = [
        Model(base.seed, l1, count) for base, l1, count in itertools.product(bases, lambdas, epochs)
    ]
    pruned = [
        Model(model.seed, model.l1, model.epochs, threshold)
        for model, threshold in itertools.product(regularized, thresholds)
    ]
    wanted = set(states)
    models = (model for model in (*bases, *regularized, *pruned) if model.state in wanted)
    return sorted(models, key=lambda model: model.sort_key)


def controls(
    models: Iterable[Model], untrained: bool, orders: Iterable[int], random: Iterable[int]
) -> list[Model]:
    """The controls of an experiment's models, in canonical order.

    Args:
        models: base and pruned ones are given controls.
        untrained: whether each base has one as it was before training.
        orders: numbers of other orders of the images; each base has a control for each.
        random: numbers of random drawings; each pruned model has a control for each.
    """
    found = []
    for model in models:
        if model.state == BASE:
            found += [dataclasses.replace(model, control=UNTRAINED)] * untrained
            found += [dataclasses.replace(model, control=REORDERED, draw=n) for n in orders]
        elif model.state == PRUNED:
            found += [dataclasses.replace(model, control=RANDOM, draw=n) for n in random]
    return sorted(found, key=lambda model: model.sort_key)


def pairs(models: Iterable[Model]) -> Iterator[tuple[Model, Model]]:
    """All N(N−1)/2 unordered pairs, each with the model that sorts first as `a`."""
    return itertools.combinations(sorted(models, key=lambda model: model.sort_key), 2)
