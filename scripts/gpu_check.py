"""How fast this project is on a GPU, in one command: prints one table and writes one JSON file.

python scripts/gpu_check.py
python scripts/gpu_check.py --device cpu --small

It needs this repository and PyTorch 2.11 or newer with torchvision, pandas and pyarrow; neither an
installation nor Snakemake. On one card it takes less than ten minutes:

- `throughput`: images per second of `speednet`, by this library and by airbench's recipe with
  weights in bf16, in turn, and the share of the card's rate for products of matrices.
- `together`: images per second of several small networks on one card: one network, one process for
  each network, one stream for each, and all as one by `torch.func.vmap`.
- `post_scale`: two bases with walks of 16 epochs, 50 pruned models, their predictions, and all
  1,326 pairs. Every training job has its own process, as in the workflow. Findings, figures and
  report, which need no GPU, are left out.

A part that fails is named in the table with its error, and the others go on.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "benchmarks")]
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it, cuBLAS varies

import bare  # noqa: E402

MISSING = bare.install()

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from skeletons.model_ids import WALKED_AT_ONCE  # noqa: E402
from skeletons.prediction.device import pick_precision  # noqa: E402

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)
SEEDS, L1 = (1, 2), 1e-4
EPOCHS, THRESHOLDS = (1, 2, 4, 8, 16), (0.02, 0.05, 0.1, 0.2, 0.5)
AUGMENT = {"flip": True, "shift": 4, "cutout": 0}
RATE = 0.01  # of plain SGD, where networks are trained side by side
# The base of `experiments/speednet.yaml`.
SPEEDNET = {"optimizer": "muon", "learning_rate": 0.025, "momentum": 0.6, "weight_decay": 0.5}
SPEEDNET |= {"label_smoothing": 0.2, "warmup": 0.0, "batch_size": 1000}
Row = tuple[str, str]


def wait(device: torch.device) -> None:
    """Wait until a GPU has done everything."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(device: torch.device, work: Callable[[], object]) -> float:
    """The seconds that some work takes."""
    wait(device)
    begun = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - begun


def noise(count: int, device: torch.device) -> Any:
    """Images of noise: their content does not change how long a step takes."""
    from skeletons.training.images import Images

    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (count, 3, 32, 32), generator=draw).byte().to(device)
    return Images(pixels, torch.randint(10, (count,), generator=draw).to(device))


def defaults(section: str) -> dict[str, Any]:
    """The defaults of a section of the configuration, from its schema."""
    schema = json.loads((ROOT / "workflow_config.schema.json").read_text(encoding="utf-8"))
    keys = schema["$defs"][section]["properties"]
    return {key: about["default"] for key, about in keys.items()}


def base_settings(**changed: Any) -> dict[str, Any]:
    """The settings of a base: the defaults, with some changed."""
    found = {**defaults("Base"), **changed}
    return {key: value for key, value in found.items() if key not in ("seeds", "target")}


def walk_settings(**changed: Any) -> dict[str, Any]:
    """The settings of a walk: the defaults, with some changed."""
    found = {**defaults("Regularize"), **changed}
    return {key: value for key, value in found.items() if key not in ("lambdas", "epochs")}


# --- speednet -------------------------------------------------------------------------------------


def own_pass(options: argparse.Namespace, images: Any) -> Callable[[int], None]:
    """A pass over the images by this library, with its Muon."""
    from skeletons.networks.build import build, prepare
    from skeletons.networks.generators import generator_for
    from skeletons.training.epochs import run_epoch
    from skeletons.training.images import batches
    from skeletons.training.optimizers import base_optimizer
    from skeletons.training.settings import BaseSettings

    network = build("speednet", options.width, 10, MEAN, STD).to(images.pixels.device)
    prepare(network, images.sample(1000).pixels)
    settings = BaseSettings(**base_settings(**SPEEDNET))
    optimizer = base_optimizer(network, settings)

    def run(number: int) -> None:
        draw = generator_for("pass", number)
        run_epoch(
            network,
            batches(images, options.batch, draw, {**AUGMENT, "shift": 2}),
            optimizer.step,
            layers=generator_for("layers", number),
            precision="auto",
            where="The pass",
            label_smoothing=settings.label_smoothing,
        )

    return run


def airbench_pass(options: argparse.Namespace, images: Any) -> Callable[[int], None]:
    """A pass by airbench's recipe: weights in bf16, an epoch augmented at once, its optimisers."""
    from airbench_recipe import Recipe
    from loops import airbench_network, over, whole_epoch

    device = images.pixels.device
    fast = torch.bfloat16 if pick_precision("auto", device) == "bf16" else torch.float32
    network = airbench_network("speednet", options.width, 0, fast).to(device)
    recipe = Recipe(network, max(1, len(images.labels) // options.batch))
    passed = over(whole_epoch)
    return lambda number: passed(network, images, options.batch, recipe.step, number)


def matrix_rate(device: torch.device, side: int, repeats: int = 5) -> float:
    """FLOP/s of a product of two square matrices in the fast precision, the median."""
    fast = torch.bfloat16 if pick_precision("auto", device) == "bf16" else torch.float32
    a, b = (torch.randn(side, side, device=device).to(fast) for _ in range(2))
    a @ b
    return statistics.median(2 * side**3 / seconds(device, lambda: a @ b) for _ in range(repeats))


def throughput(options: argparse.Namespace) -> tuple[dict[str, Any], list[Row]]:
    """Images per second of both loops, in turn."""
    from skeletons.networks.build import build
    from skeletons.networks.describe import describe

    device = torch.device(options.device)
    images = noise(options.images, device)
    sides = {"this library": own_pass, "airbench's recipe": airbench_pass}
    passes = {name: side(options, images) for name, side in sides.items()}
    for run in passes.values():
        run(0)
    found: dict[str, list[float]] = {name: [] for name in passes}
    for number in range(1, options.repeats + 1):
        for name, run in passes.items():
            found[name].append(options.images / seconds(device, lambda run=run, n=number: run(n)))
    middle = {name: statistics.median(values) for name, values in found.items()}
    own, other = middle.values()
    flops = 3 * describe(build("speednet", options.width, 10, MEAN, STD))["flops"]
    rate = matrix_rate(device, options.side)
    rows = [
        (f"speednet, width {options.width}: {name}", f"{middle[name]:,.0f} images/s ({span(v)})")
        for name, v in found.items()
    ]
    rows += [
        ("ratio", f"{own / other:.2f}"),
        ("products of matrices", f"{rate / 1e12:,.1f} TFLOP/s"),
        ("share of that rate", f"{own * flops / rate:.0%}"),
    ]
    return {"images_per_second": found, "flops_per_image": flops, "matrix_rate": rate}, rows


def span(values: Sequence[float]) -> str:
    """The smallest and the largest value, and their number."""
    return f"{min(values):,.0f} to {max(values):,.0f}, n = {len(values)}"


# --- several small networks on one card -----------------------------------------------------------


def small(options: argparse.Namespace, count: int, device: torch.device) -> list[nn.Module]:
    """Small networks with different initial weights."""
    from skeletons.networks.build import build

    made = [build("cnn", options.small_width, 10, MEAN, STD, seed=k) for k in range(count)]
    return [network.to(device) for network in made]


def loss_of(network: Callable[[Tensor], Tensor], pixels: Tensor, labels: Tensor) -> Tensor:
    """The loss on a batch, in the fast precision."""
    from skeletons.prediction.device import autocast

    with autocast("auto", pixels.device):
        logits = network(pixels)
    return F.cross_entropy(logits.float(), labels)


@torch.no_grad()
def descend(network: nn.Module) -> None:
    """A step of plain SGD."""
    for weight in network.parameters():
        if weight.grad is not None:
            weight -= RATE * weight.grad
            weight.grad = None


def steps_of(images: Any, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches in order; all ways to train side by side take the same."""
    pixels = images.pixels.contiguous(memory_format=torch.channels_last)
    return zip(pixels.split(size), images.labels.split(size), strict=True)


def one_by_one(networks: Sequence[nn.Module], images: Any, size: int) -> None:
    """Train the networks in turn, one step of each; on a GPU, each in its own stream."""
    cuda = images.pixels.device.type == "cuda" and len(networks) > 1
    streams = [torch.cuda.Stream() if cuda else None for _ in networks]
    for pixels, labels in steps_of(images, size):
        for network, stream in zip(networks, streams, strict=True):
            with torch.cuda.stream(stream):
                loss_of(network, pixels, labels).backward()
                descend(network)


def as_one(networks: Sequence[nn.Module], images: Any, size: int) -> None:
    """Train the networks as one, whose weights have one more dimension."""
    from torch.func import functional_call, grad, stack_module_state, vmap

    weights, buffers = stack_module_state(list(networks))
    shell = networks[0]

    def loss(own: dict[str, Tensor], fixed: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return loss_of(lambda pixels: functional_call(shell, (own, fixed), (pixels,)), x, y)

    slope = vmap(grad(loss), in_dims=(0, 0, None, None), randomness="different")
    current = {name: weight.detach() for name, weight in weights.items()}
    for pixels, labels in steps_of(images, size):
        slopes = slope(current, buffers, pixels, labels)
        current = {name: weight - RATE * slopes[name] for name, weight in current.items()}


def alone(options: argparse.Namespace) -> dict[str, float]:
    """The times at which a process begins and ends its pass, after a pass that warms it up.

    The pass begins when the file `--ready` exists, so that several processes begin together.
    """
    device = torch.device(options.device)
    images = noise(options.small_images, device)
    networks = small(options, 1, device)
    one_by_one(networks, images, options.small_batch)
    wait(device)
    Path(f"{options.ready}.{options.number}").touch()
    while not Path(options.ready).exists():
        time.sleep(0.005)
    begun = time.time()
    one_by_one(networks, images, options.small_batch)
    wait(device)
    return {"begun": begun, "ended": time.time()}


def in_processes(options: argparse.Namespace, count: int, folder: Path) -> float:
    """Images per second of so many processes, each with one network."""
    ready = folder / f"ready{count}"
    jobs = [
        call(options, "--alone", "--ready", str(ready), "--number", str(k)) for k in range(count)
    ]
    while len(list(folder.glob(f"{ready.name}.*"))) < count:
        if any(job.poll() for job in jobs):
            break
        time.sleep(0.01)
    ready.touch()
    times = [json.loads(finished(job).splitlines()[-1]) for job in jobs]
    taken = max(t["ended"] for t in times) - min(t["begun"] for t in times)
    return count * options.small_images / taken


def together(options: argparse.Namespace) -> tuple[dict[str, Any], list[Row]]:
    """Images per second of several small networks, in each way."""
    device, count = torch.device(options.device), options.networks
    images = noise(options.small_images, device)

    def rate(train: Callable[..., None], number: int) -> float:
        networks = small(options, number, device)
        train(networks, images, options.small_batch)
        spent = seconds(device, lambda: train(networks, images, options.small_batch))
        return number * options.small_images / spent

    def apart() -> float:
        with tempfile.TemporaryDirectory() as folder:
            return in_processes(options, count, Path(folder))

    ways: dict[str, Callable[[], float]] = {
        "one network": lambda: rate(one_by_one, 1),
        f"{count} processes": apart,
        f"{count} in turn, each in its stream": lambda: rate(one_by_one, count),
        f"{count} as one, by vmap": lambda: rate(as_one, count),
    }
    found = {}
    what = f"cnn, width {options.small_width}, batches of {options.small_batch}"
    rows, failed = [], {}
    for way, work in ways.items():
        try:
            found[way] = work()
        except Exception as error:  # so that the other ways are measured
            failed[way] = f"{type(error).__name__}: {error}"
            rows.append((f"{what}: {way}", f"failed: {failed[way]}"))
            continue
        ratio = found[way] / found.get("one network", float("nan"))
        rows.append((f"{what}: {way}", f"{found[way]:,.0f} images/s, {ratio:.2f} ×"))
    return {"images_per_second": found, "failed": failed}, rows


# --- the post's scale -----------------------------------------------------------------------------


def data_files(options: argparse.Namespace, folder: Path) -> dict[str, Path]:
    """Draw the images of the task and of the OOD set; return their files."""
    import numpy as np

    from skeletons.data import shapes
    from skeletons.store import artifacts

    folder.mkdir(parents=True)
    train, test = (
        shapes.draw(count, 0, split) for split, count in enumerate((options.train, options.test))
    )
    other = np.random.default_rng(1).integers(0, 256, (options.ood, 3, 32, 32), dtype=np.uint8)
    nothing = train[0][:0], train[1][:0]
    sets = {"images": (*train, *test), "ood": (*nothing, other, np.zeros(options.ood, np.int64))}
    names = ("train_images", "train_labels", "test_images", "test_labels")
    files = {name: folder / f"{name}.safetensors" for name in sets}
    for name, arrays in sets.items():
        artifacts.write_tensors(files[name], dict(zip(names, arrays, strict=True)))
    about = {"classes": list(shapes.CLASSES), "train": options.train, "test": options.test}
    mean, std = [0.5] * 3, [0.25] * 3
    artifacts.write_json(folder / "info.json", {**about, "mean": mean, "std": std})
    return {**files, "info": folder / "info.json"}


OUTPUTS = {"weights": "weights.safetensors", "history": "history.parquet", "summary": "model.json"}
WALKED = {**OUTPUTS, "walk": "walk.parquet", "optimizer": "optimizer.safetensors"}


def named(folder: Path, names: dict[str, str], prefix: str = "") -> dict[str, str]:
    """Files of a model's folder by the names of a stage's arguments."""
    folder.mkdir(parents=True, exist_ok=True)
    return {f"{prefix}{key}": str(folder / name) for key, name in names.items()}


def trained(options: argparse.Namespace, seed: int, folder: Path, data: dict[str, Path]) -> None:
    """Train a base and its checkpoints, one process after the other."""
    base = folder / f"seed={seed}"
    own = {"device": options.device, "precision": "auto", "threads": 1, "seed": seed}
    settings = {"batch_size": 125, "augment": AUGMENT}
    stage(
        options,
        "base:train_base_stage",
        dataset=str(data["images"]),
        info=str(data["info"]),
        **named(base, OUTPUTS),
        network={"name": "cnn", "width": options.post_width},
        base=base_settings(epochs=options.base_epochs, learning_rate=0.1, **settings),
        **own,
    )
    parent, after = base, 0
    for epochs in options.epochs:
        place = folder / f"seed={seed}_l1={L1:g}_ep={epochs}"
        stage(
            options,
            "walk:regularize_stage",
            dataset=str(data["images"]),
            base=str(base / OUTPUTS["weights"]),
            **named(
                parent,
                WALKED if after else {k: OUTPUTS[k] for k in OUTPUTS if k != "history"},
                "parent_",
            ),
            **named(place, WALKED),
            l1=L1,
            after=after,
            epochs=epochs,
            regularize=walk_settings(room=None, learning_rate=0.005, trace=0, **settings),
            **own,
        )
        if epochs >= WALKED_AT_ONCE:
            parent, after = place, epochs


def pruned(folder: Path) -> None:
    """Prune every checkpoint at every threshold."""
    from skeletons.pruning import prune_stage

    cut = defaults("Prune")
    for parent in sorted(folder.glob("*_ep=*")):
        for threshold in THRESHOLDS:
            place = folder / f"{parent.name}_t={threshold:g}"
            place.mkdir()
            prune_stage(
                regularized=str(parent / OUTPUTS["weights"]),
                summary=str(parent / OUTPUTS["summary"]),
                weights=str(place / OUTPUTS["weights"]),
                sparsity=str(place / "sparsity.json"),
                threshold=threshold,
                scale=cut["scale"],
                criterion=cut["criterion"],
            )


def predicted(options: argparse.Namespace, folder: Path, data: dict[str, Path]) -> list[str]:
    """Predict both sets with every base and pruned model; return the OOD predictions."""
    from skeletons.prediction.inference import predict_stage

    found = []
    for place in sorted(folder.iterdir()):
        if "_ep=" in place.name and "_t=" not in place.name:
            continue
        summary = folder / place.name.partition("_t=")[0] / OUTPUTS["summary"]
        for name in ("images", "ood"):
            path = folder.parent / "predictions" / name / f"{place.name}.parquet"
            predict_stage(
                weights=str(place / OUTPUTS["weights"]),
                summary=str(summary),
                dataset=str(data[name]),
                predictions=str(path),
                images=None,
                device=options.device,
            )
        found.append(str(path))
    return found


def post_scale(options: argparse.Namespace) -> tuple[dict[str, Any], list[Row]]:
    """Seconds of each part of the post's scale; drawing the images is not counted."""
    from skeletons.measures.behaviour import compare_block_stage

    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        data, models = data_files(options, place / "data"), place / "models"
        marks = [time.perf_counter()]
        with ThreadPoolExecutor(len(SEEDS)) as pool:
            list(pool.map(lambda seed: trained(options, seed, models, data), SEEDS))
        marks.append(time.perf_counter())
        pruned(models)
        files = predicted(options, models, data)
        marks.append(time.perf_counter())
        compare_block_stage(one=files, block=str(place / "pairs.parquet"), ood="noise")
        marks.append(time.perf_counter())
    parts = ("training", "pruning and predictions", "pairs")
    found = {
        part: end - begin
        for part, (begin, end) in zip(parts, itertools.pairwise(marks), strict=True)
    }
    count = len(files)
    rows = [(f"the post's scale: {part}", f"{spent:.0f} s") for part, spent in found.items()]
    what = (
        f"all of it, {count} models, {count * (count - 1) // 2:,} pairs, {options.train:,} images"
    )
    return {"seconds": found, "models": count}, [*rows, (what, f"{marks[-1] - marks[0]:.0f} s")]


# --- processes ------------------------------------------------------------------------------------


def call(options: argparse.Namespace, *arguments: str) -> subprocess.Popen[str]:
    """Start this program as another process on the same device."""
    size = ["--small"] if options.small else []
    command = [sys.executable, __file__, "--device", options.device, *size, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(job: subprocess.Popen[str]) -> str:
    """The output of a process.

    Raises:
        RuntimeError: it failed.
    """
    output, errors = job.communicate()
    if job.returncode:
        raise RuntimeError(errors.strip().splitlines()[-1] if errors.strip() else "no message")
    return output


def stage(options: argparse.Namespace, function: str, **keywords: Any) -> None:
    """Run a stage of `skeletons.training` in its own process, as the workflow does."""
    finished(call(options, "--stage", json.dumps([function, keywords])))


def run_stage(text: str) -> None:
    """Run a stage in this process."""
    import importlib

    function, keywords = json.loads(text)
    module, _, name = function.partition(":")
    getattr(importlib.import_module(f"skeletons.training.{module}"), name)(**keywords)


# --- the command ----------------------------------------------------------------------------------

PARTS = {"throughput": throughput, "together": together, "post_scale": post_scale}
SIZES: dict[str, tuple[Any, Any]] = {  # by option: the size on a GPU, and with --small
    "images": (50_000, 200),
    "batch": (2000, 100),
    "repeats": (5, 2),
    "width": (64, 4),
    "side": (8192, 256),
    "networks": (4, 2),
    "small_images": (25_000, 100),
    "small_batch": (125, 50),
    "small_width": (16, 2),
    "train": (50_000, 200),
    "test": (10_000, 50),
    "ood": (2000, 50),
    "post_width": (16, 2),
    "base_epochs": (16, 1),
    "epochs": (EPOCHS, (1,)),
}


def machine(device: torch.device) -> dict[str, str]:
    """The hardware and the versions."""
    cuda = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if cuda else platform.machine(),
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": str(torch.version.cuda) if cuda else "",
        "precision": pick_precision("auto", device),
        "stand-ins": ", ".join(MISSING),
    }


def options_of(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options, with the sizes."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--small", action="store_true", help="a size for a test of the script")
    parser.add_argument("--parts", nargs="+", choices=[*PARTS], default=[*PARTS])
    parser.add_argument("--json", type=Path, default=Path("gpu_check.json"), metavar="FILE")
    for name in ("--stage", "--ready", "--number"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    for name, sizes in SIZES.items():
        setattr(options, name, sizes[options.small])
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts, print the table and write the JSON file after each part."""
    options = options_of(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        print("PyTorch finds no CUDA device here; allowed: --device cpu.", file=sys.stderr)
        return 1
    if options.stage:
        run_stage(options.stage)
        return 0
    if options.alone:
        print(json.dumps(alone(options)))
        return 0
    found: dict[str, Any] = {
        "machine": machine(torch.device(options.device)),
        "small": options.small,
    }
    print(", ".join(f"{key} {value}" for key, value in found["machine"].items() if value))
    print("| measured | |\n|---|---|")
    failed = False
    for part in options.parts:
        begun = time.perf_counter()
        try:
            figures, rows = PARTS[part](options)
        except Exception as error:  # so that the other parts are measured
            traceback.print_exc()
            figures, rows = {"error": str(error)}, [(part, f"failed: {error}")]
            failed = True
        found[part] = {**figures, "took": time.perf_counter() - begun}
        for what, value in rows:
            print(f"| {what} | {value} |", flush=True)
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(f"\nWritten to {options.json}.")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
