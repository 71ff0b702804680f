"""The optimisers are torch's own, and bring no compiler with them."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

from skeletons.training.eager import PlainAdam, PlainAdamW, PlainMuon, PlainSGD

KINDS = {
    "sgd": (PlainSGD, torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "adam": (PlainAdam, torch.optim.Adam, {"fused": True}),
    "adamw": (PlainAdamW, torch.optim.AdamW, {"fused": True, "weight_decay": 0.1}),
    "muon": (PlainMuon, torch.optim.Muon, {}),
}
# A base model and a walk, trained and saved, as a job does it.
JOB = """
import sys, torch
from skeletons import muon, training
training.start(0, 1, "cpu")
layer = torch.nn.Linear(3, 2)
walk = {"penalty": "subgradient", "learning_rate": 0.1, "momentum": 0.9, "batch_size": 1}
for optimizer in ("sgd", "adam"):
    settings = training.RegularizeSettings(optimizer, **walk, trace=0, augment={})
    steps = training.make_optimizer(layer, settings)
    layer(torch.ones(1, 3)).sum().backward()
    steps.step()
    training.save_optimizer(steps, sys.argv[1])
    training.load_optimizer(steps, sys.argv[1])
muon.Muon([{"params": list(layer.parameters())}], 0.1, 0.9).step()
print(torch.are_deterministic_algorithms_enabled(), "torch._dynamo" in sys.modules)
"""


def steps(kind: Any, options: dict[str, Any]) -> list[torch.Tensor]:
    """A layer's weights after a few steps."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(5, 3, bias=False)  # Muon takes matrices alone
    optimizer = kind(layer.parameters(), lr=0.05, **options)
    for k in range(4):
        optimizer.zero_grad()
        (layer(torch.full((2, 5), float(k))) ** 2).sum().backward()
        optimizer.step()
    return list(layer.parameters())


@pytest.mark.parametrize("name", KINDS)
def test_a_plain_optimiser_steps_as_torch_s_does(name: str) -> None:
    plain, usual, options = KINDS[name]
    assert all(map(torch.equal, steps(plain, options), steps(usual, options)))


def test_a_training_job_does_not_import_the_compiler(tmp_path: Any) -> None:
    command = [sys.executable, "-c", JOB, str(tmp_path / "optimizer.safetensors")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["True", "False"]
