import pytest
import torch

from skeletons.networks import architectures
from skeletons.networks.build import build as build_network
from skeletons.networks.build import prepare
from skeletons.networks.describe import describe, prunable

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.2, 0.2)


def build(name: str, width: int, classes: int = 10, seed: int = 0) -> torch.nn.Sequential:
    return build_network(name, width, classes, MEAN, STD, seed=seed)


@pytest.mark.parametrize("name", architectures.REGISTRY)
@pytest.mark.parametrize("width", [1, 3, 16])
def test_every_network_works_at_every_width(name: str, width: int) -> None:
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    logits = build(name, width, 7)(images)
    assert logits.shape == (4, 7)
    assert logits.isfinite().all()


@pytest.mark.parametrize(
    ("name", "width", "parameters"),
    [
        # Frankle & Carbin 2019, figure 2: 2.4 M
        ("cnn", 64, 2_425_930),
        # He et al. 2016, table 6: 0.27 M
        ("resnet20", 16, 269_722),
        # Counted by hand: the nine convolutions, their norms and the linear layer
        ("resnet9", 64, 6_573_130),
        # airbench94: 1.97 M, of which the norms' scales are fixed
        ("speednet", 64, 1_972_792),
    ],
)
def test_sizes_are_the_published_ones(name: str, width: int, parameters: int) -> None:
    assert describe(build(name, width))["parameters"] == parameters


def test_flops_count_two_for_each_multiply_add() -> None:
    about = describe(build("cnn", 2))
    convolutions = [(3, 2, 32), (2, 2, 32), (2, 4, 16), (4, 4, 16)]
    by_hand = sum(2 * 9 * i * o * side**2 for i, o, side in convolutions)
    by_hand += 2 * (256 * 8 + 8 * 8 + 8 * 10)
    assert about["flops"] == by_hand
    assert [layer["prunable"] for layer in about["layers"]] == [True] * 7


def test_prunable_are_trained_weights_of_convolutions_and_linear_layers() -> None:
    for name in architectures.REGISTRY:
        network = build(name, 4)
        names = set(prunable(network))
        assert all(network.get_parameter(n).ndim in (2, 4) for n in names)
        assert not any("whiten" in n or "norm" in n or "bias" in n for n in names)


def test_whitening_filters_whiten() -> None:
    network = build("speednet", 4)
    images = torch.randint(0, 256, (64, 3, 32, 32), dtype=torch.uint8)
    # correlated channels, as real images have
    images[:, 1] = images[:, 0] // 2 + images[:, 1] // 2
    prepare(network, images)
    standardized = network.get_submodule("standardize")(images)
    patches = standardized.unfold(2, 2, 1).unfold(3, 2, 1).movedim(1, 3).reshape(-1, 12)
    whiten = network.get_parameter("body.whiten.weight")[:12].reshape(12, 12)
    outputs = (patches @ whiten.T).double()
    covariance = outputs.T @ outputs / len(outputs)
    assert torch.allclose(covariance, torch.eye(12, dtype=torch.double), atol=0.02)


def test_the_same_seed_gives_the_same_weights() -> None:
    for name in architectures.REGISTRY:
        one, two, other = (build(name, 4, seed=seed).state_dict() for seed in (0, 0, 1))
        assert all(torch.equal(one[key], two[key]) for key in one)
        assert not all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", architectures.REGISTRY)
def test_torch_s_global_generator_neither_matters_nor_changes(name: str) -> None:
    torch.manual_seed(5)
    one = build(name, 4).state_dict()
    following = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(3), following)
    two = build(name, 4).state_dict()
    assert all(torch.equal(one[key], two[key]) for key in one)
