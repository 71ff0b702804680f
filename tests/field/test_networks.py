"""What people do with a network of their own, row by row; see the public reports in each name."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from skeletons.config.sections import Base
from skeletons.errors import ExtensionError, TrainingError, WiringError
from skeletons.inspection import absence, exposure
from skeletons.inspection.sameness import demand_same
from skeletons.networks.build import build, manner_of
from skeletons.networks.describe import describe
from skeletons.networks.user_network import Manner
from skeletons.prediction import inference
from skeletons.store import artifacts
from skeletons.training.base import train_base
from skeletons.training.epochs import Row
from skeletons.training.images import Images, batch_sizes
from skeletons.training.settings import BaseSettings
from skeletons.user_code.load import load

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
    "dropout that never ends": (
        TWO.format("w"),
        POOLED.format("F.dropout(x)", MEAN),
        "unsupported operation, dropout at dropout",
    ),
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
    exposure.expose_stage(**paths)
    because = absence.reason(paths["structure"])
    assert re.search(r"computes other logits .* so it cannot be used; allowed", because)
    assert not artifacts.read_tensors(paths["weights"])
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


# --- the trial: what a network would fail at, before anything trains ------------------------------

CONV = "a = nn.Conv2d(3, w, 3, padding=1); out = nn.Linear(w, c)"
SHORT = "return self.out(F.relu(self.a(x)).mean((2, 3)))"
TIED = "a = nn.Conv2d(3, 3, 1); b = nn.Conv2d(3, 3, 1); out = nn.Linear(3, c)"
TIED_ON = "return self.out(self.b(F.relu(self.a(x))).mean((2, 3)))"


def on_a(call: str) -> str:
    """A network, with a call that changes its layer `a`, in a function of width and classes."""
    return (
        "class Net(nn.Module):\n    def __init__(self, w, c):\n        super().__init__()\n"
        "        self.a = nn.Conv2d(3, w, 3)\n        self.out = nn.Linear(w, c)\n\n"
        f"    def forward(self, x):\n        {SHORT}\n\n\n"
        f"def f(w, c):\n    net = Net(w, c)\n    {call}\n    return net\n"
    )


WITHOUT_WEIGHT = {
    "parametrizations.weight_norm (nncf 1309)": (
        "nn.utils.parametrizations.weight_norm(net.a)",
        "layer a is parametrized, so it has no weight of its own; it must return layers with "
        "weights that can be penalised and pruned (leave it out, or: torch.nn.utils.parametrize."
        "remove_parametrizations(layer, 'weight')).",
    ),
    "parametrizations.orthogonal on the logits' layer": (
        "nn.utils.parametrizations.orthogonal(net.out)",
        "layer out is parametrized",
    ),
    "weight_norm": (
        "nn.utils.weight_norm(net.a)",
        "after weight_norm; it must return layers with weights that can be penalised and pruned "
        "(leave it out, or: torch.nn.utils.remove_weight_norm(layer)).",
    ),
    "spectral_norm": (
        "nn.utils.spectral_norm(net.a)",
        "torch.nn.utils.remove_spectral_norm(layer)",
    ),
    "torch.nn.utils.prune": (
        "import torch.nn.utils.prune as p; p.random_unstructured(net.a, 'weight', 0.5)",
        "after prune; it must return layers with weights that can be penalised and pruned (leave "
        "it out, or: torch.nn.utils.prune.remove(layer, 'weight')).",
    ),
    "a weight that is no parameter": (
        "weight = net.a.weight.detach(); del net.a.weight; net.a.weight = weight",
        "layer a has no weight of its own",
    ),
}

UNUSABLE = {
    "a weight is a view of another": (
        f"{TIED}; b.weight = nn.Parameter(self.a.weight.data.transpose(0, 1))",
        TIED_ON,
        "a.weight and b.weight share",
    ),
    "a buffer that numpy has not": (
        f"{CONV}; register_buffer('t', torch.ones(2, dtype=torch.bfloat16))",
        SHORT,
        "a network whose tensor t of torch.bfloat16 cannot be written; it must return a network "
        "with tensors of a type that numpy has",
    ),
    "a complex buffer": (
        f"{CONV}; register_buffer('t', torch.ones(2, dtype=torch.complex128))",
        SHORT,
        "tensor t of torch.complex128 cannot be written",
    ),
    "a mask of infinities": (
        f"{CONV}; register_buffer('mask', torch.full((2, 2), -torch.inf))",
        SHORT,
        "tensor mask holds a value that is not finite; it must return finite tensors (",
    ),
    "no gradient arrives": (
        CONV,
        "with torch.no_grad(): y = self.out(self.a(x).mean((2, 3))); return y",
        "failed in training (RuntimeError: element 0 of tensors does not require grad",
    ),
    "an operation in place breaks the gradient": (
        CONV,
        "y = torch.sigmoid(self.a(x)); z = y * y; y.zero_(); return self.out(z.mean((2, 3)))",
        "failed in training (RuntimeError: one of the variables needed for gradient computation",
    ),
    "a mistake in the branch for training": (
        CONV,
        f"x = x.no_such() if self.training else x; {SHORT}",
        "mine.py:f failed in training at line 14 (AttributeError: 'Tensor' object has no",
    ),
    "statistics of one image's features": (
        f"{CONV}; n = nn.BatchNorm1d(w, track_running_stats=False)",
        "return self.out(self.n(self.a(x).mean((2, 3))))",
        "failed on one image at line 15 (ValueError: Expected more than 1 value per channel",
    ),
}


def refused(reference: str) -> str:
    with pytest.raises(ExtensionError) as caught:
        made(reference)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("row", WITHOUT_WEIGHT)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_weights_that_are_computed_are_refused(row: str, write: Write) -> None:
    call, sentence = WITHOUT_WEIGHT[row]
    assert sentence in refused(write(on_a(call)))


@pytest.mark.parametrize("row", UNUSABLE)
def test_a_network_that_would_fail_later_is_refused(row: str, write: Write) -> None:
    parts, forward, sentence = UNUSABLE[row]
    assert sentence in refused(write(parts, forward))


# --- networks that work though they differ from the built-in ones ---------------------------------


def trained(network: nn.Sequential, count: int = 21, batch: int = 5) -> list[Row]:
    settings = {**Base(epochs=2, batch_size=batch, learning_rate=0.1).model_dump()}
    del settings["seeds"], settings["target"]
    data = Images(images(count), torch.arange(count) % 5)
    return train_base(network, data, data, 1, BaseSettings(**settings), "fp32")


def test_view_in_the_forward_method_trains(write: Write) -> None:
    """`x.view(x.size(0), -1)` (pytorch examples 836) fails in channels_last."""
    forward = POOLED.format("x", "x.view(x.size(0), -1)")
    network = made(write(TWO.format("1024 * w"), forward))
    assert manner_of(network) == Manner(contiguous=True)
    assert network.get_parameter("body.b.weight").is_contiguous()
    assert len(trained(network)) == 2
    assert describe(network)["parameters"] == sum(p.numel() for p in network.parameters())
    assert inference.predict(network, images()).shape == (12, 5)


def test_a_network_that_can_runs_in_channels_last(write: Write) -> None:
    forward = POOLED.format("x", "x.flatten(1)")
    network = made(write(TWO.format("1024 * w"), forward))
    assert manner_of(network) == Manner()
    weight = network.get_parameter("body.b.weight")
    assert weight.is_contiguous(memory_format=torch.channels_last)


FEATURES = f"{CONV}; n = nn.BatchNorm1d(w)"
ON_FEATURES = "return self.out(self.n(self.a(x).mean((2, 3))))"


def test_a_batch_norm_of_features_trains_though_one_image_is_left_over(write: Write) -> None:
    network = made(write(FEATURES, ON_FEATURES))
    assert manner_of(network) == Manner(single=False)
    assert len(trained(network, 21, 5)) == 2
    assert batch_sizes(21, 5, single=False) == [5, 5, 5, 6]
    assert batch_sizes(21, 5) == [5, 5, 5, 5, 1]
    assert batch_sizes(20, 5, single=False) == batch_sizes(20, 5) == [5, 5, 5, 5]


@pytest.mark.parametrize(("count", "batch"), [(1, 5), (6, 1)])
def test_batches_of_one_image_are_refused_for_it(count: int, batch: int, write: Write) -> None:
    network = made(write(FEATURES, ON_FEATURES))
    with pytest.raises(TrainingError, match=r"on a batch of one image: found batches of \d from"):
        trained(network, count, batch)


def test_what_still_fails_in_training_names_the_line(write: Write) -> None:
    forward = f"assert len(x) < 4, 'never seen in the trial'; {SHORT}"
    network = made(write(CONV, forward))
    with pytest.raises(
        ExtensionError, match=r"mine\.py:f failed at line 14 \(AssertionError: never seen in the t"
    ):
        trained(network)


def test_memory_that_is_full_is_not_the_network_s_fault(write: Write) -> None:
    forward = f"assert len(x) < 4 or (_ for _ in ()).throw(MemoryError('Unable')); {SHORT}"
    network = made(write(CONV, forward))
    with pytest.raises(MemoryError, match="Unable"):
        trained(network)


def test_one_call_of_the_trial_serves_a_process(write: Write) -> None:
    reference = write(on_a("CALLS.append(w)").replace("class Net", "CALLS = []\n\n\nclass Net"))
    for _ in range(3):
        made(reference)
    assert len(load(reference.replace(":f", ":CALLS"))) == 1 + 3


def test_flops_of_one_dimension_and_of_transposed_convolutions(write: Write) -> None:
    network = made(
        write(
            "a = nn.Conv2d(3, w, 3, stride=2, padding=1); "
            "t = nn.ConvTranspose2d(w, 6, 2, stride=2); "
            "s = nn.Conv1d(6, 5, 3, padding=1); out = nn.Linear(5, c)",
            "x = self.t(F.relu(self.a(x))); return self.out(self.s(x.flatten(2)).mean(2))",
        )
    )
    rows = {row["name"]: row["flops"] for row in describe(network)["layers"]}
    assert rows == {
        "body.a.weight": 2 * 16 * 16 * 4 * 3 * 9,
        "body.t.weight": 2 * 16 * 16 * 4 * 6 * 4,
        "body.s.weight": 2 * 1024 * 6 * 5 * 3,
        "body.out.weight": 2 * 5 * 5,
    }
