"""Random generators with names.

All random numbers of training are drawn from a name (seed, λ, epoch), never from what ran before.
So a checkpoint is bit for bit the same whether it was trained in one go or continued from an
earlier checkpoint in another process.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator

import torch


def generator_for(*name: object) -> torch.Generator:
    """A CPU random generator whose draws depend only on `name`."""
    digest = hashlib.sha256(repr(name).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


@contextlib.contextmanager
def drawing_from(generator: torch.Generator, device: torch.device) -> Iterator[None]:
    """Replace torch's global generator within the block, for layers that draw from it.

    Such layers are, for example, dropout. The global generator's state neither matters to the block
    nor changes by it.

    Args:
        generator: a new generator, whose seed the block starts from.
        device: where the layers draw; the CPU's generator is replaced as well.
    """
    cuda = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if cuda else []):
        torch.default_generator.manual_seed(generator.initial_seed())
        if cuda:
            torch.cuda.manual_seed(generator.initial_seed())
        yield
