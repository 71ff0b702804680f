"""What people do with a network of their own, row by row; see the public reports in each name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from skeletons.errors import WiringError
from skeletons.inspection import exposure
from skeletons.inspection.sameness import demand_same
from skeletons.networks.build import build
from skeletons.store import artifacts

HEAD = "import torch\nimport torch.nn.functional as F\nfrom torch import nn\n\n"
Write = Callable[..., str]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a network's parts and forward method, or a whole file, and gives the reference."""

    def written(parts: str, forward: str = "", before: str = "") -> str:
        source = f"{HEAD}{parts}"
        if forward:
            inside = "".join(f"        self.{part.strip()}\n" for part in parts.split(";"))
            source = (
                f"{HEAD}{before}\n\nclass f(nn.Module):\n    def __init__(self, w, c):\n"
                f"        super().__init__()\n{inside}\n    def forward(self, x):\n"
                + "".join(f"        {line.strip()}\n" for line in forward.split(";"))
            )
        (tmp_path / "mine.py").write_text(source)
        return f"{tmp_path}/mine.py:f"

    return written


def made(reference: str, width: int = 4) -> nn.Sequential:
    return build(reference, width, 5, [0.5] * 3, [0.2] * 3)


def images(count: int = 12) -> Tensor:
    draw = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=draw)


# --- exposing: rebuilt rightly, or refused in a sentence ------------------------------------------

FLAT = "x = x.flatten(1)"
PLAIN = f"x = F.relu(self.a(x)); {FLAT}; return self.out(x)"
WITH_NORM = f"x = F.relu(self.n(self.a(x))); {FLAT}; return self.out(x)"
POOLED = "x = F.relu(self.a(x)); x = {}; x = F.relu(self.b(x)); return self.out({})"
TWO = "a = nn.Conv2d(3, w, 3, padding=1); b = nn.Conv2d(w, w, 3, padding=1); out = nn.Linear({}, c)"
MEAN = "x.mean((2, 3))"

REBUILT = {
    "dilation (aimet 439)": (
        "a = nn.Conv2d(3, w, 3, padding=2, dilation=2); b = nn.Conv2d(w, w, 3, dilation=(1, 3)); "
        "out = nn.Linear(w, c)",
        "x = F.relu(self.b(F.relu(self.a(x)))); return self.out(x.mean((2, 3)))",
    ),
    "circular padding": (
        "a = nn.Conv2d(3, w, 3, padding=1, padding_mode='circular'); "
        "b = nn.Conv2d(w, w, 3, padding=1, padding_mode='reflect'); out = nn.Linear(w, c)",
        "x = F.relu(self.b(F.relu(self.a(x)))); return self.out(x.mean((2, 3)))",
    ),
    "padding by its name": (
        "a = nn.Conv2d(3, w, 3, padding='same'); b = nn.Conv2d(w, w, (3, 1), stride=(2, 1), "
        "padding='valid', bias=False); out = nn.Linear(w, c)",
        "x = F.relu(self.b(F.relu(self.a(x)))); return self.out(x.mean((2, 3)))",
    ),
    "the images are added to a layer's output (git-re-basin 8)": (
        "stem = nn.Conv2d(3, 3, 3, padding=1); a = nn.Conv2d(3, w, 3); out = nn.Linear(w, c)",
        "x = F.relu(x + self.stem(x)); return self.out(F.relu(self.a(x)).mean((2, 3)))",
    ),
    "the images are added once more at the end": (
        "a = nn.Conv2d(3, w, 3, padding=1); b = nn.Conv2d(w, 3, 1); out = nn.Linear(3, c)",
        "y = torch.add(self.b(F.relu(self.a(x))), x); return self.out(y.mean(dim=[2, 3]))",
    ),
    "a batch norm without affine (Torch-Pruning 211)": (
        "a = nn.Conv2d(3, w, 3); n = nn.BatchNorm2d(w, affine=False); out = nn.Linear(900 * w, c)",
        WITH_NORM,
    ),
    "a batch norm without running statistics (Torch-Pruning 211)": (
        "a = nn.Conv2d(3, w, 3); n = nn.BatchNorm2d(w, track_running_stats=False); "
        "out = nn.Linear(900 * w, c)",
        WITH_NORM,
    ),
    "average pooling": (
        f"{TWO.format('w')}; p = nn.AvgPool2d(2); q = nn.AdaptiveAvgPool2d(1)",
        POOLED.format("self.p(x)", "self.q(x).flatten(1)"),
    ),
    "average pooling by functions": (
        TWO.format("w"),
        POOLED.format("F.avg_pool2d(x, 2)", "F.adaptive_avg_pool2d(x, 1).flatten(1)"),
    ),
    "torch.flatten": (TWO.format("1024 * w"), POOLED.format("x", "torch.flatten(x, 1)")),
    "view with the number of images": (
        TWO.format("1024 * w"),
        POOLED.format("x", "x.view(x.size(0), -1)"),
    ),
    "reshape with the number of images": (
        TWO.format("1024 * w"),
        POOLED.format("x", "x.reshape(x.shape[0], -1)"),
    ),
    "dropout of each kind": (
        f"{TWO.format('w')}; d = nn.Dropout(0.5); e = nn.Dropout2d(0.2)",
        POOLED.format("self.e(x)", f"F.dropout(self.d({MEAN}), 0.3, self.training)"),
    ),
    "a batch norm of features": (
        "a = nn.Conv2d(3, w, 3, stride=2); b = nn.Linear(225 * w, 4 * w); "
        "n = nn.BatchNorm1d(4 * w); out = nn.Linear(4 * w, c)",
        f"x = F.relu(self.a(x)); {FLAT}; return self.out(F.relu(self.n(self.b(x))))",
    ),
    "a batch norm of flattened channels": (
        "a = nn.Conv2d(3, w, 3, stride=4); n = nn.BatchNorm1d(64 * w); out = nn.Linear(64 * w, c)",
        f"x = F.relu(self.a(x)); {FLAT}; return self.out(self.n(x))",
    ),
    "activations of many kinds": (
        f"{TWO.format('w')}; p = nn.PReLU(); s = nn.Sigmoid()",
        POOLED.format("self.p(torch.tanh(x)) * self.s(x)", f"F.leaky_relu({MEAN})"),
    ),
    "a maximum over positions": (TWO.format("w"), POOLED.format("x", "x.amax((2, 3))")),
    "upsampling": (
        TWO.format("w"),
        POOLED.format("F.interpolate(x[:, :, ::2, ::2], size=x.shape[2:])", MEAN),
    ),
    "a layer normalised without parameters": (
        TWO.format("w"),
        POOLED.format("F.instance_norm(x)", MEAN),
    ),
    "a computation with the number of channels": (
        TWO.format("w"),
        POOLED.format("x * x.size(1) ** -0.5", f"{MEAN} / x.shape[1]"),
    ),
    "a sum in place": (
        TWO.format("w"),
        "x = F.relu(self.a(x)); y = self.b(x); y += x; return self.out(F.relu_(y).mean((2, 3)))",
    ),
    "a subclass without a forward method": (
        "a = Named(3, w, 3); b = Named(w, w, 3); out = nn.Linear(w, c)",
        POOLED.format("x", MEAN),
        "class Named(nn.Conv2d):\n    pass\n",
    ),
}
GROUPED = TWO.replace("3, padding=1); out", "3, padding=1, groups=2); out")
OWN_FORWARD = (
    "its channels cannot be followed; allowed: convolutions, linear layers and batch norms"
)
UNKNOWN = "unsupported operation, "

REFUSED = {
    "a mean over channels": (
        TWO.format("32 * 32"),
        POOLED.format("x", "x.mean(1).flatten(1)"),
        "mean",
    ),
    "a mean of one channel over channels": (
        "a = nn.Conv2d(3, 1, 3, padding=1); b = nn.Conv2d(1, 1, 1); out = nn.Linear(1024, c)",
        POOLED.format("x.mean(1, keepdim=True)", "x.flatten(1)"),
        "mean",
    ),
    "a convolution with groups": (GROUPED.format("w"), POOLED.format("x", MEAN), "groups=2"),
    "weights standardised in the forward method": (
        "a = Own(3, w, 3); b = Own(w, w, 3); out = nn.Linear(w, c)",
        POOLED.format("x", MEAN),
        OWN_FORWARD,
        "class Own(nn.Conv2d):\n    def forward(self, x):\n"
        "        return self._conv_forward(x, self.weight - self.weight.mean(), self.bias)\n",
    ),
    "a scale that a subclass means otherwise": (
        "a = Own(3, w, 3); b = Own(w, w, 3); out = nn.Linear(w, c)",
        POOLED.format("x", MEAN),
        OWN_FORWARD,
        "class Own(nn.Conv2d):\n    scale = 3.0\n\n    def forward(self, x):\n"
        "        return super().forward(x)\n",
    ),
    "a gain that is trained, from 1": (
        "a = Own(3, w, 3); b = Own(w, w, 3); out = nn.Linear(w, c)",
        POOLED.format("x", MEAN),
        OWN_FORWARD,
        "class Own(nn.Conv2d):\n    def __init__(self, *sizes):\n        super().__init__(*sizes)\n"
        "        self.gain = nn.Parameter(torch.ones(1))\n\n    def forward(self, x):\n"
        "        return super().forward(x) * self.gain\n",
    ),
    "a batch norm with a forward method of its own": (
        "a = nn.Conv2d(3, w, 3); n = Own(w); out = nn.Linear(900 * w, c)",
        WITH_NORM,
        OWN_FORWARD,
        "class Own(nn.BatchNorm2d):\n    def forward(self, x):\n"
        "        return super().forward(x - x.mean(1, keepdim=True))\n",
    ),
    "a norm over channels": (
        f"{TWO.format('w')}; n = nn.GroupNorm(2, w)",
        POOLED.format("self.n(x)", MEAN),
        "GroupNorm",
    ),
    "a parameter per channel": (
        f"{TWO.format('w')}; g = nn.Parameter(torch.ones(1, w, 1, 1))",
        POOLED.format("x * self.g", MEAN),
        f"{UNKNOWN}g at g",
    ),
    "an activation with a weight per channel": (
        f"{TWO.format('w')}; p = nn.PReLU(w)",
        POOLED.format("self.p(x)", MEAN),
        "PReLU",
    ),
    "view with the number of features": (
        TWO.format("1024 * w"),
        POOLED.format("x", "x.reshape(-1, 4096)"),
        "x.flatten(1)",
    ),
    "channels joined": (
        TWO.format("2 * w"),
        POOLED.format("x", "torch.cat([x, -x], 1).mean((2, 3))"),
        "cat",
    ),
    "channels in another order": (
        TWO.format("w"),
        POOLED.format("x.view(x.size(0), 2, -1, 32, 32).transpose(1, 2).flatten(1, 2)", MEAN),
        UNKNOWN,
    ),
    "some of the channels": (
        TWO.format("w").replace("(w, w,", "(w - 1, w,"),
        POOLED.format("x[:, 1:]", MEAN),
        "getitem",
    ),
    "channels last in a flattening": (
        TWO.format("1024 * w"),
        POOLED.format("x", "x.permute(0, 2, 3, 1).flatten(1)"),
        "permute",
    ),
    "a softmax over channels": (TWO.format("w"), POOLED.format("x.softmax(1)", MEAN), "softmax"),
    "a linear layer over positions": (
        "a = nn.Conv2d(3, w, 3, padding=1); b = nn.Linear(32, 8); out = nn.Linear(8 * w, c)",
        "x = self.b(F.relu(self.a(x))); return self.out(x.mean(2).flatten(1))",
        "Linear",
    ),
    "one batch norm for two layers": (
        f"{TWO.format('w')}; n = nn.BatchNorm2d(w)",
        "x = F.relu(self.n(self.a(x))); return self.out(F.relu(self.n(self.b(x))).mean((2, 3)))",
        "runs its layer n 2 times",
    ),
    "a decision by the images": (
        TWO.format("w"),
        "x = F.relu(self.a(x)); x = x if x.sum() > 0 else -x; "
        "return self.out(self.b(x).mean((2, 3)))",
        "cannot be traced",
    ),
    "a hook that changes a layer's output": (
        f"{TWO.format('w')}; h = self.a.register_forward_hook(lambda m, i, o: o.flip(1))",
        POOLED.format("x", MEAN),
        OWN_FORWARD,
    ),
}


@pytest.mark.parametrize("row", REBUILT)
def test_a_network_is_exposed_exactly(row: str, write: Write, tmp_path: Path) -> None:
    network = made(write(*REBUILT[row]))
    exposure.check(network)
    exposure._plant_dead_units(network)
    exposed = exposure.expose(network)
    assert any(len(units) < 4 for units in exposed.kept.values()) or "images are added" in row
    demand_same(network, exposed.network, images())
    paths = str(tmp_path / "weights.safetensors"), str(tmp_path / "exposed.json")
    about = {"name": f"{tmp_path}/mine.py:f", "width": 4, "classes": 5}
    exposure.save(exposed, about, *paths)
    demand_same(network, exposure.load(*paths), images())


@pytest.mark.parametrize("row", REFUSED)
def test_a_network_that_cannot_be_exposed_is_refused_before_training(
    row: str, write: Write
) -> None:
    parts, forward, sentence, *before = REFUSED[row]
    network = made(write(parts, forward, *before))
    with pytest.raises(WiringError) as caught:
        exposure.check(network)
    assert sentence in str(caught.value)
    assert str(caught.value).count(". ") == 0


def stage_files(folder: Path, network: nn.Sequential, about: dict[str, object]) -> dict[str, str]:
    paths = {
        "pruned": str(folder / "weights.safetensors"),
        "summary": str(folder / "model.json"),
        "dataset": str(folder / "images.safetensors"),
        "weights": str(folder / "exposed" / "weights.safetensors"),
        "structure": str(folder / "exposed" / "exposed.json"),
    }
    artifacts.write_json(paths["summary"], {"network": about})
    tensors = {key: tensor.numpy() for key, tensor in network.state_dict().items()}
    artifacts.write_tensors(paths["pruned"], tensors)
    data = {f"{s}_images": images().numpy() for s in ("train", "test")}
    labels = {f"{s}_labels": np.zeros(12, dtype=np.int64) for s in ("train", "test")}
    artifacts.write_tensors(paths["dataset"], data | labels)
    return paths


def test_a_skeleton_with_other_logits_is_not_written(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever tracing took for granted wrongly, the measured difference decides."""
    reference = write(*REBUILT["dilation (aimet 439)"])
    network = made(reference)
    paths = stage_files(tmp_path, network, {"name": reference, "width": 4, "classes": 5})
    whole = exposure.expose

    def wrong(given: nn.Sequential) -> exposure.Exposed:
        exposed = whole(given)
        with torch.no_grad():
            exposed.network.get_parameter("body.a.weight")[0, 0, 0, 0] += 0.1
        return exposed

    monkeypatch.setattr(exposure, "expose", wrong)
    with pytest.raises(WiringError, match=r"computes other logits .* so nothing was written"):
        exposure.expose_stage(**paths)
    assert not Path(paths["weights"]).exists()
    assert not Path(paths["structure"]).exists()
    monkeypatch.setattr(exposure, "expose", whole)
    exposure.expose_stage(**paths)
    found = artifacts.read_json(paths["structure"])["difference"]
    assert found["largest"] <= 1e-5 * found["scale"]


def test_looking_at_a_network_changes_neither_mode_nor_weights(write: Write) -> None:
    network = made(write(*REBUILT["dropout of each kind"]))
    network.get_submodule("body.d").eval()
    modes = [module.training for module in network.modules()]
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state = torch.random.get_rng_state()
    exposure.check(network)
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(before[name], t) for name, t in network.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), state)
