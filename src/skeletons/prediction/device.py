"""Where and how networks compute: the device, the precision and the threads."""

from __future__ import annotations

import functools

import torch

from skeletons.errors import DeviceError

# The capabilities of processors that multiply in bf16: Intel and AMD, Intel's tiles, ARM.
BF16 = ("avx512_bf16", "amx_bf16", "bf16")


def pick_device(name: str) -> torch.device:
    """The device that `auto`, `cpu` or `cuda` stands for on this machine.

    From then on, a GPU that is asked for fp32 computes convolutions in fp32 as well: by
    default they run in TF32, of which 10 bits are exact.

    Raises:
        DeviceError: `cuda` is requested, but not available.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise DeviceError(
            "compute.device: found cuda, but no CUDA device is available; allowed: auto, cpu."
        )
    if name == "cuda":
        torch.backends.cudnn.allow_tf32 = False
    return torch.device(name)


@functools.cache
def pick_precision(name: str, device: torch.device) -> str:
    """The precision that `auto`, `bf16` or `fp32` stands for on a device of this machine.

    `auto` is bf16 if the device multiplies in bf16. Otherwise it is fp32, because emulated bf16
    takes ten times as long (https://github.com/pytorch/pytorch/issues/118499).
    """
    if name != "auto":
        return name
    if device.type == "cuda":
        able = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has = torch.cpu.get_capabilities()
        able = torch.backends.mkldnn.is_available() and any(map(has.get, BF16))  # type: ignore[no-untyped-call]
    return "bf16" if able else "fp32"


def processor(device: torch.device) -> dict[str, object]:
    """What is known of a device that may change the bits of its results; plain JSON values."""
    if device.type == "cuda":
        return {
            "name": torch.cuda.get_device_name(device),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        }
    has = torch.cpu.get_capabilities()
    return {
        # Their number does not matter: the number of threads is part of every recipe.
        **{name: value for name, value in has.items() if not name.startswith("num_")},
        "vectors": torch.backends.cpu.get_cpu_capability(),
    }


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """A block that computes in a precision, see `pick_precision`; weights stay in fp32."""
    enabled = pick_precision(precision, device) == "bf16"
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def use_one_thread() -> None:
    """Compute in the calling thread only.

    Snakemake's own process runs as many stages at once as there are cores, and their results must
    not depend on the number of threads.
    """
    torch.set_num_threads(1)
