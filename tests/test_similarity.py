from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import optimize  # noqa: F401 - here, because importing it takes longer than an example
from scipy.spatial.distance import jensenshannon

from skeletons.config import names
from skeletons.errors import ArtifactError
from skeletons.measures import behaviour, predictions
from skeletons.measures.catalogue import MEASURES
from skeletons.measures.predictions import Predictions
from skeletons.store import artifacts


def logits_of(images: int, classes: int = 5) -> st.SearchStrategy[Any]:
    return hnp.arrays(
        np.float64, (images, classes), elements=st.floats(-20, 20).map(lambda x: round(x, 3))
    )


pairs_of_logits = st.integers(2, 12).flatmap(lambda n: st.tuples(logits_of(n), logits_of(n)))


def model(logits: Any) -> Predictions:
    logits = np.asarray(logits, dtype=np.float64)
    return Predictions(logits, np.zeros(len(logits), dtype=np.int64))


def random_model(seed: int, images: int = 40) -> Predictions:
    return model(np.random.default_rng(seed).normal(size=(images, 10)))


ALWAYS = [measure for measure in behaviour.DECLARED if not measure.labelled]


def values(row: dict[str, Any]) -> list[float]:
    return [row[measure.name] for measure in behaviour.DECLARED if measure.name in row]


@given(logits_of(6))
def test_a_model_is_exactly_like_itself(logits: Any) -> None:
    one = model(logits)
    row = behaviour.compare(one, one)
    if row["valid"]:
        for measure in ALWAYS:
            value = row[measure.name]
            if np.isnan(value):
                assert measure.undefined in row["reason"]
            else:
                assert value == pytest.approx(measure.itself, abs=1e-9)
    else:
        assert one.constant or one.silent.all()


@given(pairs_of_logits)
def test_measures_are_symmetric_and_in_range(both: Any) -> None:
    a, b = map(model, both)
    there, back = behaviour.compare(a, b), behaviour.compare(b, a)
    assert there["valid"] == back["valid"]
    if there["valid"]:
        assert values(there) == pytest.approx(values(back), abs=1e-12, nan_ok=True)
        for measure in ALWAYS:
            value = there[measure.name]
            if np.isnan(value):
                assert measure.undefined in there["reason"]
            else:
                assert measure.low - 1e-12 <= value <= measure.high + 1e-12


@given(pairs_of_logits, st.randoms(use_true_random=False))
def test_the_order_of_the_images_changes_nothing(both: Any, random: Any) -> None:
    order = list(range(len(both[0])))
    random.shuffle(order)
    straight = behaviour.compare(*map(model, both))
    shuffled = behaviour.compare(*(model(logits[order]) for logits in both))
    if straight["valid"]:
        assert values(straight) == pytest.approx(values(shuffled), abs=1e-8, nan_ok=True)


def test_each_measure_is_invariant_to_what_it_says() -> None:
    a, b = random_model(0), random_model(1)
    plain = behaviour.compare(a, b)
    shifted = behaviour.compare(model(a.logits + 3), b)
    scaled = behaviour.compare(model(a.logits * 3), b)
    for name in ("cosine_prob", "cosine_prob_flat", "agreement", "disagreement", "jensen_shannon"):
        assert shifted[name] == pytest.approx(plain[name])
    for name in ("cosine_logit", "cosine_logit_flat", "agreement", "disagreement"):
        assert scaled[name] == pytest.approx(plain[name])


def test_cosines_agree_with_the_formula() -> None:
    a, b = random_model(2), random_model(3)
    by_hand = []
    for x, y in zip(a.logits, b.logits, strict=True):
        p, q = np.exp(x) / np.exp(x).sum(), np.exp(y) / np.exp(y).sum()
        by_hand.append(float(p @ q / np.linalg.norm(p) / np.linalg.norm(q)))
    row = behaviour.compare(a, b)
    assert row["cosine_prob"] == pytest.approx(np.mean(by_hand), abs=1e-12)
    assert row["cosine_prob_std"] == pytest.approx(np.std(by_hand), abs=1e-12)


def test_divergence_agrees_with_an_independent_implementation() -> None:
    a, b = random_model(2), model(random_model(3).logits * 300)  # with probabilities of exactly 0
    assert (b.probabilities == 0).any()
    theirs = jensenshannon(a.probabilities, b.probabilities, base=2, axis=1) ** 2
    row = behaviour.compare(a, b)
    assert row["jensen_shannon"] == pytest.approx(theirs.mean(), abs=1e-9)
    assert row["jensen_shannon_std"] == pytest.approx(theirs.std(), abs=1e-9)


def test_two_models_without_a_common_class_are_one_bit_apart() -> None:
    a = model(np.eye(4) * 1e4)
    row = behaviour.compare(a, model(np.roll(a.logits, 1, axis=1)))
    assert row["jensen_shannon"] == 1.0
    assert row["disagreement"] == 1.0


def test_disagreement_is_what_agreement_leaves() -> None:
    row = behaviour.compare(random_model(7), random_model(8))
    by_hand = np.mean([x.argmax() != y.argmax() for x, y in zip(*logits_of_two(7, 8), strict=True)])
    assert row["disagreement"] == pytest.approx(by_hand, abs=1e-12)
    assert row["disagreement"] == pytest.approx(1 - row["agreement"], abs=1e-12)


def logits_of_two(one: int, other: int) -> tuple[Any, Any]:
    return random_model(one).logits, random_model(other).logits


@pytest.mark.parametrize("name", ["cosine_prob", "jensen_shannon"])
def test_a_measure_of_images_is_their_mean_without_images_of_no_class(name: str) -> None:
    silenced = random_model(11).logits.copy()
    silenced[:2] = 0.0
    a, b = random_model(10), model(silenced)
    row = behaviour.compare(a, b)
    known = np.arange(40) >= 2
    values = MEASURES[name].values(a.only(known), b.only(known))
    assert row["undefined"] == 2
    assert row[name] == pytest.approx(np.mean(values), abs=1e-12)
    assert row[f"{name}_std"] == pytest.approx(np.std(values), abs=1e-12)


def test_opposite_logits_are_as_unlike_as_can_be() -> None:
    a = random_model(4)
    row = behaviour.compare(a, model(-a.logits))
    assert row["cosine_logit"] == pytest.approx(-1)
    assert row["cosine_logit_flat"] == pytest.approx(-1)


@pytest.mark.parametrize("dead", [np.zeros((40, 10)), np.tile(np.arange(10.0), (40, 1))])
def test_a_dead_model_is_like_nothing(dead: Any) -> None:
    for a, b, reason in [
        (model(dead), random_model(0), "a answers every image alike"),
        (random_model(0), model(dead), "b answers every image alike"),
        (model(dead), model(dead), "a and b answer every image alike"),
    ]:
        row = behaviour.compare(a, b)
        assert not row["valid"]
        assert row["reason"] == reason
        assert np.isnan(values(row)).all()


def test_images_with_nothing_to_compare_are_left_out_and_counted() -> None:
    a, b = random_model(5), random_model(6)
    silenced = a.logits.copy()
    silenced[:3] = 0.0
    silenced[3] = 7.0  # uniform as well: the logits do not differ
    row = behaviour.compare(model(silenced), b)
    rest = behaviour.compare(model(a.logits[4:]), model(b.logits[4:]))
    assert row["undefined"] == 4
    assert row["valid"]
    assert values(row) == pytest.approx(values(rest))


def test_models_on_different_images_are_not_compared() -> None:
    with pytest.raises(ValueError, match="not on the same images"):
        behaviour.compare(random_model(0, 10), random_model(1, 11))


def test_the_config_knows_every_measure() -> None:
    assert tuple(measure.name for measure in behaviour.DECLARED) == names.MEASURES


def write_predictions(path: Path, seed: int, images: int = 30) -> None:
    logits = np.random.default_rng(seed).normal(size=(images, 4)).astype(np.float32)
    columns = {f"logit_{k}": logits[:, k] for k in range(4)}
    artifacts.write_table(path, pd.DataFrame({"label": np.arange(images) % 4, **columns}))


def test_a_pair_file_holds_one_row_that_names_the_pair(tmp_path: Path) -> None:
    for k, name in enumerate("ab"):
        write_predictions(tmp_path / f"{name}.parquet", k)
    out = tmp_path / "pair.parquet"
    behaviour.compare_stage(
        a=str(tmp_path / "a.parquet"),
        b=str(tmp_path / "b.parquet"),
        pair=str(out),
        ood="digits",
        models=["seed=1", "seed=2"],
    )
    table = artifacts.read_table(out)
    assert table[["a", "b", "ood"]].to_numpy().tolist() == [["seed=1", "seed=2", "digits"]]
    behaviour.collect_pairs_stage(pairs=[str(out), str(out)], table=str(tmp_path / "all.parquet"))
    assert len(artifacts.read_table(tmp_path / "all.parquet")) == 2


def test_what_a_predictions_file_may_not_be(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    with pytest.raises(ArtifactError, match="does not exist"):
        predictions.read(path)
    write_predictions(path, 0)
    table = artifacts.read_table(path)
    table.loc[3, "logit_2"] = np.nan
    artifacts.write_table(path, table)
    with pytest.raises(ArtifactError, match="not finite"):
        predictions.read(path)
    artifacts.write_table(path, table.rename(columns={"logit_3": "logit_9"}))
    with pytest.raises(ArtifactError, match="not a table of predictions"):
        predictions.read(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ArtifactError, match="not a whole parquet file"):
        predictions.read(path)


def test_loss_and_accuracy_follow_from_the_logits() -> None:
    one = Predictions(np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([0, 0]))
    assert one.accuracy == 0.5
    expected = (np.log(1 + np.exp(-2)) + np.log(1 + np.exp(1))) / 2
    assert one.loss == pytest.approx(expected)
