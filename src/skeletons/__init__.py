"""Skeletons on Rashomon Ridge: do equally good neural networks share a skeleton?

`Experiment` opens the results of a run; `MEASURES` are the measures of a pair of models, by name;
`plain_layers` copies a network into layers of torch's own; `SkeletonsError` is raised for every
problem that a user can correct.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skeletons.errors import SkeletonsError
    from skeletons.experiment import Experiment
    from skeletons.measures.catalogue import MEASURES
    from skeletons.networks.plain import plain_layers

__all__ = ["MEASURES", "Experiment", "SkeletonsError", "plain_layers"]

_HOME = {
    "Experiment": "experiment",
    "MEASURES": "measures.catalogue",
    "SkeletonsError": "errors",
    "plain_layers": "networks.plain",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: the rules import this package without torch."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
