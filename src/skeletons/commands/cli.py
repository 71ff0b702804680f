"""The command `skeletons`: look at results, judge and compare tables, prune the cache, export.

skeletons show results/demo/models/seed=1
skeletons cache --limit 1GB
skeletons verdict similarities.csv
skeletons remove demo
skeletons compare alice.parquet bob.npz carol.csv
skeletons export seed=1 --to exported
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from skeletons.commands import verdict
from skeletons.errors import ArtifactError, SkeletonsError
from skeletons.store import artifacts, provenance
from skeletons.store.cache import RunCache
from skeletons.text import sized
from skeletons.workflow import lookup, removal

SHOWN = 8  # inputs of an artifact at most: a table of all pairs has thousands
UNITS = {"B": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
READERS = {
    ".json": artifacts.read_json,
    ".parquet": artifacts.read_table,
    ".safetensors": artifacts.read_tensors,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; an error is one sentence on stderr, and exit code 1."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except SkeletonsError as error:
        print(error, file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader, for example `head`, has read enough
        sys.stderr.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="skeletons", description=str(__doc__).splitlines()[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    show = commands.add_parser("show", help="show how an artifact was made, and if it is current")
    show.add_argument("path", help="a file or folder of results, or a model id such as seed=1")
    show.add_argument(
        "--configfile", type=Path, help="compare it with these settings, not with the last run's"
    )
    show.set_defaults(run=_show)
    cache = commands.add_parser("cache", help="show the size of the run cache, and prune it")
    cache.add_argument("--folder", default="results/.cache", help="default: %(default)s")
    cache.add_argument(
        "--limit", type=_size, metavar="SIZE", help="remove the oldest until SIZE (1GB) is left"
    )
    cache.set_defaults(run=_cache)
    compare = commands.add_parser(
        "compare", help="compare saved logits or features of models, without a workflow"
    )
    compare.add_argument("files", nargs="+", help="one .parquet, .csv or .npz file per model")
    compare.add_argument("--features", action="store_true", help="they hold features, not logits")
    compare.add_argument("--id", default="id", help="column of image ids; default: %(default)s")
    compare.add_argument(
        "--heatmap", type=Path, default=Path("heatmap.svg"), help="default: %(default)s"
    )
    compare.add_argument("--measure", help="the measure of the heatmap; default: the first")
    compare.add_argument("--to", type=Path, metavar="FILE", help="also write the table as CSV")
    compare.set_defaults(run=_compare)
    export = commands.add_parser("export", help="write a model as files that need only torch")
    export.add_argument("model", help="a model id such as seed=1, or the folder of a model")
    export.add_argument("--to", type=Path, required=True, metavar="DIR", help="folder to write to")
    export.add_argument("--onnx", action="store_true", help="also write model.onnx")
    export.set_defaults(run=_export)
    verdict.add(commands)
    remove = commands.add_parser(
        "remove", help="delete experiments; what they share with others stays"
    )
    which = remove.add_mutually_exclusive_group(required=True)
    which.add_argument("names", nargs="*", default=[], metavar="NAME", help="an experiment")
    which.add_argument(
        "--all", action="store_true", help="all results with the run cache, logs and .snakemake"
    )
    remove.add_argument("--yes", action="store_true", help="do not ask")
    remove.set_defaults(run=_remove)
    return parser


def _compare(options: argparse.Namespace) -> None:
    """Print the table of all pairs and write the heatmap.

    Raises:
        SkeletonsError: a file cannot be used, or there is no such measure.
    """
    from skeletons.commands import compare
    from skeletons.figures import named_heatmap

    table = compare.compare(options.files, features=options.features, id_column=options.id)
    known = {measure.name: measure for measure in compare.measures(table)}
    chosen = options.measure or next(iter(known))
    if chosen not in known:
        raise SkeletonsError(f"--measure: found {chosen!r}; allowed: {', '.join(known)}.")
    print(table.to_string(index=False, float_format="{:.4f}".format))
    if options.to:
        artifacts.write_text(options.to, table.to_csv(index=False))
    named_heatmap.save(table, known[chosen], options.heatmap)
    print(f"The heatmap of {chosen} is {options.heatmap}.")


def _export(options: argparse.Namespace) -> None:
    from skeletons.commands.export import export

    largest = export(options.model, options.to, onnx=options.onnx)
    print(f"Wrote {options.to}; its logits differ from the model's by at most {largest:.2g}.")


def _size(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:([KMGT])B?|(B))", text.strip().upper())
    if match is None and not re.fullmatch(r"0+", text.strip()):
        raise argparse.ArgumentTypeError(
            f"found {text!r}; allowed: a number and a unit, for example 500MB or 1GB."
        )
    return int(Decimal(match[1]) * UNITS[match[2] or match[3]]) if match else 0


def _remove(options: argparse.Namespace) -> None:
    """List what is to be deleted, ask, and delete it.

    Raises:
        SkeletonsError: nobody has agreed, or it cannot be deleted.
    """
    doomed = removal.of_everything() if options.all else removal.of_experiments(options.names)
    if not doomed:
        print("There is nothing to delete.")
        return
    for each in doomed:
        print(each)
    if not options.all:
        print("Data sets and the run cache stay, because experiments share them.")
    if not options.yes and not _agreed():
        raise SkeletonsError("Nothing was deleted; answer y, or add --yes.")
    removal.delete(doomed)
    print(f"Deleted {sized(sum(each.size for each in doomed))}.")


def _agreed() -> bool:
    try:
        return input("Delete all of this? [y/N] ").strip().lower() in ("y", "yes")
    except (EOFError, KeyboardInterrupt):
        print()
        return False


def _cache(options: argparse.Namespace) -> None:
    """Print the size of the run cache, after pruning it if there is a limit.

    Raises:
        ArtifactError: the folder does not exist, or is not a run cache.
    """
    cache = RunCache(options.folder)
    cache.check()
    if options.limit is not None:
        removed = cache.prune(options.limit)
        print(f"Removed {_amount(sum(e.size for e in removed), len(removed))}.")
    entries = cache.entries()
    print(f"{options.folder} holds {_amount(sum(e.size for e in entries), len(entries))}.")


def _amount(size: int, count: int) -> str:
    return f"{count} result{'' if count == 1 else 's'} in {size / 1e6:,.1f} MB"


def _show(options: argparse.Namespace) -> None:
    files = lookup.files_at(options.path, READERS)
    shown: list[Any] = []
    for path in files:
        print(path)
        seal = artifacts.read_seal(path) if path.suffix in READERS else None
        _print("content", _content(path))
        made = (seal or {}).get("made")
        if made and made not in shown:  # the files of one job have one recipe
            shown.append(made)
            for label, text in _recipe_lines(made):
                _print(label, text)
    _print("current", _current(files[0], options.configfile))


def _print(label: str, text: str) -> None:
    print(f"  {label:<10}{text}")


def _content(path: Path) -> str:
    """Whether a file is unchanged since it was written, if it has a seal."""
    if path.suffix not in READERS:
        return "not sealed"
    try:
        READERS[path.suffix](path)
    except ArtifactError as error:
        return str(error).removeprefix(f"{path} ")
    return "as it was written"


def _recipe_lines(made: Mapping[str, Any]) -> list[tuple[str, str]]:
    inputs = [f"{name}  {digest[:16]}" for name, digest in made["inputs"].items()]
    if len(inputs) > SHOWN:
        inputs[SHOWN:] = [f"… and {len(inputs) - SHOWN} more"]
    return [
        ("made by", made["stage"]),
        ("settings", json.dumps(made["settings"], ensure_ascii=False)),
        ("code", made["code"]),
        ("versions", ", ".join(_version(*item) for item in made["versions"].items())),
        ("device", f"{made['device']['type']}, {made['device']['name']}"),
        ("threads", str(made["threads"])),
        *(("made from", text) for text in inputs),
    ]


def _version(name: str, found: str) -> str:
    """A package's version when the artifact was made, and its version now if that differs."""
    now = provenance.versions().get(name)
    return f"{name} {found}" + ("" if now == found else f" (now {now})")


def _current(path: Path, configfile: Path | None) -> str:
    """Whether the workflow would keep an artifact as it is, and the reason if it would not.

    Raises:
        ArtifactError: it is not an artifact of this workflow, or the workflow cannot be read.
    """
    configfile = configfile or _experiment(path) / "config.yaml"
    path = Path(os.path.relpath(path))  # as the workflow names it
    # A data set belongs to no experiment; it is compared with the default one.
    configured = ["--configfile", str(configfile)] if configfile.is_file() else []
    command = ["--detailed-summary", "--nolock", *configured, "--", str(path)]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *command], capture_output=True, text=True, check=False
    )
    rows = csv.DictReader(done.stdout.splitlines(), delimiter="\t")
    for row in rows:
        if row["output_file"] == str(path):
            same = row["plan"] == "no update"
            return "yes" if same else f"no: {row['status']}, {row['plan']}"
    if "No rule to produce" in done.stderr:
        return "no: it is not part of this configuration"
    reason = (done.stderr.strip().splitlines() or ["it is not a target of the workflow"])[-1]
    raise ArtifactError(f"Cannot determine whether {path} is current: {reason}")


def _experiment(path: Path) -> Path:
    """The folder results/EXPERIMENT that a path is in."""
    parts = path.parts
    if "results" not in parts or len(parts) < parts.index("results") + 2:
        raise ArtifactError(f"{path} is not in results/EXPERIMENT, so it is not an artifact.")
    return Path(*parts[: parts.index("results") + 2])


if __name__ == "__main__":
    sys.exit(main())
