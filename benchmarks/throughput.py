"""How many images a second training takes, against two other loops and the machine's own rate.

python benchmarks/throughput.py --write docs/performance.md
python benchmarks/throughput.py --compared speednet resnet9 resnet20 cnn

The rate of the machine is that of a product of two 4096×4096 matrices, in bf16 where the machine
has it; the share of it is of the floating-point operations counted for a forward and a backward
pass (three forward passes). It is taken of one job on all threads, as the other loops run, and of
as many jobs of one thread at once, as the workflow runs them. What keeps a network from the rate is
what it does besides products, normalisation above all, which is as slow as memory is: so the share
of a pass that convolutions and matrix products take is given too, by torch's profiler. Shares are
of every network; the other loops run on those of `--compared`.

Each pass is a process of its own, as a job's allocator is set when it begins, and is timed once a
few steps have mapped its memory in. The page has a place for machines with bf16 and one for those
without: what either can win differs, so one's figures say nothing of the other's.
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
    """FLOP/s of a product of 4096×4096 matrices in the fast precision, each time it was tried."""
    a, b = (torch.randn(4096, 4096).to(FAST) for _ in range(2))
    a @ b
    rates = []
    for _ in range(repeats):
        begun = time.perf_counter()
        a @ b
        rates.append(2 * 4096**3 / (time.perf_counter() - begun))
    return rates


def images_a_second(
    loop: str, name: str, width: int, count: int, threads: int, ready: Barrier | None = None
) -> float:
    """Of one pass over `count` images by a loop, the optimiser's steps included.

    With `ready`, the pass begins when all the processes that share it are there.
    """
    torch.set_num_threads(threads)
    if loop == OWN:
        start(0, threads, "cpu")  # as every training job begins
    run_pass = warm(loop, name, width, BATCH, count)
    if ready is not None:
        ready.wait()
    begun = time.perf_counter()
    run_pass()
    return count / (time.perf_counter() - begun)


def jobs_at_once(name: str, width: int, count: int, jobs: int) -> float:
    """Images a second of so many jobs of this library together, each in one thread."""
    spawn = multiprocessing.get_context("spawn")
    with spawn.Manager() as manager, ProcessPoolExecutor(jobs, mp_context=spawn) as pool:
        ready = manager.Barrier(jobs)
        passes = [
            pool.submit(images_a_second, OWN, name, width, count, 1, ready) for _ in range(jobs)
        ]
        return sum(job.result() for job in passes)


def share_of_products(name: str, width: int, count: int, threads: int) -> float:
    """Of the time of a pass by this library's loop, that of convolutions and matrix products."""
    torch.set_num_threads(threads)
    start(0, threads, "cpu")
    run_pass = warm(OWN, name, width, BATCH, count)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        run_pass()
    spent = {event.key: event.self_cpu_time_total for event in profile.key_averages()}
    return sum(spent.get(operation, 0.0) for operation in PRODUCTS) / sum(spent.values())


def measure(options: argparse.Namespace, folder: Path) -> str:
    """Every loop on each network, and their table."""
    torch.set_num_threads(options.threads)
    rates, lines = [], ["| network | loop | images/s, median | least to most | ours is |"]
    lines.append("|---|---|---|---|---|")
    shares = [
        f"| network | GFLOP an image | share of the rate, a job of {options.threads} threads | "
        f"{options.threads} jobs of one thread, images/s | share | time in products |"
    ]
    shares.append("|---|---|---|---|---|---|")
    for name, width in NETWORKS:
        loops = list(LOOPS) if name in options.compared else [OWN]
        seen: dict[str, list[float]] = {loop: [] for loop in loops}
        several, alone, together = [], [], []
        for _ in range(options.repeats):  # in turn, so that a busy moment hits all alike
            for loop in loops:
                seen[loop].append(
                    in_a_process(
                        images_a_second, loop, name, width, options.images, options.threads
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
            f"Batches of {BATCH}, {options.images:,} images a pass, n = {options.repeats}, "
            f"in turn, {options.threads} threads; {machine()}.",
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
