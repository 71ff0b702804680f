"""Networks that were stopped early are unsure, which some measures take for likeness.

Six networks are trained on drawn images to a training loss near 0, and six with the same seeds for
fewer epochs. Nothing connects the networks of different seeds in either group.
"""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skeletons.config.datasets import Digits, Shapes
from skeletons.config.load import load
from skeletons.config.sections import Base
from skeletons.data.build import build, write
from skeletons.data.files import Form
from skeletons.measures import behaviour, predictions
from skeletons.prediction.inference import predict_stage
from skeletons.training.base import train_base_stage

SEEDS = range(1, 7)
STOPPED, LAST = 8, 20  # epochs
FORM = Form(20, 3)  # of all images; small ones, for speed
Means = dict[str, dict[int, dict[str, float]]]


def made(folder: Path, name: str, section: Any) -> tuple[str, str]:
    files = str(folder / f"{name}.safetensors"), str(folder / f"{name}.json")
    write(build(section.model_dump(), folder, FORM), *files)
    return files


def trained(folder: Path, data: tuple[str, str], seed: int, epochs: int) -> dict[str, str]:
    """The weights and the description of a network."""
    folder.mkdir()
    files = {name: str(folder / name) for name in ("weights", "summary")}
    settings = Base.model_validate(
        {"epochs": epochs, "batch_size": 25, "learning_rate": 0.4, "augment": {"flip": False}}
    )
    train_base_stage(
        dataset=data[0],
        info=data[1],
        **files,
        history=str(folder / "history"),
        seed=seed,
        network={"name": "cnn", "width": 8},
        base=settings.model_dump(exclude={"seeds", "target"}),
        device="cpu",
        precision="fp32",
        threads=1,
    )
    return files


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Means:
    """By data set and epochs, the mean of each measure over the pairs of networks."""
    folder = tmp_path_factory.mktemp("stopped")
    data = made(folder, "shapes", Shapes(kind="shapes", train=500, test=500))
    sets = {"test": data[0], "digits": made(folder, "digits", Digits(kind="digits"))[0]}
    means: Means = {name: {} for name in sets}
    for epochs in (STOPPED, LAST):
        networks = [trained(folder / f"{s}-{epochs}", data, s, epochs) for s in SEEDS]
        for name, images in sets.items():
            models = []
            for seed, network in zip(SEEDS, networks, strict=True):
                path = str(folder / f"{seed}-{epochs}/{name}.parquet")
                predict_stage(**network, dataset=images, predictions=path, images=500, device="cpu")
                models.append(predictions.read(path))
            rows = [
                behaviour.compare(a, b, labelled=name == "test")
                for a, b in itertools.combinations(models, 2)
            ]
            means[name][epochs] = {
                measure.name: float(np.mean([row[measure.name] for row in rows]))
                for measure in behaviour.DECLARED
                if measure.name in rows[0]
            }
            means[name][epochs]["accuracy"] = float(np.mean([m.accuracy for m in models]))
    return means


def rise(found: Means, name: str, measure: str) -> float:
    """How much more alike the stopped networks are."""
    return found[name][STOPPED][measure] - found[name][LAST][measure]


def test_stopped_networks_are_worse(found: Means) -> None:
    assert rise(found, "test", "accuracy") < -0.1


def test_confidence_makes_stopped_networks_look_alike(found: Means) -> None:
    """Why the measures of probabilities are not the default."""
    for name in ("test", "digits"):
        assert rise(found, name, "cosine_prob") > 0.1


@pytest.mark.parametrize("measure", [*load({}).figures.measures, "cosine_logit_centred"])
def test_stopped_networks_are_not_more_alike_by_the_default_measure(
    found: Means, measure: str
) -> None:
    assert rise(found, "digits", measure) < 0.01


def test_stopped_networks_agree_no_more_than_their_errors_explain(found: Means) -> None:
    """Agreement beyond that of independent errors at the same accuracies."""
    for measure in ("capa_top", "error_consistency"):
        assert rise(found, "test", measure) < 0.01
