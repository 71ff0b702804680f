"""Muon compared with its definition, and as the optimiser of base models."""

from __future__ import annotations

import pytest
import torch
from colours import PLAIN, images
from torch import Tensor, nn

from skeletons.networks import architectures
from skeletons.networks.build import build
from skeletons.training.base import train_base
from skeletons.training.muon import Muon
from skeletons.training.settings import BaseSettings

RATE = 0.01


def layers() -> nn.Sequential:
    """A convolution channels last, as networks here are, a shift, and a linear layer."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 9, 6))
    return net.to(memory_format=torch.channels_last)


def gradients(net: nn.Sequential, step: int) -> dict[str, Tensor]:
    """Gradients of a loss that differs at each step."""
    draw = torch.Generator().manual_seed(step)
    net.zero_grad()
    (net(torch.randn(16, 3, 5, 5, generator=draw)) ** 2).mean().backward()
    return {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}


def changes(decay: float, steps: int, momentum: float) -> tuple[dict[str, Tensor], nn.Sequential]:
    """The change of each parameter in the last of several steps, and the network."""
    net = layers()
    group = {"params": list(net.parameters()), "weight_decay": decay}
    optimizer = Muon([group], RATE, momentum)
    before: dict[str, Tensor] = {}
    for step in range(steps):
        gradients(net, step)
        before = {name: p.detach().clone() for name, p in net.named_parameters()}
        optimizer.step()
    return {name: p.detach() - before[name] for name, p in net.named_parameters()}, net


@pytest.mark.parametrize("layer", ["0.weight", "3.weight"])
def test_a_step_is_the_gradient_with_its_singular_values_brought_near_1(layer: str) -> None:
    gradient = gradients(layers(), 0)[layer].flatten(1)
    moved = changes(0.0, 1, 0.0)[0][layer].flatten(1)
    size = RATE * 0.2 * max(gradient.shape) ** 0.5
    u, sizes, v = torch.linalg.svd(gradient, full_matrices=False)
    along = -(u.T @ moved @ v.T) / size  # a diagonal, if the step has the gradient's directions
    clear = sizes > 0.05 * sizes[0]
    assert clear.sum() >= 4
    # five iterations in bf16 bring them between 0.7 and 1.2, not to 1
    assert ((along.diagonal() > 0.6) & (along.diagonal() < 1.3))[clear].all()
    assert (along - along.diagonal().diag())[clear][:, clear].abs().max() < 0.1


def test_biases_move_as_adamw_moves_them() -> None:
    for count in (1, 3):
        net = layers()
        # every parameter by AdamW, except that weights are set to those of Muon
        usual = torch.optim.AdamW([net[0].bias, net[3].bias], lr=RATE, weight_decay=0.0)
        muon = Muon([{"params": [net[0].weight, net[3].weight]}], RATE, 0.9)
        for step in range(count):
            gradients(net, step)
            usual.step()
            muon.step()
        _, ours = changes(0.0, count, 0.9)
        for name, parameter in net.named_parameters():
            torch.testing.assert_close(ours.get_parameter(name), parameter, rtol=0, atol=1e-7)


def test_decay_shrinks_what_has_no_gradient_to_follow() -> None:
    moved, _ = changes(0.0, 2, 0.9)
    decayed, _ = changes(0.5, 2, 0.9)
    assert not torch.equal(moved["0.weight"], decayed["0.weight"])
    net = layers()
    before = net[3].weight.detach().clone()
    optimizer = Muon([{"params": [net[3].weight], "weight_decay": 0.5}], RATE, 0.9)
    net[3].weight.grad = torch.zeros_like(before)
    optimizer.step()
    torch.testing.assert_close(net[3].weight.detach(), before * (1 - RATE * 0.5))


@pytest.mark.parametrize("name", architectures.REGISTRY)
def test_muon_trains_every_network(name: str) -> None:
    net = build(name, 4, 3, (0.3, 0.3, 0.3), (0.2, 0.2, 0.2))
    fixed = {key: p.detach().clone() for key, p in net.named_parameters() if not p.requires_grad}
    settings = BaseSettings(4, 16, "muon", 0.05, 0.6, 0.01, 0.1, 0.2, PLAIN)
    rows = train_base(net, images(), images(seed=1), 1, settings, "fp32")
    assert rows[-1]["test_accuracy"] > 0.9
    assert all(torch.equal(net.get_parameter(key), before) for key, before in fixed.items())
