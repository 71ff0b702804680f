"""The findings in words: one section for each part of what `gather.summarize` returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skeletons import text
from skeletons.findings import (
    apart,
    inspections,
    known_controls_page,
    layer_maps,
    multiplicity,
    next_steps,
    pair_kinds,
    post_claims,
    shared_weights,
    sparsest,
    verdict_page,
    walk_certificates,
    within_base,
)
from skeletons.findings.pair_tables import ALIKE
from skeletons.findings.sections import Section, joined, once
from skeletons.findings.settings import Settings
from skeletons.findings.walk_certificates import Certificate
from skeletons.text import number

MEASURED_ON = (
    "Losses and accuracies of models are measured after the last epoch, with fixed weights, on all "
    "training and all test images without augmentation, in single precision. Logs and histories "
    "show them after each epoch, without augmentation either, but in the precision of training and "
    "on a fixed part of the training images: all if there are fewer than 4,000, otherwise 2,000 "
    "or more, evenly spaced. So the last number of a log may differ a little from the one here. "
    "The penalty is never part of a loss."
)


def sections(found: Mapping[str, Any]) -> list[Section]:
    """All sections that have a text, in the order of the page."""
    parts = [
        verdict_page.section(found["verdict"], found["settings"]),
        Section("next", "What to change next", "", next_steps.markdown(found["next"])),
        Section(
            "known_controls",
            "Does the method find what is there, and only that?",
            known_controls_page.markdown(found["known_controls"], found["verdict"]["measure"]),
        ),
        _claims(found["claims"], found["claims_note"], found["apart"]),
        Section(
            "within_bases",
            "Do different strategies from one base grow alike?",
            within_base.markdown(found["within_bases"], found["settings"].rules.level),
        ),
        Section("kinds", "Similarities of pairs by kind", _kinds(found["kinds"])),
        Section("bases", "Are the base models optimal?", _bases(found["bases"])),
        Section(
            "walks",
            "Is regularisation a continuous deformation at constant loss?",
            _walks(found["walks"], found["settings"]),
        ),
        _skeletons(found["skeleton_models"], found["dead"], found["settings"]),
        sparsest.section(found["inside"].get("sparsest", [])),
        shared_weights.section(found["masks"], found["verdict"]["recipe"]),
        multiplicity.section(found["multiplicity"], found["settings"].loss_rise),
        *inspections.inspection_sections(found["inside"]),
        Section("details", "Details", _details(found)),
    ]
    return [section for section in parts if section.text or section.lead]


def explanations(settings: Settings) -> list[str]:
    """The paragraphs that explain methods: the same for every network of an experiment."""
    return [
        MEASURED_ON,
        post_claims.METHOD,
        shared_weights.METHOD,
        layer_maps.METHOD,
        verdict_page.method(settings),
    ]


# --- claims -------------------------------------------------------------------------------------


def _claims(
    found: Mapping[str, Sequence[Mapping[str, str]]], note: str, apart: Mapping[str, Any]
) -> Section:
    """The tables of the post's claims, then how they are decided and which models stand apart.

    Claims that do not depend on OOD images are listed with the first set only.
    """
    tables = {ood: post_claims.claims_markdown(rows) for ood, rows in once(found).items()}
    models = {ood: _apart(rows) for ood, rows in apart.items()}
    method = post_claims.METHOD if found else ""
    if len(found) > 1:
        tables = {ood: f"### On `{ood}`\n\n{table}" for ood, table in tables.items()}
        models = {
            ood: f"### Least similar models on `{ood}`\n\n{t}" for ood, t in models.items() if t
        }
        method = f"### How claims are decided\n\n{method}"
    return Section(
        "claims",
        "The post's observations, claim by claim",
        joined(method, *models.values()),
        joined(note, *tables.values()),
    )


def _apart(models: Sequence[Mapping[str, Any]]) -> str:
    """The models that are least similar to the others, with their scores on their own task."""
    rows = [
        [
            f"`{row['model']}`",
            f"{row['similarity']:.3f}",
            f"{row['score']:.1f}".replace("-", "−"),
            "**yes**" if row["outlier"] else "no",
            f"{row['loss']:.3f}",
            f"{row['accuracy']:.2%}",
            f"{row['loss_score']:.1f}".replace("-", "−"),
        ]
        for row in models
    ]
    if not rows:
        return ""
    head = ["model", "mean similarity", "robust score", "outlier", "test loss", "test accuracy"]
    return (
        "The models that are least similar to all others, with the loss on their own task. Scores "
        "are robust deviations from the median of all models. An outlier is more than 3.5 of them, "
        f"and at least {apart.LOWER:.0%} of the measure's range, below the median:\n\n"
        + text.table([*head, "score of the loss"], rows)
    )


# --- descriptions -------------------------------------------------------------------------------


def _kinds(found: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]) -> str:
    """The similarities of pairs that have much, little or nothing in common."""
    parts: list[str] = []
    present: set[str] = set()
    for ood, by_measure in found.items():
        for measure, rows in by_measure.items():
            present |= {row["kind"] for row in rows}
            parts += [f"On `{ood}`, by `{measure}`:", _kinds_table(rows)]
    missing = [kind for kind in pair_kinds.NAMES if kind not in present]
    if parts and missing:
        parts.append(
            f"Missing: {'; '.join(f'*{kind}*' for kind in missing)}. Add them with `controls` and "
            "`compare.states` in the configuration."
        )
    return joined(*parts)


def _kinds_table(rows: Sequence[Mapping[str, Any]]) -> str:
    shown = [
        [
            row["kind"],
            str(row["pairs"]),
            *_spread(row),
            "–" if row["above"] is None else f"{row['above']:.0%}",
            str(row["undefined"]),
        ]
        for row in rows
    ]
    head = ["pairs of models", "pairs", "mean", "min", "max", f"above {ALIKE:g}", "undefined"]
    return text.table(head, shown)


def _spread(row: Mapping[str, Any]) -> list[str]:
    """Mean, min and max of a group of pairs."""
    return [number(row[key]) for key in ("mean", "min", "max")]


def _bases(bases: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [
            f"`{base['model']}`",
            f"{base['train_loss']:.4f}",
            f"{base['train_accuracy']:.2%}",
            f"{base['accuracy']:.2%}",
            "yes" if base["optimal"] else f"**no**: {base['optimal_reason']}",
        ]
        for base in bases
    ]
    head = ["base model", "training loss", "training accuracy", "test accuracy", "optimal"]
    return f"{MEASURED_ON}\n\n{text.table(head, rows)}"


def _walks(found: Mapping[str, Certificate], settings: Settings) -> str:
    walks = walk_certificates.walks_markdown(
        found, rise=settings.loss_rise, step=settings.largest_step
    )
    if all(one.every == 1 for one in found.values() if one.bound is None):
        return walks
    return joined(
        walks,
        "Every step was measured, but the loss only at the end of each epoch, so a rise in between "
        "goes unnoticed. With `regularize.trace`, the loss is measured after every step.",
    )


def _skeletons(
    found: Sequence[Mapping[str, Any]], dead: Sequence[Mapping[str, Any]], settings: Settings
) -> Section:
    bounds = [row.get("loss_bound") for row in found]
    retrained = any(bound is not None for bound in bounds)
    rows = [
        [
            f"`{row['model']}`",
            f"{row['sparsity']:.2%}",
            f"{row['accuracy']:.2%}",
            text.points(-row["drop"], 2),
            *(["–" if bound is None else f"{bound:.3f}"] if retrained else []),
        ]
        for row, bound in zip(found, bounds, strict=True)
    ]
    head = ["model", "sparsity", "test accuracy", "difference from its base, points"]
    head += ["upper 95 % bound of the rise of its training loss, nats"] if retrained else []
    names = "; ".join(f"`{row['model']}` ({row['dead_reason']})" for row in dead)
    return Section(
        "skeletons",
        f"Which pruned models lost at least {settings.sparsity:.0%} of their weights and at most "
        f"{text.points(settings.drop, 0)} points of accuracy?",
        joined(
            text.table(head, rows) if rows else "None.",
            f"The training loss of a retrained model rises by at most {settings.loss_rise:g} nats."
            if retrained
            else "",
            f"{text.counted(len(dead), 'dead model')}: {names}." if dead else "",
        ),
    )


def _details(found: Mapping[str, Any]) -> str:
    controls = f", {found['controls']} of them controls" if found["controls"] else ""
    count = found["compared_models"]
    compared = "All" if count == found["models"] else f"{count} of them"
    return joined(
        f"There are {text.counted(found['models'], 'model')}{controls}. {compared} are compared, "
        f"in {text.counted(found['pairs'], 'pair')} on each OOD set. These numbers describe the "
        "given models; the tests are above.",
        *(
            _similarity(ood, measure, values)
            for ood, by_measure in found["similarity"].items()
            for measure, values in by_measure.items()
        ),
    )


def _similarity(ood: str, measure: str, found: Mapping[str, Any]) -> str:
    share, pairs = found["share_above"], found["all_pairs"]
    shares = (
        f"Of {pairs['pairs']} pairs of bases and pruned models, {share['share']:.1%} are above "
        f"{share['value']}; mean {number(pairs['mean'])}, min {number(pairs['min'])}. "
        if share
        else ""
    )
    rows = [
        [
            _recipe(row),
            str(row["pairs"]),
            *_spread(row),
            str(row["undefined"]),
        ]
        for row in found["across_bases"]
    ]
    return (
        f"### Similarity on `{ood}` by `{measure}`\n\n{shares}"
        "Pairs of models of different bases with the same recipe:\n\n"
        + text.table(["threshold", "pairs", "mean", "min", "max", "undefined"], rows)
    )


def _recipe(row: Mapping[str, Any]) -> str:
    """How the models of a row of `pair_tables.across_bases` are pruned."""
    if row.get("density") is not None:
        return f"density {row['density']:.4g}"
    return "unpruned bases" if row["threshold"] is None else f"{row['threshold']:g}"
