"""Penalties on whole units, and pruning by them."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor, nn

from skeletons import pruning, unit_masks
from skeletons.errors import WiringError
from skeletons.inspection.exposure import expose
from skeletons.measures import magnitude_masks
from skeletons.networks import architectures, unit_groups
from skeletons.networks.applied import factors
from skeletons.networks.build import build
from skeletons.networks.describe import describe, prunable
from skeletons.prediction.inference import predict
from skeletons.store import artifacts
from skeletons.training.optimizers import walk_optimizer
from skeletons.training.settings import RegularizeSettings
from skeletons.training.unit_penalties import Stream, Units


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def network(name: str = "cnn", width: int = 4) -> nn.Sequential:
    made = build(name, width, 5, (0.5, 0.4, 0.3), (0.2, 0.2, 0.2))
    with torch.no_grad():
        for w in prunable(made).values():  # some begin as the identity
            w.normal_(std=float(w.square().mean().sqrt()))
        for module in made.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.bias.normal_()
    return made


def wrapped(body: nn.Module) -> nn.Sequential:
    made = nn.Sequential()
    made.add_module("standardize", nn.Identity())
    made.add_module("body", body)
    return made


def pixels(count: int = 4) -> Tensor:
    return torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8)


def values(made: nn.Module) -> dict[str, Any]:
    return {name: t.detach().numpy().copy() for name, t in made.state_dict().items()}


# --- which weights belong to a unit ---------------------------------------------------------------


@pytest.mark.parametrize("name", architectures.REGISTRY)
def test_without_its_weights_a_unit_is_dead_and_no_weight_is_of_two(name: str) -> None:
    made = network(name)
    streams, known = unit_groups.find(made), prunable(made)
    owned = [layer for stream in streams for layer in stream["readers"]]
    assert len(owned) == len(set(owned))
    assert set(owned) <= set(known)
    whole = describe(made)["flops"]
    with torch.no_grad():
        for stream in streams:
            for layer in stream["readers"]:
                w = known[layer]
                w.view(len(w), stream["units"], -1)[:, 1] = 0
    exposed = expose(made)
    kept = {f"body.{layer}.weight": units for layer, units in exposed.kept.items()}
    for stream in streams:
        for layer in stream["writers"]:
            assert kept[layer] == [k for k in range(stream["units"]) if k != 1]
    assert describe(exposed.network)["flops"] < whole


def test_the_layers_of_a_residual_stream_have_one_set_of_units() -> None:
    streams = unit_groups.find(network("resnet9"))
    tied = [stream for stream in streams if len(stream["writers"]) > 1]
    assert tied
    assert all(len(stream["readers"]) == 1 or stream["units"] for stream in tied)
    # the logits read a residual stream, whose units they are
    assert any("body.8.weight" in stream["readers"] for stream in tied)


def test_flattened_channels_are_blocks_of_inputs() -> None:
    body = nn.Sequential(nn.Conv2d(3, 6, 8, stride=8), nn.ReLU(), nn.Flatten(), nn.Linear(96, 5))
    made = wrapped(body)
    (stream,) = unit_groups.find(made)
    assert stream == {"units": 6, "readers": ["body.3.weight"], "writers": ["body.0.weight"]}
    weight = prunable(made)["body.3.weight"]
    spread = Stream(6, stream["readers"], 1).of_weights(torch.arange(6), weight)[0]
    assert spread.tolist() == np.repeat(np.arange(6), 16).tolist()
    with torch.no_grad():
        weight[:, spread == 2] = 0
    alive = unit_masks.above(
        unit_masks.scores([stream], {"body.3.weight": weight.detach().numpy()}, squared=True), 1e-9
    )
    assert alive[0].tolist() == [True, True, False, True, True, True]


def test_a_network_without_hidden_units_is_refused() -> None:
    with pytest.raises(WiringError, match="no units that can be removed"):
        unit_groups.find(wrapped(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 5))))


def test_the_stage_writes_the_streams_of_the_network_with_the_classes_of_the_data(
    tmp_path: Path,
) -> None:
    info, units = str(tmp_path / "info.json"), str(tmp_path / "units.json")
    known = {"classes": list("abcde"), "mean": [0.5] * 3, "std": [0.2] * 3}
    artifacts.write_json(info, known)
    unit_groups.unit_groups_stage(info=info, units=units, network={"name": "cnn", "width": 4})
    assert unit_masks.read(units) == unit_groups.find(network())


# --- the penalty ----------------------------------------------------------------------------------


def by_definition(made: nn.Module) -> Tensor:
    """Σ √p ‖w‖₂ over units and Σ |w| over other weights, of applied weights, with gradients."""
    known, applied = prunable(made), factors(made)
    total, owned = torch.zeros((), dtype=torch.float64), set()
    for stream in unit_groups.find(made):
        owned |= set(stream["readers"])
        for unit in range(stream["units"]):
            parts = [
                (known[n] * applied[n]).view(len(known[n]), stream["units"], -1)[:, unit].flatten()
                for n in stream["readers"]
            ]
            vector = torch.cat(parts).double()
            total = total + len(vector) ** 0.5 * vector.norm()
    return total + sum(known[n].double().abs().sum() * applied[n] for n in set(known) - owned)


@pytest.mark.parametrize("name", architectures.REGISTRY)
def test_the_penalty_and_its_gradient_are_those_of_the_definition(name: str) -> None:
    made = network(name)
    units, total = Units(made), by_definition(made)
    assert units.penalty() == pytest.approx(total.item(), rel=1e-5)
    total.backward()  # type: ignore[no-untyped-call]
    wanted = {n: w.grad.clone() for n, w in prunable(made).items() if w.grad is not None}
    for w in prunable(made).values():
        w.grad = torch.zeros_like(w)
    units.add_subgradient(0.5)
    for n, w in prunable(made).items():
        assert w.grad is not None
        assert torch.allclose(w.grad, 0.5 * wanted[n], rtol=1e-4, atol=1e-6), n


def test_a_unit_of_length_zero_is_not_pulled() -> None:
    made = network()
    for w in prunable(made).values():
        w.data.zero_()
        w.grad = torch.zeros_like(w)
    Units(made).add_subgradient(1.0)
    assert all(not w.grad.any() for w in prunable(made).values() if w.grad is not None)


def of_unit(stream: dict[str, Any], unit: int, values: Any) -> Tensor:
    """The values of a unit's weights as one vector."""
    each = [values[n].detach().view(len(values[n]), stream["units"], -1) for n in stream["readers"]]
    return torch.cat([blocks[:, unit].flatten() for blocks in each])


def stepped(made: nn.Module, kind: str, gradient: float) -> torch.optim.Optimizer:
    """An optimiser after a step with random gradients."""
    how = RegularizeSettings(kind, "proximal", 0.05, 0.5, 16, 0, {})
    descent = walk_optimizer(made, how)
    for p in made.parameters():
        p.grad = gradient * torch.randn_like(p)
    descent.step()
    return descent


def test_with_sgd_the_step_is_the_block_soft_threshold() -> None:
    made = network("resnet9")
    units, descent = Units(made), stepped(made, "sgd", 1e-3)
    before, l1 = {n: w.detach().clone() for n, w in prunable(made).items()}, 0.2
    units.shrink_proximally(descent, l1)
    amount = l1 * 0.05 / (1 - 0.5)
    gone = 0
    for stream in unit_groups.find(made):
        for unit in range(stream["units"]):
            then, now = (of_unit(stream, unit, w) for w in (before, prunable(made)))
            left = max(0.0, 1 - amount * len(then) ** 0.5 / then.norm().item())
            gone += left == 0
            assert torch.allclose(now, left * then, rtol=1e-4, atol=1e-6)
    assert gone < sum(s["units"] for s in unit_groups.find(made))


@pytest.mark.parametrize(("l1", "scale"), [(1e-3, 1.0), (3e-2, 1e-2), (0.3, 1.0), (30.0, 1.0)])
def test_with_adam_the_step_minimises_the_penalty_in_its_metric(l1: float, scale: float) -> None:
    """Compared with scipy's minimiser, unit by unit."""
    made = network("resnet9", 2)
    units, descent = Units(made), stepped(made, "adam", scale)
    with torch.no_grad():  # a metric that differs by orders of magnitude
        for state in descent.state.values():
            state["exp_avg_sq"].mul_(10 ** (2 * torch.randn_like(state["exp_avg_sq"])))
    known = prunable(made)
    before = {n: w.detach().clone() for n, w in known.items()}
    steps = {}
    for n, w in known.items():
        state, group = descent.state[w], descent.param_groups[0]
        corrected = state["exp_avg_sq"] / (1 - group["betas"][1] ** state["step"])
        steps[n] = group["lr"] / (corrected.sqrt() + group["eps"])
    units.shrink_proximally(descent, l1)
    for stream in unit_groups.find(made)[-2:]:
        for unit in range(stream["units"]):
            v, a, now = (of_unit(stream, unit, w).double().numpy() for w in (before, steps, known))
            t = l1 * len(v) ** 0.5
            if np.linalg.norm(v / a) <= t:
                assert not now.any()
                continue
            s = np.linalg.norm(now)
            assert s > 0
            # x = v · s / (s + a t), where the gradient of ½ Σ (x − v)²/a + t‖x‖ is zero
            assert np.allclose(now, v * s / (s + a * t), rtol=1e-3, atol=1e-6)

            def cost(x: np.ndarray[Any, Any], v: Any = v, a: Any = a, t: float = t) -> float:
                return float(0.5 * ((x - v) ** 2 / a).sum() + t * np.linalg.norm(x))

            found = minimize(cost, v, method="L-BFGS-B")
            assert cost(now) <= found.fun + 1e-4 * abs(found.fun)


def test_by_shares_small_units_go_and_each_layer_keeps_its_norm() -> None:
    made = network()
    streams, known = unit_groups.find(made), prunable(made)
    with torch.no_grad():
        for w in known.values():
            w.fill_(2.0)
        stream = streams[0]
        for n in stream["readers"]:
            blocks = known[n].view(len(known[n]), stream["units"], -1)
            blocks[:, 0], blocks[:, 1] = 0.1, 1.0
    norms = {n: w.detach().norm() for n, w in known.items()}
    Units(made).shrink_by_share(0.1, dict.fromkeys(known, 2.0))
    for n in stream["readers"]:
        blocks = known[n].detach().view(len(known[n]), stream["units"], -1)
        assert not blocks[:, 0].any()
        # 0.2 less of each, and then all by the same factor
        assert torch.allclose(blocks[:, 2] / blocks[:, 1], torch.tensor(1.8 / 0.8))
        assert blocks[0, 2, 0] > 2 > blocks[0, 1, 0]
    for n, w in known.items():
        assert torch.allclose(w.detach().norm(), norms[n], rtol=1e-5)


# --- pruning by units -----------------------------------------------------------------------------


def pruned(made: nn.Sequential, **how: Any) -> tuple[nn.Sequential, dict[str, Any]]:
    about = describe(made)
    tensors, report = pruning.prune_units(
        values(made), about["layers"], unit_groups.find(made), **how
    )
    other = copy.deepcopy(made)
    other.load_state_dict({n: torch.from_numpy(t) for n, t in tensors.items()})
    return other, report


def magnitudes(made: nn.Module) -> dict[str, Any]:
    applied = factors(made)
    return {n: (w.detach() * applied[n]).abs().numpy() for n, w in prunable(made).items()}


@pytest.mark.parametrize("name", architectures.REGISTRY)
@pytest.mark.parametrize("density", [0.9, 0.5, 0.2])
def test_a_density_keeps_the_most_whole_units(name: str, density: float) -> None:
    made = network(name)
    small, report = pruned(made, density=density, scores=magnitudes(made))
    assert report["kept"] <= round(density * report["size"])
    streams = unit_groups.find(made)
    sizes = {n: v / np.sqrt((v.astype(float) ** 2).mean()) for n, v in magnitudes(made).items()}
    found = unit_masks.scores(streams, sizes, squared=True)  # in units of their layers
    kept = report["units"]
    assert min(kept) > 0
    alive = [f >= np.sort(f)[-count] for f, count in zip(found, kept, strict=True)]
    gone = [np.where(a, -1, f) for f, a in zip(found, alive, strict=True)]
    # All that is kept is above all that is not, but for the best unit of a stream.
    highest = max(f.max() for f in gone)
    assert all(f[a].min() > highest for f, a in zip(found, alive, strict=True) if a.sum() > 1)
    # With the next unit, it would be too many.
    more = [a | (f == highest) for f, a in zip(found, alive, strict=True)]
    weights = {n: w.detach().numpy() for n, w in prunable(made).items()}
    left = unit_masks.masks(streams, more, weights)
    assert sum(int(m.sum()) for m in left.values()) > round(density * report["size"])
    if density == 0.2:
        return  # one unit in a layer can be dead by chance
    # What is left is exposed as it is: no unit in it is dead, and none of the others is alive.
    exposed = expose(small)
    names = {f"body.{layer}.weight": len(units) for layer, units in exposed.kept.items()}
    for stream, count in zip(streams, kept, strict=True):
        for layer in stream["writers"]:
            assert names[layer] == count
    images = pixels()
    assert torch.allclose(predict(exposed.network, images), predict(small, images), atol=1e-4)


def test_a_unit_is_removed_with_the_weights_on_both_of_its_sides() -> None:
    made = network()
    small, report = pruned(made, density=0.5, scores=magnitudes(made))
    for stream, count in zip(unit_groups.find(made), report["units"], strict=True):
        n = stream["units"]
        for layer in stream["readers"]:
            w = prunable(small)[layer].detach()
            assert w.view(len(w), n, -1).abs().sum((0, 2)).count_nonzero() == count
        for layer in stream["writers"]:
            assert prunable(small)[layer].detach().flatten(1).abs().sum(1).count_nonzero() == count


@pytest.mark.parametrize("scale", ["absolute", "layer_rms"])
def test_a_threshold_cuts_the_units_whose_weights_are_small(scale: str) -> None:
    made = network("resnet9")
    streams, known = unit_groups.find(made), prunable(made)
    with torch.no_grad():
        for stream in streams:
            for n in stream["readers"]:
                known[n].view(len(known[n]), stream["units"], -1)[:, 2].mul_(1e-3)
    _, report = pruned(made, threshold=1e-3 if scale == "absolute" else 0.1, scale=scale)
    assert report["units"] == [stream["units"] - 1 for stream in streams]
    assert (report["threshold"], report["scale"]) == (1e-3 if scale == "absolute" else 0.1, scale)


def test_other_scores_of_a_unit_are_means() -> None:
    made = network()
    draw = np.random.default_rng(0)
    chosen = {n: draw.uniform(size=tuple(w.shape)) for n, w in prunable(made).items()}
    streams = unit_groups.find(made)
    found = unit_masks.scores(streams, chosen, squared=False)
    for stream, score in zip(streams, found, strict=True):
        (n,) = stream["readers"]
        blocks = chosen[n].reshape(len(chosen[n]), stream["units"], -1)
        assert score == pytest.approx(blocks.mean(axis=(0, 2)))
    cut = float(np.median(np.concatenate(found)))
    _, report = pruned(made, threshold=cut, criterion="taylor", scores=chosen)
    assert report["units"] == [int((score >= cut).sum()) for score in found]
    assert report["criterion"] == "taylor"


def test_each_stream_keeps_its_best_unit() -> None:
    made = network()
    _, report = pruned(made, density=1e-6, scores=magnitudes(made))
    assert set(report["units"]) == {1}
    assert not report["dead"]
    _, report = pruned(made, threshold=1e6)
    assert set(report["units"]) == {0}
    assert report["dead"]


def test_a_random_control_keeps_as_many_units(tmp_path: Path) -> None:
    made = network("resnet9")
    layers = describe(made)["layers"]

    def place(name: str) -> str:
        return str(tmp_path / name)

    artifacts.write_tensors(place("w.safetensors"), values(made))
    artifacts.write_json(place("model.json"), {"layers": layers})
    artifacts.write_json(place("units.json"), {"streams": unit_groups.find(made)})
    artifacts.write_tensors(place("ranks.safetensors"), magnitudes(made))
    given = {"regularized": place("w.safetensors"), "summary": place("model.json")}
    given |= {"units": place("units.json")}
    pruning.prune_stage(
        **given,
        ranks=place("ranks.safetensors"),
        weights=place("p.safetensors"),
        sparsity=place("p.json"),
        density=0.4,
        criterion="magnitude",
    )
    like = artifacts.read_json(place("p.json"))
    drawn = []
    for name in ("a_random=1", "a_random=2", "a_random=1"):
        pruning.random_stage(
            **given,
            like=place("p.json"),
            weights=place("r.safetensors"),
            sparsity=place("r.json"),
            name=name,
        )
        own = artifacts.read_json(place("r.json"))
        drawn.append(artifacts.read_tensors(place("r.safetensors")))
        assert own["units"] == like["units"]
        assert own["target"] == 0.4
    same = [all(np.array_equal(drawn[k][n], drawn[0][n]) for n in drawn[0]) for k in (1, 2)]
    assert same == [False, True]


@pytest.mark.parametrize("name", ["cnn", "resnet9"])
def test_the_control_of_pruned_units_is_a_base_with_as_many_units(name: str) -> None:
    """A base that is pruned itself is its own control, and its random control has its number."""
    base, made = values(network(name)), network(name)
    layers, streams = describe(made)["layers"], unit_groups.find(made)
    pruned, report = pruning.prune_units(base, layers, streams, threshold=0.98, scale="layer_rms")
    assert 0 < sum(report["units"]) < sum(stream["units"] for stream in streams)
    drawn, _ = pruning.prune_at_random(base, layers, report, "r", streams=streams)
    for one in (pruned, drawn):
        found = magnitude_masks.like(base, {key: one[key] for key in prunable(made)}, streams)
        assert all(((values == 0) == (pruned[key] == 0)).all() for key, values in found.items())
    single = magnitude_masks.like(base, {key: pruned[key] for key in prunable(made)})
    assert any(((values == 0) != (pruned[key] == 0)).any() for key, values in single.items())
