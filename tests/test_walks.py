import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from skeletons.errors import SkeletonsError
from skeletons.findings import walk_certificates


def walk_of(points: Any, loss: Any, every: int = 1) -> pd.DataFrame:
    """The table of a walk through points in the plane of weights."""
    points = np.asarray(points, dtype=np.float64)
    lengths = np.linalg.norm(np.diff(points, axis=0), axis=1)
    return pd.DataFrame(
        {
            "step": np.arange(len(points)) * every,
            "epoch": np.arange(len(points)) // 4,
            "loss": loss,
            "accuracy": 0.9 - np.asarray(loss) / 10,
            "distance": np.linalg.norm(points - points[0], axis=1),
            "step_length": [0.0, *lengths],
        }
    )


CORNER = [[0, 0], [1, 0], [2, 0], [3, 0], [3, 1], [3, 2], [3, 3], [3, 4]]
LOSS = [0.1, 0.11, 0.12, 0.14, 0.13, 0.1, 0.09, 0.08]


def test_what_a_walk_was_like() -> None:
    found = walk_certificates.certify(walk_of(CORNER, LOSS), norm=100)
    assert found.holds
    assert (found.rise, found.rise_at) == (pytest.approx(0.04), 3)
    assert (found.longest, found.path, found.distance) == pytest.approx((0.01, 7, 5))
    assert found.straightness == pytest.approx(5 / 7)
    assert found.fall == pytest.approx(0.004)
    assert (found.points, found.every, found.broken) == (7, 1, ())
    assert (
        "step by step, the training loss rises by at most 0.040 and falls by at most 0.020"
        in walk_certificates.sentence("m", found)
    )


def test_a_loss_that_rises_breaks_the_certificate() -> None:
    loss = [*LOSS[:4], 0.3, *LOSS[5:]]
    found = walk_certificates.certify(walk_of(CORNER, loss, every=10), norm=100)
    assert not found.holds
    assert found.broken == ("the training loss rises by 0.200 at step 40, more than 0.05",)
    assert walk_certificates.certify(walk_of(CORNER, loss), norm=100, rise=0.25).holds


def test_a_loss_that_only_falls_has_not_risen_and_is_not_constant_either() -> None:
    found = walk_certificates.certify(walk_of(CORNER, np.linspace(1, 0, 8)), norm=100)
    assert (found.rise, found.rise_at, found.holds) == (0, 0, False)
    assert (found.descent, found.descent_at) == (1, 7)
    assert found.broken == ("the training loss falls by 1.000 at step 7, more than 0.05",)


def test_a_jump_breaks_the_certificate() -> None:
    found = walk_certificates.certify(walk_of([*CORNER, [13, 4]], [*LOSS, 0.1]), norm=100)
    assert found.broken == ("the step to 8 is 10.0% of the weights' norm, more than 5.0%",)
    assert walk_certificates.certify(
        walk_of([*CORNER, [13, 4]], [*LOSS, 0.1]), norm=100, step=0.1
    ).holds


def test_a_loss_that_is_not_a_number_breaks_it_and_both_reasons_are_named() -> None:
    found = walk_certificates.certify(walk_of([*CORNER, [13, 4]], [*LOSS, math.nan]), norm=100)
    assert found.rise == math.inf
    assert walk_certificates.sentence("m", found) == (
        "`m` leaves the ridge: the training loss is no longer a number at step 8 and the step to "
        "8 is 10.0% of the weights' norm, more than 5.0%."
    )


def test_a_walk_of_which_no_step_kept_within_the_room_is_no_walk() -> None:
    start = walk_of(CORNER, LOSS)[:1]
    for table, bound in ((start, None), (start.assign(rise=0.0, error=0.0), 0.0)):
        found = walk_certificates.certify(table, norm=100, optimal=False)
        assert not found.holds
        assert (found.points, found.bound, found.descent_bound) == (0, bound, bound)
        assert walk_certificates.sentence("m", found) == (
            "`m` is not a walk along a ridge: no step kept within the room and its base misses "
            "`base.target`."
        )
        text = walk_certificates.walks_markdown({"m": found})
        assert text.startswith("Of 1 walk, 0 are a continuous deformation")


def test_a_walk_that_stands_still() -> None:
    found = walk_certificates.certify(walk_of([[1, 1], [1, 1]], [0.1, 0.1]), norm=1)
    assert found.holds
    assert math.isnan(found.straightness)


def without(column: str) -> pd.DataFrame:
    return walk_of(CORNER, LOSS).drop(columns=column)


def changed(column: str, row: int, value: float) -> pd.DataFrame:
    table = walk_of(CORNER, LOSS).astype({"step": float})
    table.loc[row, column] = value
    return table


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (without("loss"), "lacks loss"),
        (without("loss").drop(columns="step"), "lacks step and loss"),
        (walk_of(CORNER, LOSS)[:0], "has no row; it needs the start"),
        (changed("loss", 0, math.nan), "at the start of a walk is not a number"),
        (changed("step", 3, 1), "do not ascend"),
        (changed("step_length", 3, math.nan), "a step length that is not a number"),
        (changed("step_length", 3, -1), "a step length that is not a number"),
        (changed("distance", 3, 9), "step to 3 is 1 long but changes the distance"),
    ],
)
def test_a_table_that_is_no_walk_is_refused_in_a_sentence(
    table: pd.DataFrame, sentence: str
) -> None:
    with pytest.raises(SkeletonsError, match=sentence):
        walk_certificates.certify(table, norm=100)


@pytest.mark.parametrize("norm", [0, -1, math.nan, math.inf])
def test_weights_without_a_norm_have_no_relative_step(norm: float) -> None:
    with pytest.raises(SkeletonsError, match="must be above 0"):
        walk_certificates.certify(walk_of(CORNER, LOSS), norm=norm)


def test_the_page_names_the_walks_that_leave_the_ridge() -> None:
    good = walk_certificates.certify(walk_of(CORNER, LOSS), norm=100)
    bad = walk_certificates.certify(walk_of(CORNER, LOSS), norm=10)
    page = walk_certificates.walks_markdown({"seed=1_l1=0.1_ep=1": good, "seed=2_l1=0.1_ep=1": bad})
    assert page.startswith("Of 2 walks, 1 is a continuous deformation at constant loss")
    assert "- `seed=2_l1=0.1_ep=1` leaves the ridge: the step to 1 is 10.0%" in page
    assert "- `seed=1" not in page
    assert page.count("\n|") == 3 + 1
    assert walk_certificates.walks_markdown({}) == "No walk was recorded."


# --- with confidence bounds -----------------------------------------------------------------------


def measured_walk(rises: Any, errors: Any) -> pd.DataFrame:
    """A walk whose loss was measured image by image at some points; NaN at the others."""
    loss = 0.1 + np.asarray(rises, dtype=np.float64)
    return walk_of(CORNER, loss).assign(rise=rises, error=errors)


NAN = float("nan")
RISES = [0.0, NAN, 0.03, NAN, -0.02, NAN, NAN, 0.01]
ERRORS = [0.0, NAN, 0.004, NAN, 0.004, NAN, NAN, 0.004]


def test_a_bound_is_the_rise_plus_its_error() -> None:
    found = walk_certificates.certify(measured_walk(RISES, ERRORS), norm=100)
    assert found.holds
    assert (found.rise, found.rise_at, found.descent, found.descent_at) == (0.03, 2, 0.02, 4)
    assert found.bound == pytest.approx(0.03 + 1.645 * 0.004)
    assert found.descent_bound == pytest.approx(0.02 + 1.645 * 0.004)
    assert (found.points, found.every) == (3, 3)
    assert "(upper 95 % bounds 0.037 and 0.027)" in walk_certificates.sentence("m", found)


def test_the_bound_decides_and_not_the_reading() -> None:
    """A point with a lower reading may be the one that is less certain."""
    errors = [*ERRORS[:7], 0.03]
    found = walk_certificates.certify(measured_walk(RISES, errors), norm=100)
    assert (found.rise, found.rise_at) == (0.03, 2)
    assert found.broken == (
        "the training loss rises by 0.010 at step 7, with an upper 95 % bound of 0.059, more than "
        "0.05",
    )


def test_constant_is_meant_on_both_sides() -> None:
    rises = [0.0, NAN, -0.045, NAN, 0.0, NAN, NAN, 0.0]
    found = walk_certificates.certify(measured_walk(rises, ERRORS), norm=100)
    assert found.broken == (
        "the training loss falls by 0.045 at step 2, with an upper 95 % bound of 0.052, more than "
        "0.05",
    )


def test_walks_with_and_without_bounds_share_a_table() -> None:
    both = {
        "a": walk_certificates.certify(measured_walk(RISES, ERRORS), norm=100),
        "b": walk_certificates.certify(walk_of(CORNER, LOSS), norm=100),
    }
    page = walk_certificates.walks_markdown(both)
    assert "| upper bound of the rise | upper bound of the fall |" in page
    assert "| 0.0366 | 0.0266 |" in page
    assert "| – | – |" in page
    alone = walk_certificates.walks_markdown({"b": both["b"]})
    assert "bound" not in alone


def test_a_walk_of_few_images_is_rarely_certified_if_its_loss_rises_beyond_the_limit() -> None:
    """The error of the certificate, on simulated images: at most about 5 %."""
    random, wrong = np.random.default_rng(0), 0
    for _ in range(400):
        rises = 0.05 + 0.5 * random.standard_normal((2_000, 1)) * np.ones((1, 7))
        error = rises.std(axis=0, ddof=1) / np.sqrt(2_000)
        walk = measured_walk([0.0, *rises.mean(axis=0)], [0.0, *error])
        wrong += walk_certificates.certify(walk, norm=100).holds
    assert wrong / 400 < 0.08
