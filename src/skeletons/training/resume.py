"""Going on after an interruption: the state of a training job, kept after its epochs.

A state holds all that the next epoch starts from: weights and buffers, the optimiser's state, the
rows of the history, the recorded walk, and torch's random generators. (The order of images, their
augmentation and layers such as dropout draw from generators named by seed and epoch, and need no
state.) Training that goes on from it gives bit for bit the result of an undisturbed run.

A state is used only if it is whole, and was made by the same recipe (its file is named by it, see
`store.unfinished`) on the same kind of processor in the same precision. Otherwise training starts
from the beginning.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from skeletons.errors import ArtifactError
from skeletons.prediction.device import pick_precision, processor
from skeletons.store import artifacts, unfinished
from skeletons.training.epochs import Row, report_epoch
from skeletons.training.optimizers import Optimizer, parts_of

ABOUT = "about"  # the tensor that holds the description of the others, as JSON
SHARE = 0.01  # of the time since the last writing that the next may take …
FREE = 0.5  # … once all writings of a job took this many seconds


@dataclass(frozen=True)
class StateFile:
    """Where a job keeps its state, and what must be equal for the state to be used.

    Attributes:
        path: None if no state is kept.
        machine: the processor and the precision.
    """

    path: Path | None = None
    machine: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_job(cls, output: str, place: torch.device, precision: str) -> StateFile:
        """The file of the running job; no file outside a job.

        Args:
            output: one of the job's output files.
            place: the device that trains.
            precision: `auto`, `bf16` or `fp32`.
        """
        machine = {**processor(place), "precision": pick_precision(precision, place)}
        return cls(unfinished.running(output), machine)


class Recorded(Protocol):
    """The recorded positions of a walk."""

    def points_so_far(self) -> Tensor: ...

    def go_on_from(self, points: Tensor) -> None: ...


class _UnusableError(Exception):
    """A state cannot be used; the message is the end of a sentence that begins with its path."""


class Progress:
    """The progress of one training job, which can be kept and restored."""

    def __init__(
        self,
        file: StateFile | None,
        network: nn.Module,
        optimizer: Optimizer,
        walk: Recorded | None = None,
        also: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Begin at the network's current weights.

        Args:
            file: where the state is kept; None to keep none.
            network: the network that is trained.
            optimizer: of its parameters.
            walk: the recorded walk, if one is recorded.
            also: further tensors that training changes in place, by name.
        """
        self.file = file or StateFile()
        self.network, self.optimizer, self.walk = network, optimizer, walk
        self.also = dict(also or {})
        self._hidden = _hidden_values(network)
        self._costs: deque[float] = deque(maxlen=3)  # seconds that the last writings took
        self._spent = 0.0  # seconds that all writings took
        self._kept = time.monotonic()

    def resume(self, epochs: range, where: Callable[[int], str]) -> list[Row]:
        """Restore the kept state, if there is one that can be used.

        The log then shows the epochs so far as if they had just been trained.

        Args:
            epochs: the numbers of all epochs of the job.
            where: the model and epoch for the log, by the number of the epoch.

        Returns:
            One row for each epoch that need not be trained again.
        """
        if self.file.path is None or not self.file.path.is_file():
            return []
        try:
            rows, tensors = self._read(self.file.path, len(epochs))
        except _UnusableError as error:
            print(f"Training starts from the beginning: {self.file.path} {error}.", flush=True)
            return []
        self._restore(tensors)
        for row in rows:
            report_epoch(where(row["epoch"]), row)
        print(f"{unfinished.RESUMED} {epochs[len(rows) - 1]} of {epochs[-1]}.", flush=True)
        self._kept = time.monotonic()
        return rows

    def begin(self, trunk: str | None, epochs: range, where: Callable[[int], str]) -> list[Row]:
        """Begin at a state that another training has written, see `write`.

        Args:
            trunk: the file; None for no such state.
            epochs: as in `resume`.
            where: as there.

        Returns:
            The rows of that training; none if its state cannot be used, because it is of another
            kind of processor, for example. Then training starts from the beginning.
        """
        own, self.file = self.file, replace(self.file, path=None if trunk is None else Path(trunk))
        try:
            return self.resume(epochs, where)
        finally:
            self.file = own

    def write(self, path: str, rows: list[Row]) -> None:
        """Write the state into a file, for another training to begin at.

        Args:
            path: the file.
            rows: one for each epoch so far.
        """
        _write(Path(path), self._tensors(), {"machine": self.file.machine, "rows": rows})

    def keep(self, rows: list[Row]) -> None:
        """Keep the state after an epoch, unless that would slow training noticeably.

        Writing takes at most `SHARE` of the training time and `FREE` seconds more. If an epoch is
        too short for that, the state is kept after a later one.

        Args:
            rows: one for each epoch so far.
        """
        path = self.file.path
        if path is None or not self._affordable():
            return
        if _hidden_values(self.network) != self._hidden:
            print(
                "The network keeps values outside of its parameters and buffers, so this training "
                "cannot be resumed."
            )
            self.file = StateFile()
            return
        began = time.monotonic()
        try:
            _write(path, self._tensors(), {"machine": self.file.machine, "rows": rows})
        except ArtifactError as error:
            print(f"The state after this epoch is not kept: {error}", flush=True)
        self._kept = time.monotonic()
        self._spent += self._kept - began
        self._costs.append(self._kept - began)

    def _affordable(self) -> bool:
        cost = min(self._costs, default=0.0)
        return self._spent + cost <= FREE or cost <= SHARE * (time.monotonic() - self._kept)

    def _tensors(self) -> dict[str, Tensor]:
        """All tensors of the state by name."""
        optimizer = {
            f"optimizer {part} {number} {quantity}": tensor
            for part, each in enumerate(parts_of(self.optimizer))
            for number, parameter in enumerate(_parameters(each))
            for quantity, tensor in each.state.get(parameter, {}).items()
            if tensor is not None
        }
        walk = {} if self.walk is None else {"walk": self.walk.points_so_far()}
        return {**self._own(), **optimizer, **walk, **_generators()}

    def _own(self) -> dict[str, Tensor]:
        """The tensors that are restored in place."""
        return {**_values(self.network), **{f"also {name}": t for name, t in self.also.items()}}

    def _read(self, path: Path, epochs: int) -> tuple[list[Row], dict[str, Tensor]]:
        """The rows and tensors of a state that fits this job.

        Raises:
            _UnusableError: it is broken or does not fit.
        """
        about, tensors = _read(path)
        if about["machine"] != json.loads(json.dumps(self.file.machine)):
            raise _UnusableError("was kept on another kind of processor or in another precision")
        own = self._own()
        fits = all(_form(tensors.get(name)) == _form(tensor) for name, tensor in own.items())
        if not fits or len(about["rows"]) > epochs:
            raise _UnusableError("holds the state of another training")
        return about["rows"], tensors

    @torch.no_grad()
    def _restore(self, tensors: Mapping[str, Tensor]) -> None:
        for name, tensor in self._own().items():
            tensor.copy_(tensors[name])
        parts = parts_of(self.optimizer)
        for part in parts:
            part.state.clear()
        for name, tensor in tensors.items():
            if name.startswith("optimizer "):
                _, number, parameter, quantity = name.split(" ")
                part = parts[int(number)]
                part.state[_parameters(part)[int(parameter)]][quantity] = tensor
        if self.walk is not None:
            self.walk.go_on_from(tensors["walk"])
        _set_generators(tensors)


def _values(network: nn.Module) -> dict[str, Tensor]:
    """A network's parameters and buffers by name, also the buffers that its file leaves out."""
    named = [*network.named_parameters(), *network.named_buffers()]
    return {f"network {name}": tensor.detach() for name, tensor in named}


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _form(tensor: Tensor | None) -> object:
    return None if tensor is None else (tensor.shape, tensor.dtype)


def _generators() -> dict[str, Tensor]:
    """The states of torch's own generators, which user-defined layers may draw from."""
    states = {"random cpu": torch.get_rng_state()}
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        states["random cuda"] = torch.cuda.get_rng_state()
    return states


def _set_generators(tensors: Mapping[str, Tensor]) -> None:
    torch.set_rng_state(tensors["random cpu"])
    if "random cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random cuda"])


def _write(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write a state: each tensor as bytes, with its layout in the description.

    The layout is part of the state because an optimiser's step reads tensors in memory order.
    """
    forms = {
        name: {
            "dtype": str(tensor.dtype).removeprefix("torch."),
            "shape": list(tensor.shape),
            "stride": list(tensor.stride()),
            "device": tensor.device.type,
        }
        for name, tensor in tensors.items()
    }
    text = json.dumps({**about, "tensors": forms}).encode()
    content = {
        name: tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        for name, tensor in tensors.items()
    }
    artifacts.write_tensors(path, {**content, ABOUT: np.frombuffer(text, np.uint8)})


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The description and the tensors of a state, each on its device and in its layout.

    Raises:
        _UnusableError: the file is broken, or is not a state.
    """
    try:
        content = artifacts.read_tensors(path)
        about = json.loads(content[ABOUT].tobytes())
        tensors = {name: _tensor(content[name], form) for name, form in about["tensors"].items()}
        whole = bool(about["rows"]) and "machine" in about
    except (ArtifactError, KeyError, TypeError, ValueError, AttributeError, RuntimeError):
        whole = False
    if not whole:
        raise _UnusableError("is damaged, or is not the state of this training")
    return about, tensors


def _tensor(content: artifacts.Array, form: Mapping[str, Any]) -> Tensor:
    """A tensor from its bytes."""
    plain = torch.from_numpy(content).clone().view(getattr(torch, form["dtype"]))
    made = torch.empty_strided(
        form["shape"], form["stride"], dtype=plain.dtype, device=form["device"]
    )
    return made.copy_(plain.reshape(form["shape"]))


_STANDARD = frozenset(vars(nn.Module()))


def _hidden_values(network: nn.Module) -> list[object]:
    """The values that layers keep outside of parameters and buffers, in a form to compare.

    No state holds them. Layers may have such values, but a layer that changes one during training,
    such as a counter in Python, cannot be restored.
    """
    known = {id(tensor) for tensor in (*network.parameters(), *network.buffers())}
    return [
        (name, key, _token(value, known))
        for name, module in network.named_modules()
        for key, value in vars(module).items()
        if key not in _STANDARD
    ]


def _token(value: object, known: set[int]) -> object:
    if isinstance(value, bool | int | float | str | None):
        return repr(value)
    if isinstance(value, list | tuple | set):
        return [_token(item, known) for item in value]
    if isinstance(value, dict):
        return [(str(key), _token(item, known)) for key, item in value.items()]
    version = value._version if isinstance(value, Tensor) and id(value) not in known else 0
    return id(value), version
