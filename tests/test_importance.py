from itertools import combinations
from math import comb
from pathlib import Path
from typing import Any

import colours
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from skeletons.inspection import importance, unit_ranks
from skeletons.networks import architectures
from skeletons.networks.build import build
from skeletons.networks.describe import prunable
from skeletons.prediction.inference import predict
from skeletons.store import artifacts
from skeletons.training import silencing
from skeletons.training.base import train_base
from skeletons.training.epochs import measure
from skeletons.training.images import Images
from skeletons.training.ranks import scores_of
from skeletons.training.settings import BaseSettings
from skeletons.training.silencing import Silenced


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def images(count: int = 24) -> Images:
    draw = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=draw)
    return Images(pixels, torch.arange(count) % 5)


@torch.no_grad()
def network(name: str) -> nn.Sequential:
    torch.manual_seed(0)
    made = build(name, 4, 5, (0.5, 0.4, 0.3), (0.2, 0.2, 0.2))
    for weight in prunable(made).values():
        weight += 0.05 * torch.randn(weight.shape)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.bias.normal_()
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
    return made


def silenced(made: nn.Sequential, modules: str | list[str], units: Any) -> Any:
    """Loss and accuracy with outputs of modules replaced, in one plain forward pass."""

    def hook(_: nn.Module, __: Any, output: Tensor) -> Tensor:
        output = output.clone()
        output[:, units] = 0.0
        return output

    names = [modules] if isinstance(modules, str) else modules
    handles = [made.get_submodule(name).register_forward_hook(hook) for name in names]
    try:
        return np.array(measure(made, images()))
    finally:
        for handle in handles:
            handle.remove()


# A layer, and the module after which zeros stay zeros.
PLACES = {
    "cnn": {"0": "0", "7": "7", "11": "12", "13": "13"},
    "resnet9": {"0.0": "0.1", "1.0": "1.1", "2.body.1.0": "2.body.1.1"},
    "resnet20": {"3.conv1": "3.norm1", "3.conv2": "3.norm2", "6.conv2": "6.norm2", "0": "1"},
    "speednet": {"groups.1.0": "groups.1.2", "groups.3.4": "groups.3.5"},
}


@pytest.mark.parametrize("name", architectures.REGISTRY)
def test_sharing_the_work_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silencing, "CHUNK", 10)  # the last chunk is smaller
    monkeypatch.setattr(silencing, "BATCH", 30)
    made = network(name)
    table = importance.silence(made, images()).set_index(["layer", "unit"])
    baseline = np.array(measure(made, images()))
    for layer, module in PLACES[name].items():
        for unit in (0, 3):
            expected = silenced(made, f"body.{module}", unit) - baseline
            found = table.loc[(f"body.{layer}.weight", unit)]
            assert np.allclose(found[["loss_change", "accuracy_change"]], expected, atol=1e-5)
    assert table.loss_change.abs().max() > 1e-3


# The modules after which the zeros of a channel of a residual stream stay zeros.
STREAMS = {
    "resnet9": ("2.body.1.0", ["1.1", "2.body.1.1"]),
    "resnet20": ("3.conv2", ["1", "3.norm2", "4.norm2", "5.norm2"]),
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_channel_of_a_residual_stream_is_silenced_in_all_layers(name: str) -> None:
    made = network(name)
    layer, modules = STREAMS[name]
    table = importance.silence(made, images()).set_index(["layer", "unit"])
    baseline = measure(made, images())[0]
    for unit in (0, 2):
        found = table.loc[(f"body.{layer}.weight", unit)]
        expected = silenced(made, [f"body.{module}" for module in modules], unit)[0] - baseline
        assert found.channel_change == pytest.approx(expected, abs=1e-5)
        assert found.channel_change != pytest.approx(found.loss_change, abs=1e-4)


def test_in_a_network_without_residual_streams_a_channel_is_a_unit() -> None:
    table = importance.silence(network("speednet"), images())
    assert np.allclose(table.channel_change, table.loss_change, atol=1e-9)


def test_the_divergence_is_that_of_the_outputs() -> None:
    made = network("cnn")
    table = importance.silence(made, images(), "divergence").set_index(["layer", "unit"])
    intact = torch.log_softmax(predict(made, images().pixels).double(), 1)
    with torch.no_grad():
        made.get_parameter("body.15.weight")[:, 3] = 0  # what silencing unit 3 before it does
    other = torch.log_softmax(predict(made, images().pixels).double(), 1)
    expected = float((intact.exp() * (intact - other)).sum(1).mean())
    assert table.loc[("body.13.weight", 3)].loss_change == pytest.approx(expected, rel=1e-4)
    assert (table.loss_change >= -1e-12).all()


def test_sets_of_units_are_silenced_together() -> None:
    made = network("resnet9")
    first = np.array([True, False, True, False])
    sets = [{"0.0": first}, {"0.0": first, "1.0": np.arange(8) < 3}, {}]
    found = Silenced(made).without(images(), sets)
    assert found[0] == pytest.approx(silenced(made, "body.0.1", [0, 2]), abs=1e-5)
    assert found[2] == pytest.approx(np.array(measure(made, images())), abs=1e-5)

    def hook(_: nn.Module, __: Any, output: Tensor) -> Tensor:
        return torch.cat([0 * output[:, :3], output[:, 3:]], 1)

    made.get_submodule("body.1.1").register_forward_hook(hook)
    assert found[1] == pytest.approx(silenced(made, "body.0.1", [0, 2]), abs=1e-5)


def test_the_skeleton_is_compared_with_random_sets_of_its_size() -> None:
    made, draw = network("cnn"), np.random.default_rng(0)
    tensors = {name: tensor.numpy().copy() for name, tensor in made.state_dict().items()}
    large = {n: np.where(np.abs(tensors[n]) < 1, 0, tensors[n]) for n in prunable(made)}
    kept = {**tensors, **large}
    found = importance.weight_sets(made, kept, images(), "loss", draw)
    assert found["chosen"] == sum(int((large[n] != 0).sum()) for n in large)
    assert found["weights"] == sum(w.size for w in large.values())
    with torch.no_grad():
        for name, w in prunable(made).items():
            w.copy_(torch.from_numpy(large[name]))
    assert found["skeleton"]["alone"] == pytest.approx(measure(made, images())[0], abs=1e-5)
    with torch.no_grad():
        for name, w in prunable(made).items():
            w.copy_(torch.from_numpy(tensors[name] - large[name]))
    assert found["skeleton"]["without"] == pytest.approx(measure(made, images())[0], abs=1e-5)
    drawn = found["random"]["without"]
    assert drawn["lowest"] < drawn["mean"] < drawn["highest"]
    assert drawn["deviation"] > 0


def test_the_tenth_that_matters_costs_more_than_random_units() -> None:
    made = build("cnn", 4, 3, (0.3,) * 3, (0.2,) * 3, seed=1)
    train = colours.images()
    how = BaseSettings(8, 16, "sgd", 0.2, 0.9, 0.0, 0.0, 0.2, colours.PLAIN)
    train_base(made, train, train, 1, how, "fp32")
    tensors = {name: tensor.numpy() for name, tensor in made.state_dict().items()}
    table = importance.importance_table(made, tensors, train)
    found = importance.unit_sets(made, table, train, "loss", np.random.default_rng(0))
    tenths = table.groupby("layer").unit.count().map(unit_ranks.tenth)
    assert (found["units"], found["chosen"]) == (len(table), tenths.sum())
    drawn = found["random"]["without"]
    assert found["important"]["without"] > drawn["mean"] > measure(made, train)[0]
    assert found["important"]["alone"] < found["random"]["alone"]["highest"]


def test_counterfactual_scores_are_the_rise_without_the_unit() -> None:
    made = network("resnet9")
    with torch.no_grad():
        made.get_parameter("body.8.weight")[:, 5] = 0  # unit 5 before the logits does nothing
    found = scores_of(made, images(), "counterfactual")
    assert {n: s.shape for n, s in found.items()} == {n: w.shape for n, w in prunable(made).items()}
    whole = Silenced(made).each_channel(images())
    ((stream, rises),) = [(s, found) for s, found in whole.items() if "8" in s.readers]
    size = sum(found[f"body.{layer}.weight"].numel() for layer in stream.readers) // stream.size
    scores = found["body.8.weight"]
    assert size > len(scores)  # a block reads the residual stream as well
    assert not scores[:, 5].any()
    assert torch.equal(scores, scores[:1].expand_as(scores))
    # all weights of the units together are worth what is lost without them
    expected = torch.from_numpy(rises[0]).clamp(min=0) / size
    assert torch.allclose(scores[0].double(), expected, rtol=1e-5)
    first = found["body.0.0.weight"]  # from the images: of the unit that it leads to
    assert (first.flatten(1).std(dim=1) == 0).all()
    assert first.flatten(1)[:, 0].unique().numel() > 1


def test_every_hidden_unit_is_asked_and_no_other() -> None:
    table = importance.silence(network("speednet"), images())
    counted = table.groupby("layer", sort=False).unit.count()
    # neither the fixed whitening filters nor the logits
    assert counted.to_dict() == {
        f"body.groups.{group}.{conv}.weight": width
        for group, width in ((1, 4), (2, 16), (3, 16))
        for conv in (0, 4)
    }


@torch.no_grad()
def test_units_that_do_nothing_are_worth_nothing_and_are_called_dead() -> None:
    made = network("cnn")
    tensors = {name: tensor.numpy().copy() for name, tensor in made.state_dict().items()}
    made.get_parameter("body.15.weight")[:, 3] = 0  # read by nothing
    tensors["body.15.weight"][:, 3] = 0
    tensors["body.13.weight"][7] = 0  # reads nothing in the pruned model
    tensors["body.13.weight"][8, :4] = 0
    table = importance.importance_table(made, tensors, images()).set_index(["layer", "unit"])
    last = table.loc["body.13.weight"]
    assert last.loss_change[3] == 0
    assert list(last.index[last.dead]) == [3, 7]
    assert last.kept_share[7] == 0
    assert last.kept_share[8] == pytest.approx(12 / 16)
    row = made.get_parameter("body.13.weight")[2]
    assert last.magnitude_l1[2] == pytest.approx(float(row.abs().sum()))
    assert last.magnitude_l2[2] == pytest.approx(float(row.norm()))


def test_a_layer_of_which_no_unit_fires_is_worth_nothing() -> None:
    made = network("cnn")
    with torch.no_grad():
        made.get_parameter("body.0.weight").zero_()
        made.get_parameter("body.0.bias").fill_(-1.0)
    found = importance.silence(made, images())
    first = found[found.layer == "body.0.weight"]
    assert len(first) == 4
    assert not first[["loss_change", "accuracy_change"]].to_numpy().any()


def test_the_same_model_gives_the_same_files(tmp_path: Path) -> None:
    made = network("resnet9")
    tensors = {name: tensor.numpy() for name, tensor in made.state_dict().items()}
    about = {"network": {"name": "resnet9", "width": 4, "classes": 5}}
    artifacts.write_json(tmp_path / "model.json", about)
    artifacts.write_tensors(tmp_path / "weights.safetensors", tensors)
    pruned = {n: np.where(np.abs(t) < 0.1, 0, t) if t.ndim > 1 else t for n, t in tensors.items()}
    artifacts.write_tensors(tmp_path / "pruned.safetensors", pruned)
    test = images()
    data = {f"{s}_images": test.pixels.numpy() for s in ("train", "test")}
    labels = {f"{s}_labels": test.labels.numpy() for s in ("train", "test")}
    artifacts.write_tensors(tmp_path / "images.safetensors", data | labels)
    files = {
        "regularized": "weights.safetensors",
        "summary": "model.json",
        "pruned": "pruned.safetensors",
        "dataset": "images.safetensors",
    }
    written = []
    for _ in range(2):
        outputs = tmp_path / "importance.parquet", tmp_path / "ranks.json"
        importance.importance_stage(
            **{key: str(tmp_path / name) for key, name in files.items()},
            table=str(outputs[0]),
            ranks=str(outputs[1]),
            images=10,
            by="loss",
            device="cpu",
            threads=1,
        )
        written.append([path.read_bytes() for path in outputs])
    assert written[0] == written[1]
    ranks = artifacts.read_json(tmp_path / "ranks.json", ["layers", "spearman", "expected"])
    assert ranks["images"] == 10
    assert len(ranks["layers"]) == 8


# --- ranks --------------------------------------------------------------------------------------

numbers = st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=3, max_size=30)


@given(numbers)
def test_rank_correlation_is_that_of_pandas(values: list[tuple[int, int]]) -> None:
    a, b = np.array(values, dtype=float).T
    if len(set(a)) > 1 and len(set(b)) > 1:
        other = pd.DataFrame({"a": a, "b": b}).corr(method="spearman").loc["a", "b"]
        assert unit_ranks.spearman(a, b) == pytest.approx(other)
    else:
        assert np.isnan(unit_ranks.spearman(a, b))


def test_the_top_are_the_largest_and_ties_go_to_lower_numbers() -> None:
    assert unit_ranks.top([1, 3, 2, 3, 3], 2).tolist() == [False, True, False, True, False]
    assert not unit_ranks.top([1, 2], 0).any()


@given(st.integers(1, 7), st.data())
def test_chance_overlap_is_what_counting_all_sets_gives(n: int, data: st.DataObject) -> None:
    sizes = [data.draw(st.integers(0, n)) for _ in range(2)]
    a, b = (np.isin(np.arange(n), data.draw(st.permutations(range(n)))[:s]) for s in sizes)
    found = unit_ranks.overlap(a, b)
    ours = set(np.flatnonzero(a))
    every = [len(ours & set(other)) for other in combinations(range(n), sizes[1])]
    assert found["shared"] == len(ours & set(np.flatnonzero(b)))
    assert found["expected"] == pytest.approx(np.mean(every))
    assert found["probability"] == pytest.approx(np.mean(np.array(every) >= found["shared"]))


def table(loss: Any, magnitude: Any, dead: Any) -> pd.DataFrame:
    columns = {"loss_change": loss, "magnitude_l1": magnitude, "dead": dead, "kept_share": 0.5}
    return pd.DataFrame({"layer": "body.0.weight", "unit": np.arange(len(loss)), **columns})


def test_magnitude_that_ranks_as_importance_does_is_found() -> None:
    values = np.arange(40.0)
    agree = unit_ranks.by_layer(table(values, values**2, values < 16)).iloc[0]
    assert (agree.alive, agree.k, agree.shared, agree.spearman) == (24, 4, 4, 1.0)
    assert agree.expected == pytest.approx(0.4)
    assert agree.probability == pytest.approx(1 / comb(40, 4))
    assert agree.kept == 4
    gone = unit_ranks.summarize(table(values, values, values > 37))
    assert (gone["kept"], gone["kept_expected"]) == (2, pytest.approx(4 * 38 / 40))
    opposed = unit_ranks.by_layer(table(values, -values, values < 6)).iloc[0]
    assert (opposed.shared, opposed.spearman) == (0, -1.0)


def test_a_layer_that_ranks_nothing_has_no_correlation() -> None:
    found = unit_ranks.summarize(table(np.zeros(4), np.arange(4.0), [False] * 4))
    assert found["spearman"] is None
    assert found["layers"][0]["spearman"] is None
    # a tenth, but at least one
    assert (found["units"], found["alive"], found["k"], found["expected"]) == (4, 4, 1, 0.25)


def test_aligned_bases_agree_and_only_aligned() -> None:
    draw = np.random.default_rng(0)
    loss, dead = draw.normal(size=100), np.zeros(100, dtype=bool)
    dead[np.argsort(loss)[:30]] = True
    order = draw.permutation(100)  # unit i of a is unit order[i] of b
    other, gone = np.empty(100), np.empty(100, dtype=bool)
    other[order], gone[order] = loss, dead
    a, b = table(loss, loss, dead), table(other, other, gone)
    aligned = unit_ranks.matched(a, b, {"body.0.weight": order}).iloc[0]
    assert (aligned.shared, aligned.k_a, aligned.k_b) == (10, 10, 10)
    assert aligned.spearman == pytest.approx(1)
    assert aligned.probability < 1e-6
    naive = unit_ranks.matched(a, b, {}).iloc[0]
    assert naive.shared < 8
    assert abs(naive.spearman) < 0.5


def test_what_cannot_be_matched_is_refused() -> None:
    a = table(np.arange(4.0), np.arange(4.0), [False] * 4)
    with pytest.raises(ValueError, match="not a permutation of 4 units"):
        unit_ranks.matched(a, a, {"body.0.weight": [0, 1, 2, 2]})
    with pytest.raises(ValueError, match="same units"):
        unit_ranks.matched(a, a.iloc[:3], {})
