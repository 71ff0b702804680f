"""What must be true before the question can be tested; otherwise the answer says what is missing.

The question is about networks that are trained to optimality, walked along a ridge and pruned to
skeletons, on images for which the task does not determine the answer. So bases must reach
`base.target`, the walks of the primary recipe must be certified, its pruned models must be
skeletons, and some data set must not be a control. What was measured is shown all the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from skeletons import text
from skeletons.findings import pair_tables, walk_certificates
from skeletons.findings.walk_certificates import Certificate
from skeletons.model_ids import BASE, Model


@dataclass(frozen=True)
class Precondition:
    """Something that must be true.

    Attributes:
        name: `bases`, `walks`, `skeletons`, `images` or `controls`.
        holds: whether it is true.
        found: what was found, in a clause.
        about: the recipe that it is about; empty if it is about none.
    """

    name: str
    holds: bool
    found: str
    about: str = ""


def short_of_target(table: pd.DataFrame) -> list[str]:
    """The bases that miss `base.target`, by name.

    Args:
        table: all models' scores.
    """
    bases = table[table.state == BASE]
    return [str(name) for name in bases.model[bases.optimal.eq(False)]]


def near_chance(table: pd.DataFrame) -> list[str]:
    """Those of the bases that miss `base.target` because they hardly do better than guessing.

    They are models that a user brings: their images or classes are probably not as they should be.
    """
    if "near_chance" not in table:
        return []
    near = set(table.model[table.near_chance.fillna(False).astype(bool)])
    return [name for name in short_of_target(table) if name in near]


def off_optimum(table: pd.DataFrame) -> str:
    """Why nothing was tested if bases miss `base.target`, in a clause; empty if all reach it."""
    missed, near = short_of_target(table), near_chance(table)
    count = int((table.state == BASE).sum())
    bases, rest = text.counted(count, "base model"), len(missed) - len(near)
    said = []
    if near:
        have = "has" if count == 1 else "have"
        said.append(f"{len(near)} of {bases} {have} an accuracy near chance")
    if rest:
        miss = "misses" if count == 1 else "miss"
        said.append(f"{rest} of {bases} {miss} `base.target`")
    return " and ".join(said)


def off_optimum_text(table: pd.DataFrame) -> str:
    """The same in sentences: which bases, why that matters, and what to do; empty if all reach it.

    It stands below the answer, which has the number of bases.
    """
    near = near_chance(table)
    rest = [name for name in short_of_target(table) if name not in near]
    if not near and not rest:
        return ""
    parts = []
    if near:
        have = "has" if len(near) == 1 else "have"
        parts.append(
            f"{_names(near)} {have} an accuracy near chance. Check how the images are standardised "
            "(`mean`, `std`), the order of the classes (`classes`) and the size of the images "
            "(`images.size`)."
        )
    if rest:
        miss = "misses" if len(rest) == 1 else "miss"
        parts.append(
            f"{_names(rest)} {miss} `base.target`. Train the bases longer or better (the section "
            "`base`), or set a target that they reach."
        )
    return " ".join(
        [
            *parts,
            "The question is about networks trained to optimality, so neither the verdict nor a "
            "claim is given. What was measured is shown all the same.",
        ]
    )


def _names(models: Sequence[str]) -> str:
    return text.listed([f"`{name}`" for name in models])


def bases(table: pd.DataFrame) -> Precondition:
    """Whether all bases reach `base.target`."""
    missed = off_optimum(table)
    count = int((table.state == BASE).sum())
    return Precondition(
        "bases", not missed, missed or f"{text.counted(count, 'base model')} reach `base.target`"
    )


def certified(
    group: Sequence[Model],
    walked: Mapping[str, pd.DataFrame],
    missed: Collection[str],
    rise: float,
    step: float,
) -> dict[str, Certificate]:
    """The certificates of the walks of one recipe, up to its number of epochs, by base.

    Args:
        group: the pruned models of the recipe.
        walked: the table of each walk, by the last model of the walk.
        missed: the bases that miss their target.
        rise: as in `walk_certificates.certify`.
        step: as there.
    """
    found = {}
    for model in group:
        for name, walk in walked.items():
            last = _model(name)
            if last is None or (last.base, last.l1) != (model.base, model.l1):
                continue
            if (last.epochs or 0) < (model.epochs or 0):
                continue
            found[str(model.base)] = walk_certificates.certify(
                walk[walk.epoch <= (model.epochs or 0)],
                float(walk["norm"].iloc[0]),
                rise=rise,
                step=step,
                optimal=str(model.base) not in missed,
            )
    return found


def _model(name: str) -> Model | None:
    return Model.parse(name) if "_l1=" in name else None


def walks(
    group: Sequence[Model], found: Mapping[str, Certificate], recipe: str, alive: float
) -> Precondition:
    """Whether the walks of a recipe are certified, for as many bases as must live."""
    hold = sum(one.holds for one in found.values())
    enough = bool(group) and hold >= alive * len(group)
    are = "is" if hold == 1 else "are"
    said = (
        f"{hold} of {text.counted(len(group), 'walk')} {are} certified{_few(hold, enough, alive)}"
    )
    if len(found) < len(group):
        said += f" and {len(group) - len(found)} not recorded"
    return Precondition("walks", enough, said, recipe)


def skeletons(
    group: Sequence[Model],
    table: pd.DataFrame,
    recipe: str,
    alive: float,
    sparsity: float,
    drop: float,
    rise: float,
) -> Precondition:
    """Whether the pruned models of a recipe are skeletons, for as many bases as must live."""
    names = {str(model) for model in group}
    there = names & set(pair_tables.skeletons(table, sparsity, drop, rise).model)
    are = "is a skeleton" if len(there) == 1 else "are skeletons"
    enough = bool(group) and len(there) >= alive * len(group)
    return Precondition(
        "skeletons",
        enough,
        f"{len(there)} of {text.counted(len(group), 'pruned model')} {are} of at least "
        f"{sparsity:.0%} sparsity within {text.points(drop, 0)} points of accuracy"
        f"{_and_loss(table, names, rise)}{_few(len(there), enough, alive)}",
        recipe,
    )


def _few(there: int, enough: bool, alive: float) -> str:
    """How many are needed, if there are some but too few."""
    return f", fewer than {alive:.0%}" if there and not enough else ""


def _and_loss(table: pd.DataFrame, names: Collection[str], rise: float) -> str:
    """What else a retrained model must keep, in words; empty if the models are not retrained."""
    known = pair_tables.retrained(table).intersection(names)
    return f" and {rise:g} nats of training loss" if known else ""


def images(voting: Collection[str], controls: Collection[str]) -> Precondition:
    """Whether a data set was compared that is not a control."""
    if voting or not controls:
        return Precondition("images", True, "")
    names = text.listed([f"`{name}`" for name in sorted(controls)])
    are = "is a control" if len(controls) == 1 else "are controls"
    return Precondition("images", False, f"no data set was compared but {names}, which {are}")


def because(found: Sequence[Precondition]) -> str:
    """Why nothing was tested, in clauses; empty if everything holds."""
    failed = [one for one in found if not one.holds]
    about = next((f" ({one.about})" for one in failed if one.about), "")
    return "; ".join(one.found for one in failed) + about
