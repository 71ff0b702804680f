"""Weights for use outside of the library are those that are applied."""

import pytest
import torch
from torch import nn

from skeletons import plain_layers
from skeletons.networks.architectures import REGISTRY
from skeletons.networks.build import build


def network_of(name: str) -> nn.Sequential:
    network = build(name, 2, 10, [0.4] * 3, [0.2] * 3, seed=1).eval()
    for layer in network.modules():  # as after training and pruning
        if isinstance(layer, nn.Conv2d | nn.Linear):
            with torch.no_grad():
                layer.weight[layer.weight.abs() < layer.weight.abs().median()] = 0
                if layer.bias is not None:
                    layer.bias.normal_()
    return network


def body_of_torch_layers() -> nn.Sequential:
    """The layers that the documents of `cnn` list, by someone who does not have this library."""
    w = 2
    return nn.Sequential(
        *(nn.Conv2d(3, w, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(w, w, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(w, 2 * w, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(2 * w, 2 * w, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(128 * w, 4 * w), nn.ReLU()),
        *(nn.Linear(4 * w, 4 * w), nn.ReLU(), nn.Linear(4 * w, 10)),
    )


def images() -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (20, 3, 32, 32), dtype=torch.uint8, generator=random)


@torch.no_grad()
def test_weights_of_a_cnn_copied_into_plain_layers_give_the_same_logits() -> None:
    network = network_of("cnn")
    plain = plain_layers(network)
    own = body_of_torch_layers()
    own.load_state_dict(plain.get_submodule("body").state_dict())
    standardized = (images().float() - network.standardize.mean) / network.standardize.std
    torch.testing.assert_close(own(standardized), network(images()), rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("name", REGISTRY)
def test_plain_layers_compute_the_same_and_leave_the_network_alone(name: str) -> None:
    network = network_of(name)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    plain = plain_layers(network)
    torch.testing.assert_close(plain(images()), network(images()), rtol=0, atol=1e-5)
    kinds = {type(layer) for layer in plain.modules() if isinstance(layer, nn.Conv2d | nn.Linear)}
    assert kinds <= {nn.Conv2d, nn.Linear}
    assert not plain.training
    for key, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[key])
        assert torch.equal(plain.state_dict()[key] == 0, tensor == 0)
        assert plain.state_dict()[key].data_ptr() != tensor.data_ptr()
