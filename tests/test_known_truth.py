"""Each measure of behaviour on synthetic predictions whose likeness is known.

The table says what each measure must show in each case, and where a measure is fooled, as it
declares. A new measure needs its row.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from skeletons.config.load import load
from skeletons.measures import behaviour, chance, entropy, temperature, unconfounded
from skeletons.measures.catalogue import MEASURES
from skeletons.measures.predictions import Predictions

IMAGES, CLASSES = 4000, 10
Pair = tuple[Predictions, Predictions]
LABELS = np.random.default_rng(0).integers(0, CLASSES, IMAGES)


def noise(seed: int) -> Any:
    return np.random.default_rng(seed).normal(size=(IMAGES, CLASSES))


def answers(top: Any, seed: int) -> Any:
    """Logits of a model that is fairly sure of the given classes."""
    return 4 * np.eye(CLASSES)[top] + 0.3 * noise(seed)


def pair(a: Any, b: Any) -> Pair:
    return Predictions(a, LABELS), Predictions(b, LABELS)


def wrong(seed: int) -> Any:
    """For each image a class that is not its label."""
    return (LABELS + np.random.default_rng(seed).integers(1, CLASSES, IMAGES)) % CLASSES


def identical() -> Pair:
    logits = answers(LABELS, 1) + 2 * noise(2)
    return pair(logits, logits.copy())


def independent() -> Pair:
    """Both answer at random."""
    return pair(3 * noise(1), 3 * noise(2))


def shared_lean() -> Pair:
    """Both prefer the same classes on every image, and have nothing else in common."""
    lean = np.linspace(0, 6, CLASSES)
    return pair(lean + 1.5 * noise(1), lean + 1.5 * noise(2))


def temperature_alone() -> Pair:
    """Both prefer the same; one is four times as sure."""
    logits = 4 * noise(1)
    return pair(logits, logits / 4)


def same_errors() -> Pair:
    """Both err on the same third of the images, each with a wrong class of its own."""
    errs = np.random.default_rng(5).random(IMAGES) < 1 / 3
    tops = (np.where(errs, wrong(seed), LABELS) for seed in (6, 7))
    return pair(*(answers(top, seed) for seed, top in enumerate(tops, 8)))


def unrelated_errors() -> Pair:
    """Both err on a third of the images, each on its own and with a wrong class of its own."""
    tops = (
        np.where(np.random.default_rng(seed).random(IMAGES) < 1 / 3, wrong(seed + 2), LABELS)
        for seed in (5, 6)
    )
    return pair(*(answers(top, seed) for seed, top in enumerate(tops, 9)))


CASES: dict[str, Callable[[], Pair]] = {
    case.__name__: case
    for case in (
        identical,
        independent,
        shared_lean,
        temperature_alone,
        same_errors,
        unrelated_errors,
    )
}
ONE, ZERO = (1.0, 1.0), (-0.04, 0.04)
# With chance agreement x = 4/9 + 1/9 · 1/9 of models that err on a third: where errors fall on the
# same images, they agree on 2/3 + 1/3 · 1/9 = 0.704 of all; else on 4/9 + 1/9 · 1/9 = 0.457.
TRUTH: dict[str, dict[str, tuple[float, float]]] = {
    # case:               what each measure must lie between
    "kappa": {
        "identical": ONE,
        "independent": ZERO,
        "shared_lean": ZERO,
        "temperature_alone": ONE,
        "same_errors": (0.63, 0.71),
        "unrelated_errors": (0.36, 0.44),  # both are often right, which κ counts as alike
    },
    "cosine_logit_centred": {
        "identical": ONE,
        "independent": ZERO,
        "shared_lean": ZERO,
        "temperature_alone": ONE,
        "same_errors": (0.6, 0.72),
        "unrelated_errors": (0.34, 0.46),
    },
    "jensen_shannon_matched": {
        "identical": (0.0, 0.0),
        "independent": (0.5, 0.7),
        "shared_lean": (0.2, 0.4),  # a shared preference counts as alike, as it declares
        "temperature_alone": (0.0, 0.0),
        "same_errors": (0.1, 0.25),
        "unrelated_errors": (0.2, 0.4),
    },
    "error_consistency": {
        "identical": ONE,
        "independent": ZERO,
        "shared_lean": (0.15, 0.5),  # both are right on the same classes, as it declares
        "temperature_alone": ONE,
        "same_errors": ONE,
        "unrelated_errors": (-0.05, 0.05),
    },
    "capa_top": {
        "identical": ONE,
        "independent": ZERO,
        "shared_lean": (0.15, 0.6),  # fooled by a shared preference, as it declares
        "temperature_alone": ONE,
        "same_errors": (0.42, 0.49),  # (0.704 − 0.457) / (1 − 0.457)
        "unrelated_errors": (-0.05, 0.05),
    },
    "capa": {
        "identical": (0.2, 0.6),  # not 1: the two are not sure
        "independent": ZERO,
        "shared_lean": (0.05, 0.6),
        "temperature_alone": (0.2, 0.7),  # moved by confidence, as it declares
        "same_errors": (0.25, 0.49),
        "unrelated_errors": (-0.05, 0.05),
    },
    "agreement": {
        "identical": ONE,
        "independent": (0.08, 0.12),
        "shared_lean": (0.3, 0.7),  # fooled by a shared preference, as it declares
        "temperature_alone": ONE,
        "same_errors": (0.68, 0.73),
        "unrelated_errors": (0.43, 0.49),
    },
    "disagreement": {
        "identical": (0.0, 0.0),
        "independent": (0.88, 0.92),
        "shared_lean": (0.3, 0.7),
        "temperature_alone": (0.0, 0.0),
        "same_errors": (0.27, 0.32),
        "unrelated_errors": (0.51, 0.57),
    },
    "jensen_shannon": {
        "identical": (0.0, 0.0),
        "independent": (0.5, 0.8),
        "shared_lean": (0.1, 0.4),
        "temperature_alone": (0.1, 0.4),  # fooled by confidence, as it declares
        "same_errors": (0.1, 0.4),
        "unrelated_errors": (0.2, 0.6),
    },
    "cosine_prob": {
        "identical": ONE,
        "independent": (0.1, 0.5),
        "shared_lean": (0.5, 0.95),
        "temperature_alone": (0.5, 0.95),
        "same_errors": (0.65, 0.8),
        "unrelated_errors": (0.4, 0.6),
    },
    "cosine_prob_flat": {
        "identical": ONE,
        "independent": (0.1, 0.5),
        "shared_lean": (0.4, 0.95),
        "temperature_alone": (0.5, 0.95),
        "same_errors": (0.65, 0.8),
        "unrelated_errors": (0.4, 0.6),
    },
    "cosine_logit": {
        "identical": ONE,
        "independent": ZERO,
        "shared_lean": (0.7, 0.95),  # fooled by a shared preference, as it declares
        "temperature_alone": ONE,
        "same_errors": (0.6, 0.8),
        "unrelated_errors": (0.4, 0.6),
    },
    "cosine_logit_flat": {
        "identical": ONE,
        "independent": ZERO,
        "shared_lean": (0.7, 0.95),
        "temperature_alone": ONE,
        "same_errors": (0.6, 0.8),
        "unrelated_errors": (0.4, 0.6),
    },
}


def test_every_measure_of_behaviour_has_a_known_truth() -> None:
    assert set(TRUTH) == {measure.name for measure in behaviour.DECLARED}
    assert all(set(expected) == set(CASES) for expected in TRUTH.values())


@pytest.mark.parametrize("case", CASES)
def test_each_measure_shows_the_truth(case: str) -> None:
    row = behaviour.compare(*CASES[case](), labelled=True)
    assert row["reason"] == ""
    found = {name: row[name] for name in TRUTH}
    wrongly = {
        name: (value, TRUTH[name][case])
        for name, value in found.items()
        if not TRUTH[name][case][0] - 1e-6 <= value <= TRUTH[name][case][1] + 1e-6
    }
    assert not wrongly


@pytest.mark.parametrize("sure", [0.5, 1, 2, 4])
def test_confidence_moves_no_default_measure(sure: float) -> None:
    """The same logits at other temperatures, as networks of other training losses have them."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, IMAGES, CLASSES)) * 4 + 3 * rng.normal(size=(1, IMAGES, CLASSES))
    plain, other = (behaviour.compare(*pair(*(logits / by)), labelled=True) for by in (1, sure))
    moved = {name: abs(plain[name] - other[name]) for name in TRUTH}
    steady = ("kappa", "cosine_logit_centred", "jensen_shannon_matched", "error_consistency")
    for name in (*load({}).figures.measures, *steady, "capa_top"):
        assert moved[name] < 1e-6, name
    if sure != 1:
        assert min(moved[name] for name in ("cosine_prob", "jensen_shannon")) > 0.02


def test_one_model_at_another_temperature_changes_only_what_it_may() -> None:
    a, b = pair(3 * noise(1) + 2 * noise(3), 3 * noise(2) + 2 * noise(3))
    plain, other = (
        behaviour.compare(a, Predictions(b.logits * by, LABELS), labelled=True) for by in (1, 0.3)
    )
    for name in ("kappa", "cosine_logit_centred", "jensen_shannon_matched", "capa_top"):
        assert other[name] == pytest.approx(plain[name], abs=1e-8)


# --- agreement with others' implementations -------------------------------------------------------


def by_arithmetic(u: int, v: int) -> Predictions:
    """Logits of 60 images and 5 classes that need no random numbers."""
    images, classes = np.arange(60)[:, None], np.arange(5)[None, :]
    labels = (np.arange(60) * 7) % 5
    logits = ((images * u + classes * v + (images * classes) % 7) % 11) / 3.0
    return Predictions(logits + 1.5 * (classes == labels[:, None]), labels)


def test_kappa_agrees_with_scikit_learn() -> None:
    for a, b in (shared_lean(), (by_arithmetic(3, 5), by_arithmetic(4, 2))):
        found = chance.kappa(a, b).mean()
        assert found == pytest.approx(cohen_kappa_score(a.top, b.top), abs=1e-12)


@pytest.mark.parametrize(
    ("measure", "published"),
    [
        # Computed once by the implementation of the paper's authors, lmsim.metrics.CAPA and EC at
        # commit 3ac0c64f of github.com/model-similarity/lm-similarity.
        ("capa", 0.013676538948618434),
        ("capa_top", 0.06329113924050636),  # CAPA(prob=False) of one-hot predictions
        ("error_consistency", 0.10596026490066236),
    ],
)
def test_measures_of_errors_agree_with_the_published_implementation(
    measure: str, published: float
) -> None:
    a, b = by_arithmetic(3, 5), by_arithmetic(4, 2)
    row = behaviour.compare(a, b, labelled=True)
    assert row[measure] == pytest.approx(published, abs=1e-12)
    assert MEASURES[measure].labelled


def test_centred_logits_agree_with_the_formula() -> None:
    a, b = by_arithmetic(3, 5), by_arithmetic(4, 2)
    centred = []
    for one in (a.logits, b.logits):
        rows = one - one.mean(axis=1, keepdims=True)
        centred.append((rows - rows.mean(axis=0)).reshape(-1))
    x, y = centred
    expected = x @ y / np.linalg.norm(x) / np.linalg.norm(y)
    assert unconfounded.cosine_logit_centred(a, b).mean() == pytest.approx(expected, abs=1e-12)


def test_at_the_matched_temperature_the_mean_entropy_is_half_of_the_largest() -> None:
    for logits in (noise(1), 1e-7 * noise(2), 1e7 * noise(3), noise(4) + 300):
        found = temperature.at_half_entropy(logits)
        assert found.sum(axis=1) == pytest.approx(1)
        assert entropy.entropies(found).mean() == pytest.approx(np.log2(CLASSES) / 2, abs=1e-8)
        assert (found.argmax(axis=1) == logits.argmax(axis=1)).all()


def test_logits_with_too_many_ties_have_no_such_temperature() -> None:
    tied = np.zeros((50, CLASSES))
    tied[:, 0] = -1.0  # nine top classes each
    assert np.isnan(temperature.at_half_entropy(tied)).all()
    assert np.isnan(temperature.at_half_entropy(np.zeros((50, CLASSES)))).all()


# --- spread over images ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "measure", ["kappa", "error_consistency", "capa", "capa_top", "cosine_logit_centred"]
)
def test_the_spread_over_images_gives_the_standard_error(measure: str) -> None:
    """The spread over the root of the number of images is that of samples of images."""
    shared = 2 * noise(5) + 2 * np.eye(CLASSES)[LABELS]
    a, b = pair(2 * noise(1) + shared, 2 * noise(2) + shared)
    row = behaviour.compare(a, b, labelled=True)
    rng = np.random.default_rng(0)
    values = []
    for _ in range(300):
        chosen = rng.integers(0, IMAGES, 400)
        one, two = (Predictions(m.logits[chosen], m.labels[chosen]) for m in (a, b))
        values.append(behaviour.compare(one, two, labelled=True)[measure])
    assert row[f"{measure}_std"] / 20 == pytest.approx(np.std(values), rel=0.15)
    assert row[measure] == pytest.approx(np.mean(values), abs=0.01)


# --- pairs without a value ------------------------------------------------------------------------


def test_a_measure_without_a_value_says_why() -> None:
    lean = np.zeros(CLASSES)
    lean[3] = 9.0
    a, b = pair(noise(1) + lean * 9, noise(2) + lean * 9)  # both always choose class 3
    row = behaviour.compare(a, b)
    assert row["valid"]
    assert np.isnan([row["kappa"], row["kappa_std"]]).all()
    assert row["reason"] == "kappa: both models choose one class for every image"
    assert row["agreement"] == 1
    perfect = answers(LABELS, 1)
    row = behaviour.compare(*pair(perfect, perfect + 0.1 * noise(3)), labelled=True)
    assert "error_consistency: both models are right on every image" in row["reason"]
    assert "capa_top: both models are right on every image" in row["reason"]
    assert row["kappa"] == 1
    still = np.linspace(0, 3, CLASSES) + np.arange(IMAGES)[:, None]  # one softmax for every image
    row = behaviour.compare(*pair(still, noise(1)))
    assert np.isnan(row["cosine_logit_centred"])
    assert "to the same degree on every image" in row["reason"]


def test_measures_of_errors_need_labels() -> None:
    a, b = independent()
    row = behaviour.compare(a, b)
    assert not {measure.name for measure in behaviour.DECLARED if measure.labelled} & set(row)
    odd = tuple(Predictions(m.logits, m.labels + 1) for m in (a, b))
    behaviour.compare(*odd)
    with pytest.raises(ValueError, match="labels from 1 to 10, but the models have 10 classes"):
        behaviour.compare(*odd, labelled=True)
