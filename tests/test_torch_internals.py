"""The undocumented parts of torch that training uses exist and work."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import skeletons
from skeletons.networks import internals as networks
from skeletons.training import internals
from skeletons.training.internals import PlainAdam, PlainAdamW, PlainMuon, PlainSGD

KINDS = {
    "sgd": (PlainSGD, torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "adam": (PlainAdam, torch.optim.Adam, {"fused": True}),
    "adamw": (PlainAdamW, torch.optim.AdamW, {"fused": True, "weight_decay": 0.1}),
    "muon": (PlainMuon, torch.optim.Muon, {}),
}
PACKAGES = ("networks", "prediction", "training")
FOREACH = ("_foreach_add_", "_foreach_copy_", "_foreach_sign", "_foreach_sub")
# A base model and a walk, trained and saved like in a job.
JOB = """
import sys, torch
from skeletons.training import job, muon, optimizers, settings
job.start(0, 1, "cpu")
layer = torch.nn.Linear(3, 2)
walk = {"penalty": "subgradient", "learning_rate": 0.1, "momentum": 0.9, "batch_size": 1}
for optimizer in ("sgd", "adam"):
    chosen = settings.RegularizeSettings(optimizer, **walk, trace=0, augment={})
    steps = optimizers.walk_optimizer(layer, chosen)
    layer(torch.ones(1, 3)).sum().backward()
    steps.step()
    optimizers.save_optimizer(steps, sys.argv[1])
    optimizers.load_optimizer(steps, sys.argv[1])
muon.Muon([{"params": list(layer.parameters())}], 0.1, 0.9).step()
print(torch.are_deterministic_algorithms_enabled(), "torch._dynamo" in sys.modules)
"""


@pytest.mark.parametrize("method", [*internals.WRAPPED, "step"])
@pytest.mark.parametrize("name", KINDS)
def test_torch_wraps_the_methods_that_are_unwrapped(name: str, method: str) -> None:
    plain, usual, _ = KINDS[name]
    what = f"torch {torch.__version__}: torch.optim.{usual.__name__}.{method}"
    assert hasattr(usual, method), f"{what} is gone, which skeletons.training.internals replaces."
    assert hasattr(getattr(usual, method), "__wrapped__"), (
        f"{what} has no __wrapped__, so skeletons.training.internals has nothing to unwrap."
    )
    assert getattr(plain, method) is not getattr(usual, method)


@pytest.mark.parametrize("name", FOREACH)
def test_torch_has_the_functions_on_lists_of_tensors(name: str) -> None:
    assert hasattr(torch, name), (
        f"torch {torch.__version__}: torch.{name} is gone, which skeletons.training.internals uses."
    )


def test_no_other_module_uses_a_private_name_of_torch() -> None:
    package = Path(skeletons.__file__).parent
    private = re.compile(r"\btorch\._|^from torch\b.*(\._| import _|, _)", re.MULTILINE)
    files = [path for name in PACKAGES for path in (package / name).glob("*.py")]
    found = [path for path in files if private.search(path.read_text())]
    assert found == [Path(networks.__file__), Path(internals.__file__)]


def test_a_dispatch_mode_sees_every_operation_on_tensors() -> None:
    seen = []

    class Mode(networks.TorchDispatchMode):
        def __torch_dispatch__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            seen.append(str(function))
            return function(*args, **(kwargs or {}))

    with Mode():
        torch.nn.functional.conv2d(torch.ones(1, 1, 3, 3), torch.ones(1, 1, 3, 3))
    assert any("convolution" in name for name in seen), (
        f"torch {torch.__version__}: torch.utils._python_dispatch.TorchDispatchMode sees no "
        "operations, which skeletons.networks.internals relies on."
    )


def test_lists_of_tensors_are_handled_one_by_one() -> None:
    draw = torch.Generator().manual_seed(0)
    ones, others = ([torch.randn(n, 3, generator=draw) for n in (2, 4)] for _ in range(2))
    found = internals.differences(ones, others)
    assert all(torch.equal(d, a - b) for d, a, b in zip(found, ones, others, strict=True))
    targets = [a.clone() for a in ones]
    internals.add_signs(targets, others, 0.5)
    assert all(
        torch.equal(t, a + 0.5 * b.sign()) for t, a, b in zip(targets, ones, others, strict=True)
    )
    internals.copy(targets, others)
    assert all(map(torch.equal, targets, others))


def steps(kind: Any, options: dict[str, Any]) -> list[torch.Tensor]:
    """A layer's weights after a few steps."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(5, 3, bias=False)  # Muon takes only matrices
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
