"""The operations of torch below its modules and functions, by how units pass through them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

SAME = {"alias", "clone", "detach", "_to_copy", "lift_fresh", "contiguous", "to", "dropout"}
# Operations that only move values: each is done to the numbers of the units as well.
RESHAPES = {"view", "_unsafe_view", "reshape", "_reshape_alias"}
MOVES = {
    *("permute", "transpose", "t", "unsqueeze", "squeeze", "expand", "select", "slice", "narrow"),
    *("unbind", "split", "chunk", "split_with_sizes", "flip", "roll", "repeat", "unfold"),
    *("constant_pad_nd", "reflection_pad1d", "reflection_pad2d", "replication_pad2d"),
    *("diagonal", "index", "index_select", "repeat_interleave"),
    *("pixel_shuffle", "pixel_unshuffle", "channel_shuffle"),
    *RESHAPES,
}
JOINS = {"cat", "concat", "stack"}
CONVOLUTIONS = {"convolution", "_convolution", "mkldnn_convolution", "conv2d"}
LINEAR = {"mm", "addmm", "linear", "matmul"}
POOLS = {
    *("max_pool2d", "max_pool2d_with_indices", "mkldnn_max_pool2d", "adaptive_max_pool2d"),
    *("avg_pool2d", "adaptive_avg_pool2d", "_adaptive_avg_pool2d", "mkldnn_adaptive_avg_pool2d"),
    *("upsample_nearest2d", "_upsample_nearest_exact2d", "upsample_bilinear2d"),
    *("upsample_bicubic2d", "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa"),
}
REDUCTIONS = {
    *("mean", "sum", "amax", "amin", "max", "min", "var", "std", "var_mean", "std_mean"),
    *("logsumexp", "linalg_vector_norm", "norm", "prod", "median"),
}
SPREAD = {"softmax", "_softmax", "log_softmax", "_log_softmax"}  # over one axis, in place of it
BATCH_NORMS = {
    *("native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training"),
    *("cudnn_batch_norm", "miopen_batch_norm", "_batch_norm_no_update", "batch_norm"),
}
LAYER_NORMS = {"native_layer_norm", "layer_norm", "_fused_rms_norm", "rms_norm"}
ATTENTION = {
    *("_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_flash_attention"),
    *("_scaled_dot_product_efficient_attention", "_scaled_dot_product_cudnn_attention"),
    *("_scaled_dot_product_fused_attention_overrideable", "scaled_dot_product_attention"),
}
# Those of single values that torch does not mark as such.
SINGLE = {
    *("hardtanh", "relu6", "hardswish", "hardsigmoid", "where", "masked_fill", "rrelu"),
    *("prelu", "_prelu_kernel", "rrelu_with_noise"),
}


def base_of(name: str) -> str:
    """The name of an operation without the mark of one in place."""
    return name[:-1] if name.endswith("_") and not name.endswith("__") else name


def is_pointwise(func: Any, base: str) -> bool:
    """Whether an operation treats each value by itself, in this form or not in place."""
    if torch.Tag.pointwise in func.tags or base in SINGLE:
        return True
    packet: Any = getattr(torch.ops.aten, base, None)
    overloads: Callable[[], list[str]] = getattr(packet, "overloads", list)
    return any(torch.Tag.pointwise in getattr(packet, name).tags for name in overloads())


# --- their arguments and results ------------------------------------------------------------------


def flat(values: Iterable[Any]) -> list[Any]:
    """Arguments, with those in lists."""
    found: list[Any] = []
    for value in values:
        found += flat(value) if isinstance(value, list | tuple) else [value]
    return found


def first(found: Any) -> Tensor:
    """The only result of an operation, or the first."""
    value: Tensor = found[0] if isinstance(found, list | tuple) else found
    return value


def several(found: Any) -> list[Any]:
    """The results of an operation."""
    return list(found) if isinstance(found, list | tuple) else [found]


def axes_of(args: Sequence[Any], named: Mapping[str, Any], count: int) -> list[int]:
    """The axes that a reduction is over; all if it names none.

    Args:
        args: its arguments by position, without those before the axes.
        named: those by keyword.
        count: of the axes of what it reduces.
    """
    numbers = (a for a in args if isinstance(a, int | list | tuple) and not isinstance(a, bool))
    given = named.get("dim", next(numbers, None))
    if given is None or given == []:
        return list(range(count))
    return [given] if isinstance(given, int) else list(given)
