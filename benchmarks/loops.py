"""Training loops to compare with: the usual one, and one in the style of airbench.

Each is a generator of batches and a step. Networks, batch sizes and learning rates are the
library's, so that only the loop differs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from skeletons.networks.build import build
from skeletons.prediction.device import pick_precision
from skeletons.training.epochs import run_epoch
from skeletons.training.images import Images, batches

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)
Batches = Iterator[tuple[Tensor, Tensor]]
Run = Callable[[nn.Sequential, Images, int, Callable[[], None], int], None]
SHIFT = 4
WARM = 3  # steps before a pass is timed
# The precision of the fast loops on this machine: bf16, unless it is emulated.
PRECISION = pick_precision("auto", torch.device("cpu"))
FAST = torch.bfloat16 if PRECISION == "bf16" else torch.float32


@dataclass(frozen=True)
class Loop:
    """A way to train: builds a new network, and runs a pass over the images with update steps."""

    build: Callable[[str, int, int], nn.Sequential]
    run: Run


class _Pictures(Dataset[tuple[Tensor, int]]):
    """Images as torchvision's data sets return them: one at a time, through PIL."""

    def __init__(self, images: Images) -> None:
        self.pixels = images.pixels.permute(0, 2, 3, 1).contiguous().numpy()
        self.labels = images.labels.tolist()
        self.change = transforms.Compose(
            [
                transforms.RandomHorizontalFlip(),
                transforms.RandomCrop(32, padding=SHIFT, padding_mode="reflect"),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.change(Image.fromarray(self.pixels[index])), self.labels[index]


def _network(name: str, width: int, seed: int) -> nn.Sequential:
    return build(name, width, 10, MEAN, STD, seed=seed)


def _plain_network(name: str, width: int, seed: int) -> nn.Sequential:
    """Without standardisation, which the transforms do, and in the default memory format."""
    network = _network(name, width, seed)
    network.standardize = nn.Identity()
    return network.to(memory_format=torch.contiguous_format)


def dataloader(workers: int) -> Loop:
    """A DataLoader with torchvision transforms, in fp32."""

    def loaded(images: Images, size: int, seed: int) -> Batches:
        order = torch.Generator().manual_seed(seed)
        loader: Any = DataLoader(
            _Pictures(images), size, shuffle=True, num_workers=workers, generator=order
        )
        yield from loader

    return Loop(_plain_network, over(loaded))


def over(batches: Callable[[Images, int, int], Batches]) -> Run:
    """The usual pass over batches, without autocast."""

    def run(
        network: nn.Sequential,
        images: Images,
        size: int,
        update: Callable[[], None],
        seed: int,
    ) -> None:
        network.train()
        for pixels, labels in batches(images, size, seed):
            network.zero_grad()
            F.cross_entropy(network(pixels).float(), labels).backward()
            update()

    return run


def airbench_network(name: str, width: int, seed: int, fast: torch.dtype = FAST) -> nn.Sequential:
    """Weights in the fast precision, batch norm in fp32; images must be standardised."""
    network = _network(name, width, seed)
    network.standardize = nn.Identity()
    network.to(fast)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.float()
    return network.to(memory_format=torch.channels_last)


def whole_epoch(images: Images, size: int, seed: int) -> Batches:
    """Augment all images of the epoch at once, as one tensor, then split it into batches."""
    order = torch.Generator().manual_seed(seed)
    place = images.pixels.device
    mean, std = (torch.tensor(x, device=place).view(1, 3, 1, 1) for x in (MEAN, STD))
    fast = torch.bfloat16 if pick_precision("auto", place) == "bf16" else torch.float32
    pixels = ((images.pixels / 255 - mean) / std).to(fast)
    padded = F.pad(pixels, (SHIFT,) * 4, mode="reflect")
    count = len(pixels)
    moved = torch.empty_like(pixels)
    shifts = torch.randint(2 * SHIFT + 1, (2, count), generator=order).to(place)
    for down in range(2 * SHIFT + 1):
        for right in range(2 * SHIFT + 1):
            chosen = (shifts[0] == down) & (shifts[1] == right)
            moved[chosen] = padded[chosen, :, down : down + 32, right : right + 32]
    mirrored = (torch.rand(count, generator=order) < 0.5).to(place)
    moved = torch.where(mirrored.view(-1, 1, 1, 1), moved.flip(3), moved)
    moved = moved.contiguous(memory_format=torch.channels_last)
    for chosen in torch.randperm(count, generator=order).to(place).split(size):
        yield moved[chosen], images.labels[chosen]


def _own_run(
    network: nn.Sequential,
    images: Images,
    size: int,
    update: Callable[[], None],
    seed: int,
) -> None:
    changes = {"flip": True, "shift": SHIFT, "cutout": 0}
    data = batches(images, size, torch.Generator().manual_seed(seed), changes)
    layers = torch.Generator()
    run_epoch(network, data, update, layers=layers, precision="auto", where="The benchmark")


OWN = "this library"
LOOPS = {
    OWN: Loop(_network, _own_run),
    "DataLoader, 0 workers, fp32": dataloader(0),
    "DataLoader, 2 workers, fp32": dataloader(2),
    f"airbench style, {PRECISION}": Loop(airbench_network, over(whole_epoch)),
}


def warm(loop: str, name: str, width: int, batch: int, count: int) -> Callable[[], None]:
    """Run a loop's first steps; return a function that runs a pass over `count` images of noise.

    The first steps map the memory that later steps reuse. The content of the images does not change
    how long a step takes.
    """
    random = torch.Generator().manual_seed(0)
    images = Images(
        torch.randint(256, (count, 3, 32, 32), generator=random).byte(),
        torch.randint(10, (count,), generator=random),
    )
    network = LOOPS[loop].build(name, width, 0)
    trained = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=1e-3, momentum=0.9, nesterov=True)
    begin = WARM * batch
    first = Images(images.pixels[:begin], images.labels[:begin])
    LOOPS[loop].run(network, first, batch, optimizer.step, 0)
    return lambda: LOOPS[loop].run(network, images, batch, optimizer.step, 1)
