"""Which units of any network can change places, and that a permuted copy is recovered."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from shuffled import random_permutations
from torch import Tensor, nn

from skeletons.alignment import matching, permutations
from skeletons.alignment.permutations import Array, Specification
from skeletons.errors import WiringError
from skeletons.networks import symmetries
from skeletons.networks.build import build
from skeletons.networks.generators import generator_for
from skeletons.networks.tensors import put
from skeletons.training.job import tensors_of

HEAD = "import torch\nimport torch.nn.functional as F\nfrom torch import nn\n\n\n"
Write = Callable[[str, str], str]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes the file of a network from its parts and its forward method."""

    def written(parts: str, forward: str) -> str:
        inside = "".join(f"        self.{part.strip()}\n" for part in parts.split(";"))
        steps = "".join(f"        {step.strip()}\n" for step in forward.split(";"))
        source = (
            f"{HEAD}class f(nn.Module):\n    def __init__(self, w, c):\n"
            f"        super().__init__()\n{inside}\n    def forward(self, x):\n{steps}"
        )
        (tmp_path / "mine.py").write_text(source)
        return f"{tmp_path}/mine.py:f"

    return written


def made(name: str, width: int | None = 4, **options: object) -> nn.Sequential:
    return build(name, width, 5, [0.5] * 3, [0.2] * 3, options=options)


@torch.no_grad()
def drawn(network: nn.Sequential, seed: int) -> dict[str, Array]:
    """Random weights, so that no two units are equal."""
    draw = generator_for("drawn", seed)
    tensors = tensors_of(network)
    for name, values in tensors.items():
        if name.startswith("body.") and values.dtype.kind == "f":
            random = torch.randn(values.shape, generator=draw).numpy()
            positive = name.endswith("running_var")
            spread = 0.3 if values.ndim < 2 else (values[0].size) ** -0.5
            tensors[name] = np.abs(random) + 0.5 if positive else (spread * random)
    fitted = copy.deepcopy(network).eval()
    put(fitted, {name: torch.from_numpy(values) for name, values in tensors.items()})
    symmetries._fit_norms(fitted, 255 * torch.rand(8, 3, 32, 32, generator=draw))
    return {name: values.copy() for name, values in tensors_of(fitted).items()}


def logits(network: nn.Sequential, tensors: dict[str, Array]) -> Tensor:
    double = copy.deepcopy(network).double().eval()  # random weights can make logits nearly equal
    put(double, {name: torch.from_numpy(values) for name, values in tensors.items()})
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        found: Tensor = double(torch.randint(0, 256, (8, 3, 32, 32), generator=draw))
    return found


def specification(network: nn.Sequential) -> Specification:
    return permutations.specification(symmetries.find(network), tensors_of(network))


def recovered(network: nn.Sequential) -> Specification:
    """Check that a permuted copy computes the same, and that matching undoes the permutation."""
    spec, tensors = specification(network), drawn(network, 1)
    moved = permutations.apply(tensors, spec, random_permutations(spec, 2))
    one, other = logits(network, tensors), logits(network, moved)
    assert float((one - other).abs().max()) < 1e-3 * float((one - one.mean(0)).abs().max())
    names = matching.compared(spec)
    assert matching.cosine(tensors, moved, names) < 0.9, "units did change places"
    aligned = permutations.apply(moved, spec, matching.match(tensors, moved, spec))
    assert all(np.array_equal(aligned[name], tensors[name]) for name in tensors)
    return spec


OWN = {
    "view": (
        "a = nn.Conv2d(3, w, 3, stride=4); b = nn.Linear(64 * w, 2 * w); out = nn.Linear(2 * w, c)",
        "x = F.relu(self.a(x)); x = x.view(x.size(0), -1); return self.out(F.relu(self.b(x)))",
        {"body.a": 4, "body.b": 8},
    ),
    "a residual stream with a projection": (
        "a = nn.Conv2d(3, w, 3, padding=1); b = nn.Conv2d(w, w, 3, padding=1); "
        "d = nn.Conv2d(w, 2 * w, 1, stride=2); e = nn.Conv2d(w, 2 * w, 3, stride=2, padding=1); "
        "n = nn.BatchNorm2d(2 * w); out = nn.Linear(2 * w, c)",
        "x = F.relu(self.a(x)); x = x + F.relu(self.b(x)); "
        "x = F.relu(self.d(x) + self.n(self.e(x))); return self.out(x.mean((2, 3)))",
        {"body.a": 4, "body.d": 8},
    ),
    "channels put beside each other": (
        "a = nn.Conv2d(3, w, 3); b = nn.Conv2d(3, 3 * w, 3); e = nn.Conv2d(4 * w, w, 1); "
        "out = nn.Linear(w, c)",
        "x = torch.cat([self.a(x), self.b(x)], 1); return self.out(F.relu(self.e(x)).amax((2, 3)))",
        {"body.a": 4, "body.b": 12, "body.e": 4},
    ),
    "a depthwise convolution with squeeze and excitation": (
        "a = nn.Conv2d(3, w, 3); b = nn.Conv2d(w, w, 3, groups=w); s = nn.Linear(w, 3); "
        "e = nn.Linear(3, w); out = nn.Linear(w, c)",
        "x = F.relu(self.b(self.a(x))); y = torch.sigmoid(self.e(F.relu(self.s(x.mean((2, 3)))))); "
        "return self.out((x * y[:, :, None, None]).mean((2, 3)))",
        {"body.a": 4, "body.s": 3},
    ),
    "one layer that runs twice, on a stream": (
        "a = nn.Conv2d(3, w, 3, padding=1); b = nn.Conv2d(w, w, 3, padding=1); "
        "out = nn.Linear(w, c)",
        "x = self.b(F.relu(self.b(F.relu(self.a(x))))); return self.out(F.relu(x).mean((2, 3)))",
        {"body.a": 4},
    ),
    "a layer norm of features": (
        "a = nn.Conv2d(3, w, 3, stride=4); n = nn.LayerNorm(w); b = nn.Linear(w, 2 * w); "
        "out = nn.Linear(2 * w, c)",
        "x = self.n(F.relu(self.a(x)).flatten(2).transpose(1, 2)); "
        "return self.out(F.gelu(self.b(x)).mean(1))",
        {"body.a": 4, "body.b": 8},
    ),
    "layers of many kinds": (
        "a = nn.Conv2d(3, w, 3, 2); p = nn.PReLU(w); b = nn.Conv2d(w, w, 1); q = nn.PReLU(); "
        "i = nn.InstanceNorm2d(w); t = nn.ConvTranspose2d(w, 2 * w, 2, 2); "
        "out = nn.Linear(w, c); s = nn.Parameter(torch.ones(w, 1, 1))",
        "x = self.p(self.a(x)); x = self.i(self.q(self.b(x)) * self.s); x = F.glu(self.t(x), 1); "
        "x = F.softmax(F.interpolate(F.normalize(x, dim=1), scale_factor=2), 1); "
        "return self.out(x.mean((2, 3)))",
        {"body.a": 4, "body.b": 4, "body.t": 4},
    ),
    "weights that are scaled as they are applied": (
        "a = nn.Conv2d(3, w, 3); b = nn.Conv2d(w, w, 1); out = nn.Linear(w, c)",
        "y = self.a(x); x = F.conv2d(F.relu(y), self.b.weight * 0.5, self.b.bias) + 0 * self.b(y); "
        "return self.out(F.relu(x).mean((2, 3)))",
        {"body.a": 4, "body.b": 4},
    ),
}


@pytest.mark.parametrize("row", OWN)
def test_a_permuted_copy_of_an_own_network_is_recovered(row: str, write: Write) -> None:
    parts, forward, groups = OWN[row]
    spec = recovered(made(write(parts, forward)))
    assert spec.sizes == groups
    assert set(spec.blocks.values()) == {1}


NORMED = "a = nn.Conv2d(3, 12, 3); n = nn.GroupNorm({}, 12); out = nn.Linear(12, c)"
ON_NORMED = "return self.out(F.relu(self.n(self.a(x))).mean((2, 3)))"


@pytest.mark.parametrize("groups", [1, 3, 4, 12])
def test_units_of_a_group_norm_stay_in_their_group(groups: int, write: Write) -> None:
    spec = recovered(made(write(NORMED.format(groups), ON_NORMED)))
    assert spec.sizes == {"body.a": 12}
    assert spec.blocks == {"body.a": groups}


def test_no_more_is_permuted_than_a_group_norm_allows(write: Write) -> None:
    """A unit in another group changes the function, and is refused."""
    network = made(write(NORMED.format(3), ON_NORMED))
    spec, tensors = specification(network), drawn(network, 1)
    swapped = np.array([4, 1, 2, 3, 0, *range(5, 12)])
    with pytest.raises(ValueError, match=r"the units of 'body\.a' do not stay in their blocks"):
        permutations.apply(tensors, spec, {"body.a": swapped})
    free = Specification(spec.shapes, spec.parts)
    torn = permutations.apply(tensors, free, {"body.a": swapped})
    one, other = logits(network, tensors), logits(network, torn)
    assert float((one - other).abs().max()) > 1e-2 * float((one - one.mean(0)).abs().max())


def test_group_norms_that_do_not_agree_leave_what_both_allow(write: Write) -> None:
    parts = NORMED.format(2).replace("; out", "; m = nn.GroupNorm(3, 12); out")
    spec = recovered(made(write(parts, ON_NORMED.replace("self.n(", "self.m(self.n(") + ")")))
    assert sorted(spec.sizes.values()) == [2, 2, 4, 4]
    assert set(spec.blocks.values()) == {1}


def test_matching_in_blocks_is_the_best_there_is() -> None:
    """Compared with all permutations of two blocks of three units, in two parts."""
    draw = np.random.default_rng(0)
    inner = [np.array(p) for p in itertools.permutations(range(3))]
    for _ in range(5):
        one, two = draw.normal(size=(2, 6, 6))
        gain, steps = matching.assign({"q": one, "v": two}, 2)
        best = max(
            sum(
                max(v[i * 3 + np.arange(3), j * 3 + p].sum() for p in inner)
                for v in (one, two)
                for i, j in enumerate(order)
            )
            for order in ((0, 1), (1, 0))
        )
        assert gain + np.trace(one) + np.trace(two) == pytest.approx(best)
        found = sum(v[np.arange(6), steps[n]].sum() for n, v in (("q", one), ("v", two)))
        assert found == pytest.approx(best)


VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3}


def test_a_permuted_copy_of_resnet18_is_recovered() -> None:
    spec = recovered(made("torchvision:resnet18", None))
    assert spec.sizes["body.conv1"] == 64
    assert spec.sizes["body.layer4.0.conv2"] == 512
    assert len(spec.parts) == 12


def test_a_permuted_copy_of_a_mobile_network_is_recovered() -> None:
    spec = recovered(made("torchvision:mobilenet_v3_small", None))
    assert spec.sizes["body.features.0.0"] == 16


def test_a_permuted_copy_of_a_transformer_is_recovered_with_its_heads() -> None:
    spec = recovered(made("timm:vit_tiny_patch16_224", None, **VIT))
    assert spec.sizes == {
        "body.patch_embed.proj": 24,
        **{
            f"body.blocks.{k}.{name}": size
            for k in (0, 1)
            for name, size in (("attn.queries", 24), ("attn.values", 24), ("mlp.fc1", 96))
        },
    }
    assert spec.blocks["body.blocks.1.attn.values"] == 3
    assert spec.heads["body.blocks.1.attn.values"] == "body.blocks.1.attn.queries"
    torn = dict(permutations.identity(spec))
    torn["body.blocks.1.attn.values"] = np.roll(torn["body.blocks.1.attn.values"], 8)
    with pytest.raises(ValueError, match="have their blocks in different orders"):
        permutations.apply(drawn(made("timm:vit_tiny_patch16_224", None, **VIT), 1), spec, torn)


def test_a_permuted_copy_of_torch_s_own_attention_is_recovered(write: Write) -> None:
    network = made(
        write(
            "a = nn.Conv2d(3, 8, 8, 8); "
            "e = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True); out = nn.Linear(8, c)",
            "x = self.e(self.a(x).flatten(2).transpose(1, 2)); return self.out(x.mean(1))",
        )
    )
    spec = recovered(network)
    assert spec.sizes == {
        "body.a": 8,
        "body.e.self_attn.queries": 8,
        "body.e.self_attn.values": 8,
        "body.e.linear1": 16,
    }
    assert spec.blocks["body.e.self_attn.queries"] == 2


REFUSED = {
    "groups of several channels": (
        "a = nn.Conv2d(3, w, 3); b = nn.Conv2d(w, w, 3, groups=2); out = nn.Linear(w, c)",
        "return self.out(F.relu(self.b(self.a(x))).mean((2, 3)))",
        "a convolution with groups of several channels, through which its units cannot be followed",
    ),
    "weights standardised as they are applied": (
        "a = nn.Conv2d(3, w, 3); out = nn.Linear(w, c)",
        "v = self.a.weight; v = v - v.mean((1, 2, 3), keepdim=True); "
        "return self.out(F.relu(F.conv2d(x, v) + 0 * self.a(x)).mean((2, 3)))",
        "through which its units cannot be followed",
    ),
    "a product of two results": (
        "a = nn.Conv2d(3, w, 3, 4); b = nn.Conv2d(3, w, 3, 4); out = nn.Linear(w * w, c)",
        "y = self.a(x).flatten(2); z = self.b(x).flatten(2); "
        "return self.out((y @ z.transpose(1, 2)).flatten(1))",
        "bmm, through which its units cannot be followed",
    ),
    "a single layer": (
        "out = nn.Linear(3 * 32 * 32, c)",
        "return self.out(x.flatten(1))",
        "The network has no units that can change places",
    ),
}


@pytest.mark.parametrize("row", REFUSED)
def test_what_cannot_be_followed_is_a_sentence(row: str, write: Write) -> None:
    parts, forward, sentence = REFUSED[row]
    with pytest.raises(WiringError) as caught:
        symmetries.find(made(write(parts, forward)))
    assert sentence in str(caught.value)
    assert str(caught.value).endswith(".")


KEPT = {
    "a constant that differs between channels": "x = x * torch.arange(4.)[None, :, None, None]",
    "a part of the channels is treated otherwise": "x = torch.cat([x[:, :1] * 2, x[:, 1:]], 1)",
}


@pytest.mark.parametrize("row", KEPT)
def test_units_that_are_not_alike_keep_their_places(row: str, write: Write) -> None:
    parts = "a = nn.Conv2d(3, w, 3); b = nn.Linear(w, 3 * w); out = nn.Linear(3 * w, c)"
    forward = f"x = self.a(x); {KEPT[row]}; return self.out(F.relu(self.b(x.mean((2, 3)))))"
    spec = recovered(made(write(parts, forward)))
    assert spec.sizes["body.b"] == 12
    assert max((size for name, size in spec.sizes.items() if name != "body.b"), default=0) < 4


@pytest.mark.parametrize("shape", [(4, 1), (1, 4), (3, 5)])
def test_places_are_read_as_they_were_written(shape: tuple[int, int]) -> None:
    draw = np.random.default_rng(0)
    size = shape[0] * shape[1]
    for places in (np.arange(size).reshape(shape), draw.permutation(size).reshape(shape)):
        encoded = symmetries.encode(places)
        assert np.array_equal(symmetries.decode(encoded), places)
        assert np.array_equal(permutations._places(encoded), places)


def test_following_a_network_changes_nothing() -> None:
    network = made("torchvision:resnet18", None).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    torch.manual_seed(3)
    following = torch.rand(2)
    torch.manual_seed(3)
    symmetries.find(network)
    assert torch.equal(torch.rand(2), following)
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())
    assert all(module.training for module in network.modules())
