"""The undocumented part of torch that following a network uses; a test checks that it works."""

from __future__ import annotations

from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["TorchDispatchMode"]
