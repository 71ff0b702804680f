"""The names of models beside a heatmap: in words, and only what tells the shown models apart.

The base is not part of a label, because it labels its whole group. A λ or number of epochs that all
walks share is not part of it either; `shared` says it once. This module does not import matplotlib.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from skeletons import model_ids
from skeletons.model_ids import Model, spell
from skeletons.text import counted

_WALKS: Mapping[str, Callable[[Model], str]] = {  # the parts of a walk in words
    "l1": lambda model: f"λ {spell(model.l1 or 0)}",
    "epochs": lambda model: counted(model.epochs or 0, "epoch"),
}


@dataclass(frozen=True)
class Group:
    """Models in a row that come from one base.

    Attributes:
        name: of the base.
        start: position of the first model.
        end: position after the last one.
    """

    name: str
    start: int
    end: int


def groups(names: Sequence[str]) -> list[Group]:
    """The bases of models in their order; a base whose models lie apart has several groups."""
    bases = [base(Model.parse(name)) for name in names]
    found = []
    start = 0
    for name, members in groupby(bases):
        end = start + len(list(members))
        found.append(Group(name, start, end))
        start = end
    return found


def base(model: Model) -> str:
    """The name of a model's base in words."""
    return model.title


def penalty(model: Model) -> str:
    """The penalty of a model's walk, such as `λ 1e-05`; empty for a base."""
    return "" if model.l1 is None else _WALKS["l1"](model)


def recipes(names: Sequence[str]) -> list[str]:
    """What each model is, without its base, such as `4 epochs, pruned at 0.05`.

    Args:
        names: the ids of all models that are shown together.
    """
    models = [Model.parse(name) for name in names]
    walks = {walk: len({getattr(model, walk) for model in models} - {None}) > 1 for walk in _WALKS}
    draws = len({model.draw for model in models} - {None}) > 1
    return [
        _recipe(model, [walk for walk, varies in walks.items() if varies], draws)
        for model in models
    ]


def shared(names: Sequence[str]) -> str:
    """What all walks of several models have in common, such as `λ 1e-05, 4 epochs`."""
    walked = [model for model in map(Model.parse, names) if model.l1 is not None]
    same = [walk for walk in _WALKS if len({getattr(model, walk) for model in walked}) == 1]
    return ", ".join(_WALKS[walk](walked[0]) for walk in same)


def _recipe(model: Model, walks: Sequence[str], draws: bool) -> str:
    root = _root(model)
    if model.l1 is None:
        return root or ("before training" if model.untrained else "base")
    walk = [_WALKS[name](model) for name in walks]
    if model.stage == model_ids.REGULARIZED and not walk:
        return ", ".join([*filter(None, [root]), "regularised"])
    return ", ".join([*filter(None, [root]), *walk, _cut(model, draws)])


def _root(model: Model) -> str:
    """What a walk starts from, if it is not a base."""
    if model.labels or model.planted:
        return "permuted labels" if model.labels else "planted"
    if model.order is None:
        return ""
    order = f"image order {model.order}"
    return order if model.fork is None else f"{order} after {100 * model.fork:g} %"


def _cut(model: Model, draws: bool) -> str:
    """How a regularised model was pruned."""
    if not model.is_cut:
        return "not pruned"
    if model.density is None:
        pruned, amount = "pruned at", spell(model.threshold or 0)
    else:
        pruned, amount = "pruned to", f"{100 * model.density:g} %"
    if model.stopped:
        return f"base stopped at the loss of {pruned.split()[0]} {amount}"
    if model.draw is None:
        return f"{pruned} {amount}"
    return f"at random like {amount}" + (f", draw {model.draw}" if draws else "")
