"""Write docs/results/summary.json, the figure of all answers, and the pages that show its numbers.

python scripts/summarize.py docs/results

A folder of a published run (`scripts/publish.py`) has verdict.json, scores.csv, costs.csv and
config.yaml. No number on the pages is typed by hand: they are templates in `docs/_templates`, and a
test holds the pages against them.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import yaml

from skeletons.figures.style import PALETTE, new_figure, save_svg, styled
from skeletons.findings import networks, pair_tables
from skeletons.findings.inspections import BASES
from skeletons.findings.known_controls import EFFECT, NAMES
from skeletons.findings.rules import CONVERGES, IN_PART, NOT, Rules, level_in
from skeletons.marked import renewed
from skeletons.model_ids import BASE, PRUNED, Model
from skeletons.text import p_value, points, signed

ROOT = Path(__file__).resolve().parents[1]
TEMPLATES = ROOT / "docs/_templates"
POSTS = "mnist"  # the images that the post compares models on
ANSWER = "answer"  # the marked text of README.md
# `between` has the models of `demo`.
DRAWN = ("truth", "demo", "mnist_width", "mnist_wide", "cifar10_48", "cifar10")
COLOURS = {CONVERGES: 2, IN_PART: 1, NOT: 3}


def rows(folder: Path) -> Iterator[dict[str, Any]]:
    """One row per network of a published run.

    Args:
        folder: of the run.

    Yields:
        run, network, width, tag, ood, measure, recipe, answer, unit, seeds, effect with low, high
        and p, similarity by kind; others, the effects on further sets that vote; of the bases
        test_accuracy, train_loss; walks and skeletons as sentences; density and accuracy_lost of
        the primary recipe; controls; apart, the extreme similarities of children and of bases;
        level of the intervals; and cpu_minutes.
    """
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    made = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    table, recipe = pd.read_csv(folder / "scores.csv"), made["settings"]["primary"]["recipe"]
    for part, found in zip(networks.split(table, {}), made["networks"], strict=True):
        verdict = found["verdict"]
        network = (config["networks"][part.tag] if part.tag else config["network"]) or {}
        own = pair_tables.with_base_accuracy(pair_tables.identified(part.table))
        answered = _answered(verdict, found["known_controls"]["answers"])
        pairs = folder / f"similarity_{answered['ood']}.csv"
        yield {
            "run": folder.name,
            "tag": part.tag,
            "network": network.get("name"),
            "width": network.get("width"),
            **_of_models(own, recipe),
            **answered,
            **_apart(pairs, part, answered["measure"], recipe),
            "level": _level(config["findings"]),
            "cpu_minutes": _cpu_minutes(folder / "costs.csv", part),
            **_looks(folder / "findings.json"),
        }


def _apart(
    path: Path, part: networks.Part, measure: str, recipe: Mapping[str, float] | None
) -> dict[str, dict[str, float]]:
    """The least similarity of a base and its children, all pruned, and the most of other bases.

    The children share the largest part of their training; nothing for a run without children.
    """
    pairs = pd.read_csv(path, usecols=["a", "b", measure])
    pairs = pairs[pairs.a.map(part.owns) & pairs.b.map(part.owns)]
    one, two = (pairs[end].map(Model.parse) for end in ("a", "b"))
    latest = max(model.fork or 0.0 for model in one)
    parents = {model.seed for model in one if model.fork == latest}

    def is_child(model: Model) -> bool:
        asked = all(getattr(model, key) == value for key, value in (recipe or {}).items())
        alike = model.fork == latest or (model.control is None and model.seed in parents)
        return model.stage == PRUNED and asked and alike

    def values(holds: Callable[[Model], bool]) -> pd.Series:
        return pairs[one.map(holds) & two.map(holds)][measure]

    bases = values(lambda model: model.state == BASE)
    found = {"children": values(is_child).min(), "bases": bases.max()}
    return {"apart": found} if latest else {}


def _level(settings: Mapping[str, Any]) -> float:
    """The level of the intervals: alpha is divided by the number of planned looks."""
    return 1 - 2 * level_in(settings)


def _cpu_minutes(path: Path, part: networks.Part) -> int | None:
    """What the models of a network cost; None for a run on a GPU."""
    if not path.exists():
        return None
    costs = pd.read_csv(path)
    return round(costs[costs.model.map(part.owns)].cpu_s.sum() / 60)


def _looks(path: Path) -> dict[str, Any]:
    """What lies between the bases of a single network, or the trend over several networks."""
    if not path.exists():
        return {}
    found = json.loads(path.read_text(encoding="utf-8"))
    inside = found.get("inside", {})
    made: dict[str, Any] = {"trends": found["trends"]} if found.get("trends") else {}
    if lines := [line for line in inside.get("lines", []) if line["kind"] == BASES]:
        by = pd.DataFrame(lines).groupby(["path", "repaired"])[["barrier", "accuracy_drop"]]
        made["lines"] = [
            {"path": way, "repaired": bool(repaired), **dict(one.mean()), "pairs": len(one)}
            for (way, repaired), one in by
        ]
    if bridges := inside.get("bridge", []):
        made["bridges"] = {
            "of": len(bridges),
            "certified": sum(one["certified"] for one in bridges),
            "highest_rise": max(one["highest_rise"] for one in bridges),
            "longest_step": max(one["longest_step"] for one in bridges),
            "fit": sum(bool(one["original"] and one["original"]["fits"]) for one in bridges),
        }
    if transfers := inside.get("transfer", []):
        keys = ("mean", "low", "high", "transferred", "other")
        made["transfer"] = {one["against"]: {key: one[key] for key in keys} for one in transfers}
    return made


def _of_models(own: pd.DataFrame, recipe: Mapping[str, float] | None) -> dict[str, Any]:
    """How good the bases are, and what pruning by the primary recipe costs."""
    bases = own[own.state == BASE]
    cut = own[own.state == PRUNED]
    models = cut.model.map(Model.parse)
    for key, value in (recipe or {}).items():  # as the id has it: a density is met to the weight
        cut = cut[models.loc[cut.index].map(lambda one, k=key: getattr(one, k)) == value]
    lost = cut.base_accuracy - cut.accuracy
    return {
        "test_accuracy": {"mean": bases.accuracy.mean(), "least": bases.accuracy.min()},
        "train_loss": {"mean": bases.train_loss.mean(), "most": bases.train_loss.max()},
        "sparsity": cut.sparsity.min(),
        "accuracy_lost": {"mean": lost.mean(), "most": lost.max()},
    }


def _answered(verdict: Mapping[str, Any], controls: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The answer of the primary recipe, by the primary measure on one of the sets that vote.

    That is the post's set, or the first one; images of the task itself come last.
    """
    measure = verdict["measure"]
    walks = {
        name: next(one["walk"] for one in by[measure]["recipes"] if one["primary"])
        for name, by in verdict["by"].items()
        if name not in verdict["controls"]
    }
    ood = min(walks, key=lambda name: (name != POSTS, name.startswith("corrupted")))
    walk = walks[ood]
    held = {one["name"]: one["found"] for one in verdict["preconditions"]}
    return {
        "ood": ood,
        "measure": measure,
        "recipe": verdict["recipe"],
        "answer": verdict["answer"],
        **{name: walk[name] for name in ("seeds", "unit", *EFFECT, "similarity", "sentence")},
        "others": [
            {"ood": name, **{key: one[key] for key in ("unit", *EFFECT)}}
            for name, one in walks.items()
            if name != ood
        ],
        "walks": held["walks"],
        "skeletons": held["skeletons"],
        "controls": [
            {
                "family": one["family"],
                "answer": one["answer"],
                "holds": one["holds"],
                **one["effect"].get(ood, {}),
                "similarity": one["similarity"].get(ood, {}),
                "unit": _unit(one, ood),
            }
            for one in controls
        ],
    }


def _unit(control: Mapping[str, Any], ood: str) -> str | None:
    """Whether a control's effect is a share of the gap, or a rise where the gap is too small."""
    similarity, effect = control["similarity"].get(ood), control["effect"].get(ood)
    if not similarity or not effect or effect["effect"] is None:
        return None
    rise = similarity["pruned"] - similarity["base"]
    return "rise" if math.isclose(effect["effect"], rise, rel_tol=1e-9) else "share"


def summary(results: Path) -> list[dict[str, Any]]:
    """The rows of all published runs, in the order of their names."""
    folders = sorted(path.parent for path in results.glob("*/verdict.json"))
    return [_plain(row) for folder in folders for row in rows(folder)]


def _plain(value: Any) -> Any:
    """A value as JSON has it: six digits, and None for a number that is not finite."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def draw(found: Sequence[Mapping[str, Any]], path: Path) -> None:
    """The share of the gap that is closed, with its interval, for each question and control."""
    drawn = sorted((row for row in found if row["run"] in DRAWN), key=_place)
    lines = [line for row in drawn for line in _lines(row)]
    with styled():
        figure, (axes,) = new_figure(9.0, 1.2 + 0.34 * len(lines))
        beside = axes.get_yaxis_transform()
        for y, (_, one) in enumerate(lines):
            answer = one["answer"].partition(":")[0]
            colour = PALETTE[COLOURS.get(answer, 7)]
            axes.plot([one["low"], one["high"]], [y, y], color=colour, linewidth=2)
            axes.plot(one["effect"], y, "o", color=colour)
            axes.text(1.02, y, answer, transform=beside, va="center", fontsize=8, color=colour)
        axes.set_yticks(range(len(lines)), [label for label, _ in lines])
        axes.invert_yaxis()
        above = axes.get_xaxis_transform()
        for limit, words, side in (
            (Rules.not_below, "does not\nconverge ←", "right"),
            (Rules.converges_above, "→ converges\n", "left"),
        ):
            axes.axvline(limit, color="grey", linestyle=":", linewidth=1)
            axes.text(limit, 1.01, words, transform=above, ha=side, va="bottom", fontsize=8)
        axes.axvline(0, color="grey", linewidth=1)
        axes.set_xlabel("share of the gap from bases to ceiling that is closed, over seeds")
        save_svg(figure, path)


def _place(row: Mapping[str, Any]) -> tuple[int, int]:
    return DRAWN.index(row["run"]), row["width"]


def _lines(row: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    name = f"{row['run']}: {row['network']} of width {row['width']}"
    for label, one in [
        (name, row),
        *((f"control: {NAMES[one['family']]}", one) for one in row["controls"]),
    ]:
        if one.get("low") is not None and one["unit"] == "share":
            yield label, one


def render(found: Sequence[Mapping[str, Any]], template: str) -> str:
    """A page from its template and the summary."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # Markdown from this repository's own numbers
    )
    environment.filters["percent"] = points
    environment.filters["number"] = signed
    environment.filters["p"] = lambda p: f"p {'' if p < 0.001 else '= '}{p_value(p)}"
    by = {(row["run"], row["tag"]): row for row in found}
    return environment.get_template(template).render(
        rows=found,
        row=lambda run, tag=None: by[run, tag],
        control=lambda row, family: _only(row["controls"], family=family),
        line=lambda row, way, repaired: _only(row["lines"], path=way, repaired=repaired),
        width=_width([row for row in found if row["run"] == "mnist_width"]),
        names=NAMES,
    )


def _only(rows: Sequence[Mapping[str, Any]], **asked: Any) -> Mapping[str, Any]:
    """The one row that has these values."""
    (found,) = (row for row in rows if all(row[key] == value for key, value in asked.items()))
    return found


def _width(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The networks of the ladder, narrow ones first, and the trend over their sizes."""
    ladder = sorted(rows, key=lambda row: row["width"])
    return {"rows": ladder, "trend": ladder[0]["trends"][ladder[0]["ood"]] if ladder else None}


def main(results: Path) -> None:
    """Write the summary, the figure and the pages."""
    found = summary(results)
    text = json.dumps(found, indent=1, ensure_ascii=False)
    (results / "summary.json").write_text(f"{text}\n", encoding="utf-8")
    draw(found, results / "answers.svg")
    (results / "README.md").write_text(render(found, "results.md.jinja"), encoding="utf-8")
    readme = ROOT / "README.md"
    page = renewed(readme.read_text(encoding="utf-8"), ANSWER, render(found, "answer.md.jinja"))
    readme.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
