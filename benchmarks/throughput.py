"""Images per second in training, compared with two other loops and with the machine's own rate.

python benchmarks/throughput.py --write docs/performance.md
python benchmarks/throughput.py --compared speednet resnet9 resnet20 cnn

The machine's rate is that of a product of two 4096×4096 matrices, in bf16 if the machine multiplies
in it. A network's share of the rate is computed from the floating-point operations of a forward and
a backward pass, counted as three forward passes. It is measured for one job on all threads, like
the other loops, and for as many jobs with one thread each, as the workflow runs them. Operations
other than products, above all normalisation, are limited by the speed of memory and keep a network
below the rate. So the table also shows the share of a pass that convolutions and matrix products
take, from torch's profiler. Shares are measured for every network; the other loops run on those of
`--compared`.

Each pass is a separate process, because a job's allocator is configured when it starts. It is timed
after a few steps have mapped its memory. The page has one place for machines with bf16 and one for
machines without: the possible gain differs, so the figures of one do not apply to the other.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from threading import Barrier

import torch
from loops import FAST, LOOPS, OWN, PRECISION, warm
from sandbox import in_a_process, machine, run, spread

from skeletons.networks.describe import describe
from skeletons.training.job import start

NETWORKS = (("speednet", 64), ("resnet9", 16), ("resnet20", 16), ("cnn", 32))
BATCH = 500
PRODUCTS = ("aten::mkldnn_convolution", "aten::convolution_backward", "aten::addmm", "aten::mm")


def matrix_rate(repeats: int) -> list[float]:
    """FLOP/s of a product of 4096×4096 matrices in the fast precision, for each repetition."""
    a, b = (torch.randn(4096, 4096).to(FAST) for _ in range(2))
    a @ b
    rates = []
    for _ in range(repeats):
        begun = time.perf_counter()
        a @ b
        rates.append(2 * 4096**3 / (time.perf_counter() - begun))
    return rates


def images_per_second(
    loop: str, name: str, width: int, count: int, threads: int, ready: Barrier | None = None
) -> float:
    """Images per second of one pass over `count` images by a loop, with optimiser steps.

    With `ready`, the pass starts when all processes that share the barrier have reached it.
    """
    torch.set_num_threads(threads)
    if loop == OWN:
        start(0, threads, "cpu")  # like every training job
    run_pass = warm(loop, name, width, BATCH, count)
    if ready is not None:
        ready.wait()
    begun = time.perf_counter()
    run_pass()
    return count / (time.perf_counter() - begun)


def jobs_at_once(name: str, width: int, count: int, jobs: int) -> float:
    """Total images per second of several jobs of this library at once, with one thread each."""
    spawn = multiprocessing.get_context("spawn")
    with spawn.Manager() as manager, ProcessPoolExecutor(jobs, mp_context=spawn) as pool:
        ready = manager.Barrier(jobs)
        passes = [
            pool.submit(images_per_second, OWN, name, width, count, 1, ready) for _ in range(jobs)
        ]
        return sum(job.result() for job in passes)


def share_of_products(name: str, width: int, count: int, threads: int) -> float:
    """The share of convolutions and matrix products in the time of a pass by this library."""
    torch.set_num_threads(threads)
    start(0, threads, "cpu")
    run_pass = warm(OWN, name, width, BATCH, count)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        run_pass()
    spent = {event.key: event.self_cpu_time_total for event in profile.key_averages()}
    return sum(spent.get(operation, 0.0) for operation in PRODUCTS) / sum(spent.values())


def measure(options: argparse.Namespace, folder: Path) -> str:
    """Measure every loop on each network and return the tables."""
    torch.set_num_threads(options.threads)
    rates, lines = [], ["| network | loop | images/s, median | range | speed-up |"]
    lines.append("|---|---|---|---|---|")
    shares = [
        f"| network | GFLOP per image | share of the machine's rate, one job with "
        f"{options.threads} threads | {options.threads} jobs with one thread each, "
        "images/s | share of the rate | time in convolutions and products |"
    ]
    shares.append("|---|---|---|---|---|---|")
    for name, width in NETWORKS:
        loops = list(LOOPS) if name in options.compared else [OWN]
        seen: dict[str, list[float]] = {loop: [] for loop in loops}
        several, alone, together = [], [], []
        for _ in range(options.repeats):  # interleaved, so that other load affects all
            for loop in loops:
                seen[loop].append(
                    in_a_process(
                        images_per_second, loop, name, width, options.images, options.threads
                    )
                )
                if loop == OWN:
                    rate = matrix_rate(3)
                    several.append(jobs_at_once(name, width, options.images, options.threads))
                    rates.extend(rate)
                    alone.append(seen[loop][-1] / statistics.median(rate))
                    together.append(several[-1] / statistics.median(rate))
        flops = 3 * describe(LOOPS[OWN].build(name, width, 0))["flops"]
        own = statistics.median(seen[OWN])
        for loop, values in seen.items():
            middle = statistics.median(values)
            ratio = "" if loop == OWN else f"{own / middle:.2f} ×"
            lines.append(
                f"| `{name}`, width {width} | {loop} | {middle:,.0f} | {spread(values)} | {ratio} |"
            )
        one, many = (flops * statistics.median(found) for found in (alone, together))
        products = in_a_process(share_of_products, name, width, options.images, options.threads)
        shares.append(
            f"| `{name}`, width {width} | {flops / 1e9:.3f} | {one:.0%} | "
            f"{statistics.median(several):,.0f} ({spread(several)}) | {many:.0%} | {products:.0%} |"
        )
    return "\n".join(
        [
            *lines,
            "",
            f"The machine multiplies two 4096×4096 matrices in {PRECISION} at "
            f"{statistics.median(rates) / 1e9:,.0f} GFLOP/s ({spread([r / 1e9 for r in rates])}).",
            "",
            *shares,
            "",
            f"Batches of {BATCH}, {options.images:,} images per pass, n = {options.repeats}, "
            f"interleaved, {options.threads} threads; {machine()}.",
        ]
    )


if __name__ == "__main__":
    run(
        __doc__,
        f"throughput_{PRECISION}",
        measure,
        compared=("speednet", "resnet9"),
        repeats=2,
        images=2000,
        threads=2,
    )
