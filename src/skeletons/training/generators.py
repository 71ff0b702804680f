"""Random generators with names.

All random numbers are drawn from a name (seed, λ, epoch), never from what ran before. So a
checkpoint is bit for bit the same whether it was trained in one go or continued from an earlier
checkpoint in another process.
"""

from __future__ import annotations

import hashlib

import torch


def generator_for(*name: object) -> torch.Generator:
    """A CPU random generator whose draws depend only on `name`."""
    digest = hashlib.sha256(repr(name).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
