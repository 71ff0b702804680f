from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from skeletons.errors import ArtifactError, ExposureError, WiringError
from skeletons.inspection import exposure, timing
from skeletons.networks import architectures, channels
from skeletons.networks.build import build, prepare
from skeletons.networks.describe import prunable
from skeletons.networks.offsets import Offset, OffsetConv, runs
from skeletons.prediction import inference
from skeletons.store import artifacts

NAMES = list(architectures.REGISTRY)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def images(count: int = 12) -> Tensor:
    draw = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=draw)


@torch.no_grad()
def network(name: str, width: int = 6, seed: int = 0) -> nn.Sequential:
    """A network that looks trained: no bias, shift, scale or statistic is at its initial value."""
    torch.manual_seed(seed)
    made = build(name, width, 7, (0.5, 0.4, 0.3), (0.2, 0.2, 0.2), seed=seed)
    prepare(made, images())
    for weight in prunable(made).values():
        weight += 0.05 * torch.randn(weight.shape)  # speednet starts as the identity
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.uniform_(0.5, 1.5)
            module.bias.normal_()
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
        elif isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            module.bias.normal_(std=0.5)
    return made


@torch.no_grad()
def prune(made: nn.Sequential, sparsity: float, dead: float = 0.3) -> nn.Sequential:
    """Zero random weights, and all weights into or out of a share of the units."""
    for weight in prunable(made).values():
        weight *= torch.rand(weight.shape) >= sparsity
        rows, columns = (torch.rand(n) < dead for n in weight.shape[:2])
        if rows.all() or weight.shape[0] == 7:
            rows[:] = False
        weight[rows] = 0
        weight[:, columns & (torch.rand(len(columns)) < 0.5)] = 0
    return made


def same(one: nn.Module, other: nn.Module) -> float:
    """The largest difference of logits, in units of their spread."""
    a, b = (inference.predict(made, images()).double() for made in (one, other))
    assert a.std() > 1e-3  # constant outputs would be easy to match
    return float((a - b).abs().max() / a.std())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sparsity", [0.0, 0.8])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_exposed_network_computes_what_the_pruned_one_does(
    name: str, sparsity: float, seed: int
) -> None:
    pruned = prune(network(name, seed=seed), sparsity)
    before = {key: tensor.clone() for key, tensor in pruned.state_dict().items()}
    exposed = exposure.expose(pruned)
    assert same(pruned, exposed.network) < 1e-5
    about = exposure.report(pruned, exposed)
    assert about["after"]["flops"] < 0.9 * about["before"]["flops"]
    assert all(torch.equal(before[key], tensor) for key, tensor in pruned.state_dict().items())


@pytest.mark.parametrize("name", NAMES)
def test_exposing_twice_is_exposing_once(name: str) -> None:
    once = exposure.expose(prune(network(name), 0.8))
    twice = exposure.expose(once.network)
    assert twice.layers == once.layers
    one, two = once.network.state_dict(), twice.network.state_dict()
    assert list(one) == list(two)
    assert all(torch.allclose(one[key], two[key]) for key in one)
    assert all(units == list(range(len(units))) for units in twice.kept.values())


@pytest.mark.parametrize("name", NAMES)
def test_where_nothing_is_dead_nothing_changes(name: str) -> None:
    whole = network(name)
    exposed = exposure.expose(whole)
    about = exposure.report(whole, exposed)
    assert about["before"] == about["after"]
    assert all(row["before"] == row["after"] for row in about["units"])
    assert same(whole, exposed.network) < 1e-5
    shapes = {key: tensor.shape for key, tensor in whole.state_dict().items()}
    assert {key: tensor.shape for key, tensor in exposed.network.state_dict().items()} == shapes


@pytest.mark.parametrize("name", NAMES)
def test_it_is_reloaded_from_its_files_alone(tmp_path: Path, name: str) -> None:
    about = {"name": name, "width": 6, "classes": 7}
    exposed = exposure.expose(prune(network(name), 0.8))
    paths = str(tmp_path / "weights.safetensors"), str(tmp_path / "exposed.json")
    exposure.save(exposed, about, *paths)
    state = torch.random.get_rng_state()
    loaded = exposure.load(*paths)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(
        inference.predict(loaded, images()), inference.predict(exposed.network, images())
    )
    fixed = {key: p.requires_grad for key, p in exposed.network.named_parameters()}
    assert {key: p.requires_grad for key, p in loaded.named_parameters()} == fixed


# --- dead units, one by one ---------------------------------------------------------------------


@torch.no_grad()
def test_one_dead_channel_takes_its_flattened_block_along() -> None:
    pruned = network("cnn")
    last = pruned.get_submodule("body.7")
    last.get_parameter("weight")[3] = 0
    last.get_parameter("bias")[3] = 0.7  # a constant that is not zero
    exposed = exposure.expose(pruned)
    assert exposed.kept["7"] == [k for k in range(12) if k != 3]
    assert exposed.network.get_parameter("body.11.weight").shape == (24, 64 * 11)
    assert same(pruned, exposed.network) < 1e-5


@torch.no_grad()
def test_a_constant_is_folded_exactly_at_the_borders_too() -> None:
    pruned = network("cnn")
    pruned.get_parameter("body.0.weight")[2] = 0
    pruned.get_parameter("body.0.bias")[2] = 1.5
    exposed = exposure.expose(pruned)
    folded = exposed.network.get_submodule("body.2")
    assert isinstance(folded, OffsetConv)
    assert (folded.offset.rows, folded.offset.columns) == ((1, 30, 1), (1, 30, 1))
    assert same(pruned, exposed.network) < 1e-5
    # a bias alone is right in the middle of the image, but not at its borders
    folded.offset.values[:] = folded.offset.values[:, 1:2, 1:2].clone()
    assert same(pruned, exposed.network) > 1e-3


@torch.no_grad()
def test_a_constant_zero_needs_no_folding() -> None:
    pruned = network("cnn")
    pruned.get_parameter("body.0.weight")[2] = 0
    pruned.get_parameter("body.0.bias")[2] = -1  # zero after the ReLU
    exposed = exposure.expose(pruned)
    assert type(exposed.network.get_submodule("body.2")) is nn.Conv2d
    assert same(pruned, exposed.network) < 1e-5


@torch.no_grad()
def test_one_death_is_another_s() -> None:
    """Unit 1 of the first linear layer reads only channel 0; nothing but unit 5 reads unit 2."""
    pruned = network("cnn")
    pruned.get_parameter("body.7.weight")[0] = 0
    pruned.get_parameter("body.11.weight")[1, 64:] = 0
    pruned.get_parameter("body.13.weight")[:5, 2] = 0
    pruned.get_parameter("body.13.weight")[6:, 2] = 0
    pruned.get_parameter("body.15.weight")[:, 5] = 0
    exposed = exposure.expose(pruned)
    assert 0 not in exposed.kept["7"]
    assert [k for k in range(24) if k not in exposed.kept["11"]] == [1, 2]
    assert [k for k in range(24) if k not in exposed.kept["13"]] == [5]
    assert same(pruned, exposed.network) < 1e-5


@torch.no_grad()
def test_a_residual_channel_goes_only_when_all_on_the_stream_agree() -> None:
    pruned = network("resnet9")
    writers = ("1.0", "2.body.1.0")  # the layers whose outputs are added
    pruned.get_parameter(f"body.{writers[0]}.weight")[4] = 0
    assert exposure.expose(pruned).kept["1.0"] == list(range(12))
    pruned.get_parameter(f"body.{writers[1]}.weight")[4] = 0
    exposed = exposure.expose(pruned)
    for name in writers:
        assert exposed.kept[name] == [k for k in range(12) if k != 4]
    assert exposed.network.get_parameter("body.3.0.weight").shape[1] == 11
    assert same(pruned, exposed.network) < 1e-5


@torch.no_grad()
def test_a_padded_stream_stays_whole_and_its_inner_channels_go() -> None:
    pruned = network("resnet20")
    for name, weight in prunable(pruned).items():
        if "conv" in name:
            weight[1] = 0
    exposed = exposure.expose(pruned)
    for name, units in exposed.kept.items():
        whole = name in ("0", "13") or name.endswith("conv2")
        assert (1 in units) == whole, name
    assert same(pruned, exposed.network) < 1e-5


@pytest.mark.parametrize(
    ("name", "layer"), [("resnet9", "2.body.0.0"), ("resnet20", "7.conv1"), ("resnet20", "3.conv2")]
)
@torch.no_grad()
def test_a_block_with_nothing_in_it_becomes_a_constant(
    tmp_path: Path, name: str, layer: str
) -> None:
    pruned = network(name)
    pruned.get_parameter(f"body.{layer}.weight")[:] = 0
    exposed = exposure.expose(pruned)
    assert layer not in exposed.kept or isinstance(
        exposed.network.get_submodule(f"body.{layer}"), Offset
    )
    assert sum(isinstance(m, Offset) for m in exposed.network.modules()) >= 1
    assert same(pruned, exposed.network) < 1e-5
    again = exposure.expose(exposed.network)
    assert again.layers == exposed.layers
    paths = str(tmp_path / "weights.safetensors"), str(tmp_path / "exposed.json")
    exposure.save(exposed, {"name": name, "width": 6, "classes": 7}, *paths)
    assert same(exposure.load(*paths), pruned) < 1e-5


@torch.no_grad()
def test_filters_that_nothing_reads_go_though_they_are_fixed() -> None:
    pruned = network("speednet")
    pruned.get_parameter("body.groups.1.0.weight")[:, 5] = 0
    exposed = exposure.expose(pruned)
    whiten = exposed.network.get_parameter("body.whiten.weight")
    assert whiten.shape[0] == 23
    assert not whiten.requires_grad
    assert same(pruned, exposed.network) < 1e-5


@torch.no_grad()
def test_the_number_of_channels_that_a_network_computes_with_stays_its_own() -> None:
    pruned = network("speednet")
    pruned.get_parameter("body.head.weight")[:, :10] = 0
    exposed = exposure.expose(pruned)
    assert exposed.network.get_parameter("body.head.weight").shape == (7, 14)
    assert same(pruned, exposed.network) < 1e-5


# --- nothing left -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "layer"), [("cnn", "5"), ("resnet9", "3.0"), ("resnet20", "0"), ("speednet", "head")]
)
@torch.no_grad()
def test_a_dead_layer_on_the_only_way_is_told_in_a_sentence(name: str, layer: str) -> None:
    pruned = network(name)
    pruned.get_parameter(f"body.{layer}.weight")[:] = 0
    if name == "resnet20":
        for key, weight in prunable(pruned).items():
            if key.endswith("conv2.weight"):
                weight[:] = 0
    with pytest.raises(ExposureError, match=rf"no unit of body\.{layer} that an image reaches"):
        exposure.expose(pruned)


def files(folder: Path, pruned: nn.Sequential, name: str) -> dict[str, str]:
    paths = {
        "pruned": str(folder / "weights.safetensors"),
        "summary": str(folder / "model.json"),
        "weights": str(folder / "exposed" / "weights.safetensors"),
        "structure": str(folder / "exposed" / "exposed.json"),
    }
    artifacts.write_json(paths["summary"], {"network": {"name": name, "width": 6, "classes": 7}})
    tensors = {key: tensor.numpy() for key, tensor in pruned.state_dict().items()}
    artifacts.write_tensors(paths["pruned"], tensors)
    return paths


def test_the_stage_writes_the_same_bytes_each_time_and_what_it_saves(tmp_path: Path) -> None:
    pruned = prune(network("resnet9"), 0.8)
    paths = files(tmp_path, pruned, "resnet9")
    exposure.expose_stage(**paths)
    first = [Path(paths[key]).read_bytes() for key in ("weights", "structure")]
    exposure.expose_stage(**paths)
    assert [Path(paths[key]).read_bytes() for key in ("weights", "structure")] == first
    found = artifacts.read_json(paths["structure"])
    assert found["after"]["parameters"] < found["before"]["parameters"]
    assert same(exposure.load(paths["weights"], paths["structure"]), pruned) < 1e-5


@torch.no_grad()
def test_the_stage_says_why_a_dead_model_has_no_exposed_skeleton(tmp_path: Path) -> None:
    pruned = network("cnn")
    pruned.get_parameter("body.5.weight")[:] = 0
    paths = files(tmp_path, pruned, "cnn")
    exposure.expose_stage(**paths)
    assert (
        "every image gets the same logits" in artifacts.read_json(paths["structure"])["dead_reason"]
    )
    logits = artifacts.read_tensors(paths["weights"])["logits"]
    assert np.allclose(logits, inference.predict(pruned, images()).numpy(), atol=1e-5)
    with pytest.raises(ExposureError, match="holds no network"):
        exposure.load(paths["weights"], paths["structure"])
    timing.timing_stage(
        exposed=paths.pop("weights"),
        **paths,
        dataset="no images are needed",
        timing=str(tmp_path / "timing.json"),
        batch=4,
        repeats=2,
        device="cpu",
        threads=1,
    )
    assert "same logits" in artifacts.read_json(tmp_path / "timing.json")["dead_reason"]


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    one, two = (exposure.expose(prune(network("cnn", seed=s), 0.5, 0.3)) for s in (1, 2))
    about = {"name": "cnn", "width": 6, "classes": 7}
    for folder, exposed in (("a", one), ("b", two)):
        place = tmp_path / folder
        exposure.save(exposed, about, str(place / "w.safetensors"), str(place / "exposed.json"))
    with pytest.raises(ArtifactError, match="weights of another network"):
        exposure.load(tmp_path / "a" / "w.safetensors", tmp_path / "b" / "exposed.json")


def test_times_are_measured_and_say_how(tmp_path: Path) -> None:
    found = timing.inference_time(network("cnn"), images(), batch=4, repeats=3)
    assert 0 < found["least_ms"] <= found["median_ms"] <= found["largest_ms"]
    assert (found["batch"], found["repeats"], found["threads"]) == (4, 3, 1)
    pruned = prune(network("cnn"), 0.8)
    paths = files(tmp_path, pruned, "cnn")
    exposure.expose_stage(**paths)
    data = {f"{s}_images": images().numpy() for s in ("train", "test")}
    labels = {f"{s}_labels": np.zeros(12, dtype=np.int64) for s in ("train", "test")}
    artifacts.write_tensors(tmp_path / "images.safetensors", data | labels)
    timing.timing_stage(
        exposed=paths.pop("weights"),
        **paths,
        dataset=str(tmp_path / "images.safetensors"),
        timing=str(tmp_path / "timing.json"),
        batch=4,
        repeats=2,
        device="cpu",
        threads=1,
    )
    assert set(artifacts.read_json(tmp_path / "timing.json")) == {"before", "after"}


def test_the_stage_says_how_far_logits_are_apart(tmp_path: Path) -> None:
    pruned = prune(network("cnn"), 0.8)
    paths = files(tmp_path, pruned, "cnn")
    data = {f"{s}_images": images().numpy() for s in ("train", "test")}
    labels = {f"{s}_labels": np.zeros(12, dtype=np.int64) for s in ("train", "test")}
    artifacts.write_tensors(tmp_path / "images.safetensors", data | labels)
    exposure.expose_stage(**paths, dataset=str(tmp_path / "images.safetensors"), images=9)
    found = artifacts.read_json(paths["structure"])["difference"]
    small = exposure.load(paths["weights"], paths["structure"])
    one, other = (inference.predict(net, images()[:9]) for net in (pruned, small))
    assert found["images"] == 9
    assert found["scale"] == pytest.approx(float(one.abs().max()))
    assert found["largest"] == pytest.approx(float((one - other).abs().max()), abs=1e-6)
    assert found["largest"] <= 1e-5 * found["scale"]


# --- the parts ----------------------------------------------------------------------------------


def test_a_map_is_kept_as_its_distinct_rows_and_columns() -> None:
    rows, columns = np.array([1.0, 2, 2, 2, 3]), np.array([5.0, 5, 7])
    maps = np.stack([np.add.outer(rows, columns), np.multiply.outer(rows, columns)])
    kept, r, c = runs(maps)
    assert (r, c) == ([1, 3, 1], [2, 1])
    offset = Offset(2, r, c)
    offset.load_state_dict({"values": torch.from_numpy(kept)})
    assert np.array_equal(offset()[0].detach().numpy(), maps.astype(np.float32))


def test_an_unknown_operation_is_told_in_a_sentence() -> None:
    class Shuffle(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.roll(1, 1)

    body = nn.Sequential(nn.Conv2d(3, 4, 3), Shuffle(), nn.Conv2d(4, 4, 3))
    with pytest.raises(WiringError, match="unsupported operation, roll at roll: its channels"):
        channels.trace(body)
    grouped = nn.Sequential(nn.Conv2d(3, 6, 3, groups=3))
    with pytest.raises(WiringError, match="groups=3"):
        channels.trace(grouped)


def test_streams_are_what_layers_share() -> None:
    wires = channels.trace(network("resnet9").get_submodule("body"))
    stream = wires.written("1.0")
    assert stream.writers == ["1.0", "2.body.1.0"]
    assert stream.readers == ["2.body.0.0", "3.0"]
    assert stream is wires.written("2.body.1.0") is wires.read("3.0")
    sizes: Any = [s.size for s in channels.trace(network("resnet20").get_submodule("body")).streams]
    assert sizes.count(6) == 4 and sizes.count(12) == 4 and sizes.count(24) == 4  # noqa: PT018


@torch.no_grad()
def test_a_layer_s_unit_can_be_dead_on_a_stream_that_lives() -> None:
    pruned = network("resnet9")
    pruned.get_parameter("body.2.body.1.0.weight")[4] = 0
    wires = channels.trace(pruned.get_submodule("body"))
    weights = {n: pruned.get_parameter(f"body.{n}.weight").numpy() for n in wires.layers()}
    ties = channels.nonzero(wires, weights)
    assert np.flatnonzero(channels.dead(wires, ties, "2.body.1.0")).tolist() == [4]
    assert not channels.dead(wires, ties, "1.0").any()
