import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skeletons.errors import SkeletonsError
from skeletons.model_ids import Model, controls, grid, numbers, pairs, spell

floats = st.floats(min_value=0, max_value=1e6, allow_nan=False, allow_infinity=False)
models = st.one_of(
    st.builds(Model, st.integers(0, 10**6)),
    st.builds(Model, st.integers(0, 10**6), floats, st.integers(1, 500)),
    st.builds(Model, st.integers(0, 10**6), floats, st.integers(1, 500), floats),
    st.builds(
        Model,
        st.integers(0, 10**6),
        floats,
        st.integers(1, 500),
        density=st.floats(min_value=0.001, max_value=1),
        draw=st.none() | st.integers(1, 9),
    ),
)


def test_one_number_has_one_spelling() -> None:
    assert {spell(x) for x in (1e-5, 1.0e-05, 0.00001)} == {"1e-05"}
    assert spell(0.05) == "0.05"
    assert spell(1) == spell(1.0) == "1"


def test_ids_say_what_a_model_is() -> None:
    assert str(Model(1)) == "seed=1"
    assert str(Model(1, 1e-5, 4)) == "seed=1_l1=1e-05_ep=4"
    assert str(Model(1, 1e-5, 4, 0.05)) == "seed=1_l1=1e-05_ep=4_t=0.05"
    assert str(Model(1, 1e-5, 4, density=0.1)) == "seed=1_l1=1e-05_ep=4_d=0.1"
    assert Model.parse("seed=1_l1=1e-05_ep=4_d=0.1_random=2").state == "random"
    assert Model.parse("seed=1_l1=1e-05_ep=4_d=0.1").state == "pruned"
    assert [Model(1, 1e-5, 4, t).state for t in (None, 0.1)] == ["regularized", "pruned"]


def test_a_rule_s_wildcards_are_numbers_once() -> None:
    wildcards = {"base": "seed=1", "l1": "1e-05", "epochs": "4", "threshold": "0.05", "ood": "x"}
    found = numbers(wildcards)
    assert found == {"l1": 1e-5, "epochs": 4, "threshold": 0.05}
    assert str(Model(1).of(**found)) == "seed=1_l1=1e-05_ep=4_t=0.05"
    assert str(Model(1).of(**numbers({**wildcards, "draw": "2"}))).endswith("_t=0.05_random=2")
    assert Model(3).of(**numbers({"order": "2"})).state == "reordered"
    with pytest.raises(ValueError, match="could not convert"):
        numbers({"l1": "1e-5-3"})


def test_controls_have_ids_too() -> None:
    chosen = controls(grid([Model(1)], [0.1], [1], [0.5]), True, [2], [3])
    assert [(str(model), model.control) for model in chosen] == [
        ("seed=1_untrained", "untrained"),
        ("seed=1_order=2", "reordered"),
        ("seed=1_l1=0.1_ep=1_t=0.5_random=3", "random"),
    ]
    assert [Model.parse(str(model)) for model in chosen] == chosen


@pytest.mark.parametrize(
    ("text", "state", "stage", "parent"),
    [
        ("seed=1_l1=0_ep=5", "plain", "regularized", "seed=1_l1=0_ep=4"),
        ("seed=1_l1=0_ep=1_t=0.1", "pruned", "pruned", "seed=1_l1=0_ep=1"),
        ("seed=1_fork=0.3_order=2", "forked", "forked", None),
        ("seed=1_fork=0.3_order=2_l1=0.1_ep=1", "forked", "regularized", "seed=1_fork=0.3_order=2"),
        ("net=a_seed=1_labels", "labels", "labels", None),
        ("seed=1_labels_l1=0.1_ep=1_d=0.2", "labels", "pruned", "seed=1_labels_l1=0.1_ep=1"),
        ("seed=1_planted", "planted", "planted", None),
        ("seed=1_planted_l1=0.1_ep=1", "planted", "regularized", "seed=1_planted"),
        ("seed=1_l1=0.1_ep=1_t=0.5_stopped", "stopped", "stopped", "seed=1_l1=0.1_ep=1"),
    ],
)
def test_controls_that_walk_are_named_after_what_they_start_from(
    text: str, state: str, stage: str, parent: str | None
) -> None:
    model = Model.parse(text)
    assert (str(model), model.state, model.stage) == (text, state, stage)
    assert str(model.base).endswith("seed=1")
    assert parent is None or str(model.parent) == parent


def test_children_of_one_base_draw_their_own_random_numbers() -> None:
    children = [Model(1, fork=0.3, order=n) for n in (1, 2)]
    assert len({child.number for child in (Model(1), *children)}) == 3
    assert Model(1, labels=True).number == Model(1, planted=True).number == 1


def test_families_of_controls_come_after_all_other_models_of_their_seed() -> None:
    grid_of_one = grid([Model(1)], [0.1], [1], [0.5])
    family = [Model(1, planted=True), Model(1, labels=True), Model(1, fork=0.3, order=1)]
    ordered = sorted([*family, *grid_of_one, Model(2)], key=lambda model: model.sort_key)
    assert ordered == [*grid_of_one, family[2], family[1], family[0], Model(2)]


@given(models)
def test_an_id_names_its_model(model: Model) -> None:
    assert Model.parse(str(model)) == model


@pytest.mark.parametrize(
    "text",
    [
        *("", "seed=x", "seed=01", "seed=1_l1=1e-5_ep=1", "seed=1_l1=0.1", "seed=1_t=0.05", "a/b"),
        *("seed=1_random=1", "seed=1_l1=0.1_ep=1_untrained", "seed=1_l1=0.1_ep=1_order=1"),
        *("seed=1_order=0", "seed=1_l1=0.1_ep=1_random=1", "seed=1_l1=0.1.1_ep=1"),
        *("seed=1_fork=0.3", "seed=1_labels_planted", "seed=1_l1=0.1_ep=1_labels"),
        *("seed=1_stopped", "own=a_order=1", "own=a_fork=0.3_order=1"),
    ],
)
def test_what_is_not_an_id_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(SkeletonsError, match="is not a model id"):
        Model.parse(text)


@pytest.mark.parametrize(
    ("epochs", "parent"), [(1, None), (2, None), (4, None), (5, 4), (8, 4), (9, 8), (16, 8)]
)
def test_a_long_walk_starts_from_the_largest_power_of_two_below(
    epochs: int, parent: int | None
) -> None:
    assert Model(3, 0.1, epochs).parent.epochs == parent


@given(st.integers(1, 1000))
def test_the_chain_reaches_the_base_and_costs_its_own_epochs(epochs: int) -> None:
    model, cost = Model(0, 0.1, epochs), 0
    while model.state != "base":
        cost += (model.epochs or 0) - (model.parent.epochs or 0)
        model = model.parent
    assert cost == epochs


def test_a_base_has_no_parent() -> None:
    with pytest.raises(ValueError, match="no parent"):
        _ = Model(1).parent


def test_the_post_has_52_models_and_1326_pairs() -> None:
    chosen = grid(
        [Model(1), Model(2)],
        [1e-4],
        [1, 2, 4, 8, 16],
        [0.01, 0.02, 0.03, 0.04, 0.05],
        ["base", "pruned"],
    )
    assert len(chosen) == 52
    assert len(list(pairs(chosen))) == 1326


@given(st.data())
def test_the_order_of_a_list_changes_nothing(data: st.DataObject) -> None:
    lists = [
        [Model(2), Model(1, net="a"), Model(net="a", own="b")],
        [1e-4, 1e-5],
        [16, 2],
        [0.1, 0.02],
    ]
    shuffled = [data.draw(st.permutations(values)) for values in lists]
    assert grid(*lists) == grid(*shuffled)  # type: ignore[arg-type]
    assert list(pairs(grid(*lists))) == list(pairs(grid(*shuffled)))  # type: ignore[arg-type]


def test_models_sort_as_numbers_and_unmodified_first() -> None:
    chosen = grid([Model(2), Model(10)], [0.1], [2, 16], [0.05])
    keys = [model.sort_key for model in chosen]
    assert keys == sorted(keys)
    assert [str(m) for m in chosen[:4]] == [
        "seed=2",
        "seed=2_l1=0.1_ep=2",
        "seed=2_l1=0.1_ep=2_t=0.05",
        "seed=2_l1=0.1_ep=16",
    ]
    assert all(a.sort_key < b.sort_key for a, b in itertools.pairwise(chosen))
