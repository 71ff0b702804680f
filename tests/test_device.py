"""The meaning of `auto` on this machine and on others."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch.nn.functional import linear

from skeletons.prediction.device import autocast, pick_precision, use_one_thread

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(autouse=True)
def _clear_cache() -> Iterator[None]:
    pick_precision.cache_clear()
    yield
    pick_precision.cache_clear()


@pytest.mark.parametrize(
    ("has", "precision"),
    [
        ({"architecture": "x86_64", "avx512_bf16": True}, "bf16"),
        ({"architecture": "x86_64", "avx512_bf16": False, "amx_bf16": True}, "bf16"),
        ({"architecture": "x86_64", "avx2": True, "avx512_f": True}, "fp32"),
        ({"architecture": "aarch64", "bf16": True}, "bf16"),
        ({"architecture": "aarch64", "bf16": False}, "fp32"),
    ],
)
def test_a_processor_that_has_bf16_trains_in_it(
    monkeypatch: pytest.MonkeyPatch, has: dict[str, object], precision: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    assert pick_precision("auto", CPU) == precision
    with autocast("auto", CPU):
        found = linear(torch.ones(1, 2), torch.ones(3, 2)).dtype
    assert found == {"bf16": torch.bfloat16, "fp32": torch.float32}[precision]


@pytest.mark.parametrize("able", [True, False])
def test_a_gpu_that_does_not_emulate_bf16_trains_in_it(
    monkeypatch: pytest.MonkeyPatch, able: bool
) -> None:
    def supported(*, including_emulation: bool) -> bool:
        return including_emulation or able

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert pick_precision("auto", CUDA) == ("bf16" if able else "fp32")


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_a_named_precision_is_used(monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    assert pick_precision(precision, CPU) == precision


def test_a_stage_in_snakemake_s_process_computes_in_its_own_thread_alone() -> None:
    before = torch.get_num_threads()

    def threads() -> int:
        use_one_thread()
        return torch.get_num_threads()

    try:
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(threads).result() == 1
    finally:
        torch.set_num_threads(before)
