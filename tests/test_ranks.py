"""Scores of weights against their closed forms."""

import numpy as np
import pytest
import torch
from colours import images
from torch import nn

from skeletons.networks.applied import factors
from skeletons.networks.build import build
from skeletons.networks.describe import prunable
from skeletons.training.images import Images
from skeletons.training.ranks import scores_of


class Pixels(nn.Module):
    """The first two pixels of the red channel, as features."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, 0, 0, :2].float()


WEIGHTS = torch.tensor([[0.5, -1.0], [0.25, 2.0]])


def softmax_regression() -> nn.Sequential:
    made = nn.Sequential(Pixels(), nn.Linear(2, 2, bias=False))
    with torch.no_grad():
        prunable(made)["1.weight"].copy_(WEIGHTS)
    return made


def drawn(count: int = 40) -> Images:
    random = np.random.default_rng(0)
    pixels = torch.from_numpy(random.integers(0, 3, (count, 3, 32, 32)).astype(np.uint8))
    return Images(pixels, torch.from_numpy(random.integers(0, 2, count)))


def gradients() -> torch.Tensor:
    """By the formula of softmax regression: (p − y) xᵀ for each image, N×2×2."""
    x = drawn().pixels[:, 0, 0, :2].double()
    p = torch.softmax(x @ WEIGHTS.double().T, 1)
    y = nn.functional.one_hot(drawn().labels, 2)
    return (p - y)[:, :, None] * x[:, None, :]


def test_taylor_is_the_weight_times_its_gradient() -> None:
    found = scores_of(softmax_regression(), drawn(), "taylor")["1.weight"]
    expected = (WEIGHTS * gradients().mean(0)).abs()
    assert torch.allclose(found.double(), expected, rtol=1e-4)


def test_fisher_is_half_the_squared_weight_times_the_mean_squared_gradient() -> None:
    found = scores_of(softmax_regression(), drawn(), "fisher")["1.weight"]
    expected = WEIGHTS.double().square() * gradients().square().mean(0) / 2
    assert torch.allclose(found.double(), expected, rtol=1e-4)


def test_taylor_predicts_a_small_change_of_the_loss() -> None:
    """Removing a share ε of one weight changes the loss by ε times its score."""
    made, train = build("resnet9", 2, 3, [0.3] * 3, [0.2] * 3), images()
    found, share = scores_of(made, train, "taylor"), 1e-2

    def loss() -> float:
        with torch.no_grad():
            logits = made.eval()(train.pixels).double()
        return nn.functional.cross_entropy(logits, train.labels).item()

    name = "body.8.weight"
    at = divmod(int(found[name].argmax()), found[name].shape[1])
    with torch.no_grad():
        weight, start = prunable(made)[name], loss()
        weight[at] *= 1 - share
    assert abs(loss() - start) == pytest.approx(share * found[name][at].item(), rel=0.05)


def test_scores_are_of_weights_as_they_are_applied() -> None:
    made = build("cnn", 2, 3, [0.3] * 3, [0.2] * 3)
    applied = factors(made)
    assert applied["body.0.weight"] == pytest.approx((2 / 27) ** 0.5)
    found = scores_of(made, images(), "magnitude")
    for name, w in prunable(made).items():
        assert torch.allclose(found[name], w.abs() * applied[name])
    resnet = build("resnet9", 2, 3, [0.3] * 3, [0.2] * 3)
    assert set(factors(resnet).values()) == {1.0}


def test_nothing_is_left_changed() -> None:
    made = build("resnet9", 2, 3, [0.3] * 3, [0.2] * 3)
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    for criterion in ("magnitude", "taylor", "fisher"):
        scores_of(made, images(12), criterion)
    assert all(torch.equal(tensor, before[name]) for name, tensor in made.state_dict().items())


def test_weights_of_attention_are_applied_as_they_are() -> None:
    """Those that torch's attention holds itself do not belong to a layer of their own."""
    attention = nn.Sequential(nn.MultiheadAttention(4, 2))
    assert factors(attention) == {"0.in_proj_weight": 1, "0.out_proj.weight": 1}
