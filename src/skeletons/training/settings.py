"""The settings of training, with one field for each key of the config's sections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class BaseSettings:
    """How a base model is trained; the config's `base` documents each field."""

    epochs: int
    batch_size: int
    optimizer: str
    learning_rate: float
    momentum: float
    weight_decay: float
    label_smoothing: float
    warmup: float
    augment: Mapping[str, Any]


@dataclass(frozen=True)
class RegularizeSettings:
    """How a model is regularised; the config's `regularize` documents each field."""

    optimizer: str
    penalty: str
    learning_rate: float
    momentum: float
    batch_size: int
    trace: int
    augment: Mapping[str, Any]
    room: float | None = None
    groups: str = "weights"
