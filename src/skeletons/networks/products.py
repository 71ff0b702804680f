"""Counts the products that a network computes otherwise than by layers, such as attention.

torch.utils.flop_counter counts the same, but imports torch's compiler, which takes seconds in each
training job.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

MATMULS = (torch.matmul, torch.bmm, torch.mm, Tensor.matmul, Tensor.bmm, Tensor.mm)
OPERATORS = (Tensor.__matmul__, Tensor.__rmatmul__)


class Products(TorchFunctionMode):
    """A block in which products are counted.

    Attributes:
        flops: of matrix products and attention so far; a multiply-add is two FLOPs.
        applied: the weights of linear functions and convolutions by their id, each with its FLOPs,
            whether a layer or the network itself calls the function.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0
        self.applied: dict[int, tuple[Tensor, int]] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        found = func(*args, **named)
        if func is F.scaled_dot_product_attention:
            self.flops += _of_attention(*_first(args, named, "query", "key", "value"))
        elif func is F.multi_head_attention_forward:
            self.flops += _of_heads(*_first(args, named, "query", "key"))
        elif func in MATMULS or func in OPERATORS:
            one, _ = _first(args, named, "input", "other")
            self.flops += 2 * found.numel() * one.shape[-1]
        elif func in (torch.baddbmm, Tensor.baddbmm):
            self.flops += 2 * found.numel() * _first(args, named, "input", "batch1")[1].shape[-1]
        elif func in (F.linear, F.conv1d, F.conv2d, F.conv3d):
            weight = _first(args, named, "input", "weight")[1]
            flops = 2 * weight.numel() * (found.numel() // weight.shape[0])
            before = self.applied.get(id(weight), (weight, 0))[1]
            self.applied[id(weight)] = (weight, before + flops)
        elif func is torch.einsum:
            self.flops += _of_einsum(args)
        return found


def _first(args: Sequence[Any], named: Mapping[str, Any], *names: str) -> list[Tensor]:
    """The first arguments of a function, by position or by name."""
    return [args[k] if k < len(args) else named[name] for k, name in enumerate(names)]


def _of_attention(query: Tensor, key: Tensor, value: Tensor) -> int:
    """The FLOPs of query·keyᵀ, and of its product with the values."""
    rows = query.numel() // query.shape[-1]
    return 2 * rows * key.shape[-2] * (query.shape[-1] + value.shape[-1])


def _of_heads(query: Tensor, key: Tensor) -> int:
    """The same for all heads of torch's own attention; images are the second axis, if there are."""
    return 4 * query.numel() * key.shape[0]


def _of_einsum(args: Sequence[Any]) -> int:
    """The FLOPs of one sum over all of its indices."""
    if not args or not isinstance(args[0], str) or "." in args[0]:
        return 0
    operands = args[1] if isinstance(args[1], list | tuple) else args[1:]
    terms = args[0].replace(" ", "").partition("->")[0].split(",")
    sizes = {
        index: size
        for term, operand in zip(terms, operands, strict=True)
        for index, size in zip(term, operand.shape, strict=True)
    }
    return 2 * math.prod(sizes.values()) if len(terms) > 1 else 0
