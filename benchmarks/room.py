"""What it costs a walk to stay within its room: the loss is measured every few steps.

python benchmarks/room.py --write docs/performance.md

One epoch of a walk within a room (`regularize.room`), by which the loss is measured on the same
2,000 training images every few steps. The time of these looks is added up, so the rest is the same
walk without them. A walk of the same settings without a room, in turn, shows what its steps cost.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import stages
from sandbox import in_a_process, machine, run, spread

from skeletons.config.sections import Regularize

NETWORKS = (("speednet", 32), ("resnet9", 16), ("cnn", 32))
ROOM = 0.05  # nats


def walked(
    data: tuple[str, str], origin: Path, place: Path, room: float | None
) -> tuple[float, float]:
    """Seconds of a walk of one epoch, and of its looks at the loss; without start-up."""
    from skeletons.training import ridge, walk

    spent, looked = [0.0], ridge.Ridge.look

    def look(self: ridge.Ridge) -> bool:
        begun = time.perf_counter()
        found = looked(self)
        spent[0] += time.perf_counter() - begun
        return found

    ridge.Ridge.look = look  # type: ignore[method-assign]
    place.mkdir(parents=True, exist_ok=True)
    files = stages.FILES
    changed = {"room": room, "batch_size": 250, "learning_rate": 0.001, "trace": 0}
    settings = {**Regularize().model_dump(exclude={"lambdas", "epochs"}), **changed}
    begun = time.perf_counter()
    walk.regularize_stage(
        dataset=data[0],
        base=str(origin / files["weights"]),
        parent_weights=str(origin / files["weights"]),
        parent_summary=str(origin / files["summary"]),
        **{key: str(place / name) for key, name in files.items()},
        seed=1,
        l1=1e-3 if room else 1e-4,
        after=0,
        epochs=1,
        regularize=settings,
        device="cpu",
        precision="auto",
        threads=1,
    )
    return time.perf_counter() - begun, spent[0]


def measure(options: argparse.Namespace, folder: Path) -> str:
    """Measure each network with and without a room, in turn, and return the table."""
    data = stages.shapes(folder, options.images)
    lines = [
        "| network | walk without looks, s | with looks, s | ratio | without a room, s |",
        "|---|---|---|---|---|",
    ]
    for name, width in NETWORKS:
        origin = folder / name
        about = {"name": name, "width": width}
        stages.finish(stages.base(origin, data, about, 1, epochs=1, learning_rate=0.01))
        plain, without, within = [], [], []
        for _ in range(options.repeats):  # in turn, so that other load affects both
            whole, looks = in_a_process(walked, data, origin, folder / "a", ROOM)
            within.append(whole)
            without.append(whole - looks)
            plain.append(in_a_process(walked, data, origin, folder / "b", None)[0])
        ratios = [whole / rest for whole, rest in zip(within, without, strict=True)]
        middle = [statistics.median(some) for some in (without, within, plain)]
        lines.append(
            f"| `{name}`, width {width} | {middle[0]:.1f} | {middle[1]:.1f} | "
            f"{statistics.median(ratios):.2f} ({spread(ratios)}) | {middle[2]:.1f} |"
        )
    return "\n".join(lines) + (
        f"\n\n{options.images:,} images, batches of 250, one thread, median of n = "
        f"{options.repeats}; {machine()}."
    )


if __name__ == "__main__":
    run(__doc__, "room", measure, images=10_000, repeats=3)
