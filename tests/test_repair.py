"""REPAIR: at a point between two models, units have the statistics between those of the ends."""

import copy

import numpy as np
import pytest
import torch
from colours import images
from test_symmetries import drawn
from torch import Tensor, nn

from skeletons.inspection import landscape, lines
from skeletons.inspection.landscape import Landscape
from skeletons.inspection.repair import Repair, repairable
from skeletons.networks.build import build
from skeletons.networks.tensors import tensors
from skeletons.store.artifacts import Array


def network(name: str, width: int | None = 4) -> nn.Sequential:
    return build(name, width, 3, (0.3, 0.3, 0.3), (0.2, 0.2, 0.2))


def activations(net: nn.Sequential, layers: list[str]) -> dict[str, Tensor]:
    """What layers give on the images, C×(all images and positions), in evaluation mode."""
    seen: dict[str, Tensor] = {}
    handles = [
        net.get_submodule(name).register_forward_hook(
            lambda module, given, out, name=name: seen.update({name: out})
        )
        for name in layers
    ]
    with torch.no_grad():
        net.eval()(images().pixels)
    for handle in handles:
        handle.remove()
    return {
        name: (out if out.ndim == 2 else out.movedim(1, 3).flatten(0, 2)).T.double()
        for name, out in seen.items()
    }


def of(net: nn.Sequential, weights: dict[str, Array], layers: list[str]) -> dict[str, Tensor]:
    landscape.put(net, weights)
    return activations(net, layers)


@pytest.mark.parametrize("t", [0.5, 0.25])
def test_units_of_a_network_without_norms_get_the_statistics_between_the_ends(t: float) -> None:
    net = network("cnn")
    a, b = drawn(net, 1), drawn(net, 2)
    repair = Repair(net, images())
    layers = ["body.0", "body.2", "body.5", "body.7", "body.11", "body.13"]
    assert repair.layers == layers
    ends = [of(net, model, layers) for model in (a, b)]
    statistics = []
    for model in (a, b):
        landscape.put(net, model)
        statistics.append(repair.measure())
    landscape.put(net, landscape.mix([a, b], [1 - t, t]))
    before = activations(net, layers)
    repair.between(*statistics, t)
    after = activations(net, layers)
    for name in layers:
        for values in (lambda x: x.mean(1), lambda x: x.std(1, correction=0)):
            wanted = (1 - t) * values(ends[0][name]) + t * values(ends[1][name])
            torch.testing.assert_close(values(after[name]), wanted, rtol=1e-3, atol=1e-4)
        assert (before[name].std(1, correction=0) < wanted).all(), "units varied too little"
    # A scale and an offset for each unit, and nothing else: the units keep what they respond to.
    first = [x[layers[0]] for x in (before, after)]
    for one, other in zip(*first, strict=True):
        assert float(torch.corrcoef(torch.stack([one, other]))[0, 1]) == pytest.approx(1)


@pytest.mark.parametrize("name", ["resnet9", "speednet"])
def test_norms_give_units_the_scale_and_offset_between_the_ends(name: str) -> None:
    """Behind a batch norm, mean and deviation are its bias and its weight, which are mixed."""
    net = network(name)
    a, b = drawn(net, 1), drawn(net, 2)
    norms = [n for n, m in net.named_modules() if isinstance(m, nn.BatchNorm2d)]
    mixed = landscape.mix([a, b], [0.5, 0.5])
    ground = Landscape(net, images(), images())
    settle = lines._repairing(ground, a, b)
    landscape.put(net, mixed)
    settle(0.5)
    after = activations(net, norms)
    for norm in norms:
        bias = (a[f"{norm}.bias"] + b[f"{norm}.bias"]) / 2
        scale = np.abs(a[f"{norm}.weight"] + b[f"{norm}.weight"]) / 2
        np.testing.assert_allclose(after[norm].mean(1), bias, atol=1e-3)
        np.testing.assert_allclose(after[norm].std(1, correction=0), scale, rtol=2e-2, atol=1e-3)
    assert not repairable(net), "what is before a norm need not be set"


def test_the_ends_of_a_repaired_line_are_its_models() -> None:
    net = network("cnn")
    a, b = drawn(net, 1), drawn(net, 2)
    ground = Landscape(net, images(), images(), test=images(48, 1))
    plain, repaired = (lines.line(ground, a, b, 3, repaired=is_so) for is_so in (False, True))
    assert plain.iloc[0].equals(repaired.iloc[0])
    assert plain.iloc[2].to_numpy() == pytest.approx(repaired.iloc[2].to_numpy(), rel=1e-5)
    assert plain.loss[1] != pytest.approx(repaired.loss[1], rel=1e-5)
    assert repaired.equals(lines.line(ground, a, b, 3, repaired=True))


def test_a_unit_that_is_constant_at_the_point_gets_the_mean() -> None:
    net = network("cnn")
    a, b = drawn(net, 1), drawn(net, 2)
    for name in ("body.11.weight", "body.11.bias"):
        a[name][3], b[name][3] = a[name][3], -a[name][3]  # the mixture is 0
    repair = Repair(net, images())
    ends = []
    for model in (a, b):
        landscape.put(net, model)
        ends.append(repair.measure())
    landscape.put(net, landscape.mix([a, b], [0.5, 0.5]))
    repair.between(*ends, 0.5)
    after = activations(net, ["body.11"])["body.11"]
    assert float(after[3].std()) < 1e-5
    wanted = (ends[0]["body.11"][0][3] + ends[1]["body.11"][0][3]) / 2
    assert float(after[3].mean()) == pytest.approx(float(wanted), rel=1e-4)
    assert all(bool(t.isfinite().all()) for t in tensors(net).values() if t.is_floating_point())


class Several(nn.Module):
    """Layers that cannot be scaled and shifted by weights of their own, and two that can."""

    def __init__(self) -> None:
        super().__init__()
        self.bare = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.once = nn.Conv2d(4, 4, 3, padding=1)
        self.twice = nn.Conv2d(4, 4, 1)
        self.fixed = nn.Conv2d(4, 4, 1)
        self.fixed.weight.requires_grad_(False)
        self.one, self.other = nn.Linear(4, 4), nn.Linear(4, 4)
        self.other.weight = self.one.weight
        self.drop, self.own, self.out = nn.Dropout(0.5), nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fixed(self.twice(self.twice(self.once(self.bare(x).relu()).relu())))
        x = self.other(self.one(x.mean((2, 3))).relu())
        y: Tensor = self.out(self.drop(self.own(x).relu()))
        return y


def test_layers_that_share_weights_or_have_no_bias_are_left_alone() -> None:
    torch.manual_seed(0)
    net = nn.Sequential()
    net.add_module("standardize", copy.deepcopy(network("cnn").get_submodule("standardize")))
    net.add_module("body", Several())
    assert repairable(net) == ["body.once", "body.own"]
    before = {name: t.clone() for name, t in tensors(net).items()}
    repair = Repair(net.train(), images())
    found = repair.measure()
    again = repair.measure()
    for name, (mean, deviation) in found.items():
        torch.testing.assert_close(again[name], (mean, deviation), rtol=0, atol=0)  # no dropout
    assert net.training
    repair.set({name: (mean + 1, 2 * deviation) for name, (mean, deviation) in found.items()})
    changed = {
        n.rpartition(".")[0] for n, t in tensors(net).items() if not torch.equal(t, before[n])
    }
    assert changed == {"body.once", "body.own"}
    for name, (mean, deviation) in repair.measure().items():
        torch.testing.assert_close(mean, found[name][0] + 1, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(deviation, 2 * found[name][1], rtol=1e-4, atol=1e-4)


def test_a_network_without_anything_to_set_is_known() -> None:
    bare = nn.Sequential()
    bare.add_module("standardize", copy.deepcopy(network("cnn").get_submodule("standardize")))
    bare.add_module("body", nn.Sequential(nn.Flatten(), nn.Linear(3072, 3)))
    assert not Repair(bare, images()).possible
    assert Repair(network("cnn"), images()).possible
    assert Repair(network("resnet9"), images()).possible
