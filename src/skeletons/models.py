"""What the models of an experiment are called, where each comes from, and which are compared."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from skeletons.errors import SkeletonsError

BASE, REGULARIZED, PRUNED = "base", "regularized", "pruned"
STATES = (BASE, REGULARIZED, PRUNED)

_NUMBER = r"[0-9][0-9.e+-]*"
_PATTERN = re.compile(
    rf"seed=(?P<seed>\d+)(?:_l1=(?P<l1>{_NUMBER})_ep=(?P<epochs>\d+)(?:_t=(?P<threshold>{_NUMBER}))?)?"
)


def spell(number: float) -> str:
    """The one spelling of a number in names: `1e-5`, `1.0e-05` and `0.00001` are all `1e-05`."""
    return repr(float(number)).removesuffix(".0")


@dataclass(frozen=True)
class Model:
    """A base model (seed), a regularised one (+ λ, epochs) or a pruned one (+ threshold)."""

    seed: int
    l1: float | None = None
    epochs: int | None = None
    threshold: float | None = None

    def __str__(self) -> str:
        """The model id, for example `seed=1_l1=1e-05_ep=4_t=0.05`."""
        parts = [f"seed={self.seed}"]
        if self.l1 is not None:
            parts += [f"l1={spell(self.l1)}", f"ep={self.epochs}"]
        if self.threshold is not None:
            parts += [f"t={spell(self.threshold)}"]
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
            seed, l1, epochs, threshold = match.groups()
            model = cls(
                int(seed),
                None if l1 is None else float(l1),
                None if epochs is None else int(epochs),
                None if threshold is None else float(threshold),
            )
            if str(model) != text:
                raise ValueError
        except ValueError:
            raise SkeletonsError(
                f"{text!r} is not a model id; one looks like seed=1_l1=1e-05_ep=4_t=0.05."
            ) from None
        return model

    @property
    def state(self) -> str:
        """`base`, `regularized` or `pruned`."""
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

        A pruned model comes from its regularised one. The regularised checkpoint at epoch e
        starts from the one at the largest power of two below e (the first from the base), so a
        checkpoint's ancestry never depends on which others an experiment asks for, and a list
        such as 1, 2, 4, 8, 16 costs 16 epochs instead of 31.

        Raises:
            ValueError: this is a base model, which has no parent.
        """
        if self.threshold is not None:
            return Model(self.seed, self.l1, self.epochs)
        if self.epochs is None:
            raise ValueError(f"{self} is a base model and has no parent")
        if self.epochs == 1:
            return self.base
        return Model(self.seed, self.l1, 1 << ((self.epochs - 1).bit_length() - 1))

    @property
    def sort_key(self) -> tuple[int, float, int, float]:
        """Orders models by (seed, λ, epochs, threshold) as numbers, unmodified before modified."""
        return (
            self.seed,
            -1.0 if self.l1 is None else self.l1,
            -1 if self.epochs is None else self.epochs,
            -1.0 if self.threshold is None else self.threshold,
        )


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


def pairs(models: Iterable[Model]) -> Iterator[tuple[Model, Model]]:
    """All N(N−1)/2 unordered pairs, each with the model that sorts first as `a`."""
    return itertools.combinations(sorted(models, key=lambda model: model.sort_key), 2)
