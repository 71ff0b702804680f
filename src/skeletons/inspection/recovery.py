"""Which weights of planted skeletons survive pruning: `python -m skeletons.inspection.recovery`.

In an experiment with `controls.planted`, it is known which weights of a network are those of the
small one that was laid in it. If pruning finds the skeleton, it keeps these, and few others.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skeletons import text
from skeletons.errors import SkeletonsError
from skeletons.model_ids import PLANTED, PRUNED, Model
from skeletons.networks.build import rebuild
from skeletons.networks.describe import prunable
from skeletons.store import artifacts
from skeletons.training.planted import places_of


@dataclass(frozen=True)
class Recovery:
    """What pruning kept of one planted network, by numbers of weights.

    Attributes:
        model: the id of the pruned model.
        planted: the share of the prunable weights that are the small network's, 0..1.
        kept: the share of all prunable weights that pruning keeps.
        kept_planted: the share of the small network's weights that it keeps. By chance, it would
            be `kept`.
    """

    model: str
    planted: float
    kept: float
    kept_planted: float


def recovery(results: str | Path, name: str) -> Recovery:
    """What pruning kept of one planted network.

    Args:
        results: the folder of the experiment.
        name: the id of the pruned model.

    Raises:
        SkeletonsError: a file is missing or broken.
    """
    folder, model = Path(results), Model.parse(name)
    wide = rebuild(artifacts.read_json(folder / f"models/{model.root}/model.json")["network"])
    tag = "" if model.net is None else f"net={model.net}_"
    smalls = sorted(folder.glob(f"planted/{tag}width=*/model.json"))
    if len(smalls) != 1:
        raise SkeletonsError(
            f"{folder}/planted: found {text.counted(len(smalls), 'small network')}; allowed: one."
        )
    small = rebuild(artifacts.read_json(smalls[0])["network"])
    assert model.seed is not None
    places = places_of(small, wide, model.seed)
    weights = artifacts.read_tensors(folder / f"models/{name}/weights.safetensors")
    own = total = kept = kept_own = 0
    for tensor in prunable(wide):
        alive = weights[tensor] != 0
        block = alive[np.ix_(*places[tensor].axes)]
        own, total = own + block.size, total + alive.size
        kept, kept_own = kept + int(alive.sum()), kept_own + int(block.sum())
    return Recovery(name, own / total, kept / total, kept_own / own)


def main(arguments: list[str] | None = None) -> None:
    """Print a table with one row for each pruned planted network of an experiment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", help="folder of the experiment, such as results/truth")
    folder = Path(parser.parse_args(arguments).results)
    models = [Model.parse(path.name) for path in folder.glob("models/seed=*_planted_*")]
    models += [Model.parse(path.name) for path in folder.glob("models/net=*_planted_*")]
    pruned = [model for model in models if model.family == PLANTED and model.stage == PRUNED]
    found = [recovery(folder, str(model)) for model in sorted(pruned, key=lambda m: m.sort_key)]
    rows = [
        [f"`{one.model}`", f"{one.planted:.1%}", f"{one.kept:.1%}", f"{one.kept_planted:.1%}"]
        for one in found
    ]
    print(text.table(["model", "planted", "kept of all", "kept of what was planted"], rows))


if __name__ == "__main__":
    main()
