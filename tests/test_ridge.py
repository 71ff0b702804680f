from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from colours import PLAIN, images
from shuffled import inverse, random_permutations, specification_of, symmetries_of
from test_symmetries import drawn

from skeletons.alignment import frame, matching, permutations
from skeletons.errors import ArtifactError
from skeletons.inspection import barriers, landscape, lines
from skeletons.inspection import curve as curves
from skeletons.inspection import plane as planes
from skeletons.inspection.landscape import Landscape
from skeletons.networks import architectures
from skeletons.networks.build import build
from skeletons.networks.generators import generator_for
from skeletons.networks.user_network import Manner
from skeletons.prediction import units
from skeletons.store import artifacts
from skeletons.store.artifacts import Array
from skeletons.training.base import train_base
from skeletons.training.images import Images
from skeletons.training.job import tensors_of
from skeletons.training.settings import BaseSettings

SETTINGS = BaseSettings(3, 16, "sgd", 0.05, 0.9, 5e-4, 0.0, 0.2, PLAIN)
MEASURED: dict[str, Any] = {
    "images": None,
    "norm_images": 64,
    "precision": "fp32",
}
PLACE: dict[str, Any] = {"device": "cpu", "threads": 1}


def network(name: str, seed: int = 0) -> torch.nn.Sequential:
    return build(name, 4, 3, (0.3, 0.3, 0.3), (0.2, 0.2, 0.2), seed=seed)


Trained = dict[tuple[str, int], dict[str, Array]]


@pytest.fixture(scope="module")
def trained() -> Trained:
    """Two models of different networks."""
    made = {}
    for name in ("cnn", "resnet9"):
        for seed in (1, 2):
            net = network(name, seed)
            train_base(net, images(), images(48, 1), seed, SETTINGS, "fp32")
            made[name, seed] = {k: v.copy() for k, v in tensors_of(net).items()}
    return made


def ground_of(name: str, recompute: bool = True) -> Landscape:
    return Landscape(network(name), images(48, 1), images() if recompute else None)


# --- barriers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("losses", "height", "place"),
    [
        ([1, 1, 1], 0, 0),
        ([0.1, 0.1, 0.1, 0.1], 0, 0),
        ([2, 1, 2], 0, 0),
        ([0, 1, 2, 3, 4], 0, 0),
        ([0, 3, 2], 2, 0.5),
        ([1, 1, 5, 3, 1], 4, 0.5),
        ([0, 0, 0, 4, 4], 1, 0.75),
    ],
)
def test_a_barrier_is_the_highest_rise_over_the_line(
    losses: list[float], height: float, place: float
) -> None:
    assert barriers.barrier(losses) == (pytest.approx(height), place)
    if not height:
        assert barriers.barrier(losses)[0] == 0


def test_what_is_not_a_number_has_no_barrier() -> None:
    assert np.isnan(barriers.barrier([0, np.nan, 1])).all()


def test_paths_are_summed_up_in_their_order() -> None:
    t = np.tile([0, 0.5, 1], 3)
    table = pd.DataFrame({"path": ["weights"] * 6 + ["naive"] * 3, "t": t})
    table["repaired"] = [False] * 3 + [True] * 3 + [False] * 3
    table["loss"] = [1, 1.5, 2, 1, 1, 2, 1, 4, 2]
    table["accuracy"] = [0.8, 0.9, 0.9, 0.8, 0.85, 0.9, 0.8, 0.2, 0.9]
    for name, factor in (("test_loss", 2), ("tempered_loss", 0.5)):
        table[name] = factor * table.loss
    table["test_accuracy"] = table.accuracy / 2
    every = barriers.by_path(table.sample(frac=1, random_state=0))
    assert sorted(zip(every.path, every.repaired, strict=True)) == [
        ("naive", False),
        ("weights", False),
        ("weights", True),
    ]
    rows = barriers.by_path(table[~table.repaired][::-1])
    assert rows.path.tolist() == ["naive", "weights"]
    assert rows.barrier.tolist() == [2.5, 0]
    assert rows.test_barrier.tolist() == [5, 0]
    assert rows.tempered_barrier.tolist() == [1.25, 0]
    assert rows.test_drop.tolist() == pytest.approx([0.325, 0])
    assert rows.highest_loss.tolist() == [4, 2]
    assert rows.highest_at.tolist() == [0.5, 1]
    assert rows.accuracy_drop.tolist() == pytest.approx([0.65, 0])


# --- mixtures and statistics --------------------------------------------------------------------


def test_a_mixture_ends_at_its_models_and_a_model_with_itself_is_itself(trained: Trained) -> None:
    a, b = trained["resnet9", 1], trained["resnet9", 2]
    same = [landscape.mix([a, a], [1 - t, t]) for t in lines.places(8)]
    ends = (landscape.mix([a, b], [1, 0]), a), (landscape.mix([a, b], [0, 1]), b)
    for found, wanted in (*ends, *((one, a) for one in same)):
        for name, tensor in wanted.items():
            if tensor.dtype.kind == "f":
                assert found[name].dtype == tensor.dtype
                np.testing.assert_array_equal(found[name], tensor)
    beyond = landscape.mix([a, b], [3, -2])
    assert all((beyond[name] >= 0).all() for name in beyond if name.endswith("running_var"))
    with pytest.raises(ValueError, match=r"not of one network: they differ at 'body\.0"):
        landscape.mix([a, trained["cnn", 1]], [0.5, 0.5])


def test_recomputing_restores_destroyed_statistics(trained: Trained) -> None:
    weights = trained["resnet9", 1]
    broken = dict(weights)
    for name in weights:
        if "running" in name:
            broken[name] = weights[name] * 0 + 100
    own, recomputed = ground_of("resnet9", recompute=False), ground_of("resnet9")
    good, bad = own.measure(weights), own.measure(broken)
    assert bad[0] > good[0] + 0.5
    again = recomputed.measure(broken)
    assert again[0] < good[0] + 0.02
    assert again[1] == 1 > bad[1]
    assert again == recomputed.measure(weights), "what was there before does not matter"
    # All images are one batch here, so the first statistics are plainly those of that batch.
    net = recomputed.network
    first = net.get_submodule("body.0.0")(net.get_submodule("standardize")(images().pixels))
    buffers = dict(net.named_buffers())
    torch.testing.assert_close(buffers["body.0.1.running_mean"], first.mean((0, 2, 3)))
    torch.testing.assert_close(
        buffers["body.0.1.running_var"], first.var((0, 2, 3)), rtol=1e-4, atol=0
    )
    momenta = {m.momentum for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)}
    assert momenta == {0.1}


def test_a_remainder_of_images_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landscape, "NORM_BATCH", 32)
    found = []
    for count in (64, 70, 20):
        net = network("resnet9")
        landscape.recompute_norms(net, Images(images().pixels[:count], images().labels[:count]))
        found.append(net.get_buffer("body.0.1.running_mean").clone())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert (found[2] != 0).any()


def test_without_batch_norm_nothing_is_recomputed(trained: Trained) -> None:
    weights = trained["cnn", 1]
    with_norms, without = (ground_of("cnn", recompute).measure(weights) for recompute in (1, 0))
    assert with_norms == without


# --- lines --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cnn", "resnet9"])
@pytest.mark.parametrize("repaired", [False, True])
@pytest.mark.parametrize("by", ["weights", "activations", "the frame"])
def test_the_barrier_to_a_permuted_copy_vanishes_when_aligned(
    trained: Trained, name: str, by: str, repaired: bool
) -> None:
    a = trained[name, 1]
    spec = specification_of(name, 4, 3)
    copy = permutations.apply(a, spec, random_permutations(spec, 1))
    ground = ground_of(name)
    naive = lines.line(ground, a, copy, 5, repaired=repaired)
    aligned = permutations.apply(copy, spec, order_by(by, name, a, copy))
    straight = lines.line(ground, a, aligned, 5, repaired=repaired)
    assert naive.t.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert barriers.barrier(naive.loss)[0] > 0.05
    assert barriers.barrier(straight.loss)[0] < (1e-6 if repaired else 1e-12)
    if repaired and name == "resnet9":
        for table, last in ((naive, copy), (straight, aligned)):
            assert (table.loss[0], table.accuracy[0]) == ground.measure(a)
            assert (table.loss[4], table.accuracy[4]) == ground.measure(last)


@pytest.mark.parametrize("name", architectures.REGISTRY)
@pytest.mark.parametrize("by", ["weights", "activations", "the frame"])
def test_a_permuted_copy_of_every_network_has_no_barrier(name: str, by: str) -> None:
    net = network(name)
    a = drawn(net, 1)
    spec = specification_of(name, 4, 3)
    copy = permutations.apply(a, spec, random_permutations(spec, 1))
    aligned = permutations.apply(copy, spec, order_by(by, name, a, copy))
    ground = Landscape(net, images(48, 1), images(), test=images(48, 1))
    for repaired in (False, True):
        line = lines.line(ground, a, aligned, 3, repaired=repaired)
        for values in (line.loss, -line.accuracy, line.test_loss, line.tempered_loss):
            assert barriers.barrier(values)[0] < 1e-6
    naive = lines.line(ground, a, copy, 3)
    assert barriers.barrier(naive.loss)[0] > 1e-4 or abs(naive.loss[1] - naive.loss[0]) > 1e-4


def order_by(by: str, name: str, a: dict[str, Array], copy: dict[str, Array]) -> dict[str, Any]:
    """The permutations that align a model to another."""
    spec = specification_of(name, 4, 3)
    if by == "weights":
        return matching.match(a, copy, spec)
    if by == "the frame":
        return frame.through_frame(*frame.common_frame([a, copy], spec))
    held = []
    for model in (a, copy):
        net = network(name)
        landscape.put(net, model)
        held.append(units.activations(net, symmetries_of(name, 4, 3), images().pixels))
    alike = permutations.of_activations(symmetries_of(name, 4, 3), held[0])
    return matching.match(held[0], held[1], alike, restarts=1)


def test_the_temperature_is_the_best_one_and_confidence_does_not_matter() -> None:
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(500, 4, generator=draw, dtype=torch.float64)
    labels = torch.distributions.Categorical(logits=logits).sample()
    temperature, loss = landscape.best_temperature(logits, labels)
    assert temperature == pytest.approx(1, abs=0.25)
    hot, same = landscape.best_temperature(20 * logits, labels)
    assert (hot, same) == pytest.approx((20 * temperature, loss), rel=1e-3)
    for other in (0.5, 0.9, 1.1, 2):
        scaled = torch.nn.functional.cross_entropy(logits / (other * temperature), labels)
        assert float(scaled) > loss
    wrong = -10 * torch.nn.functional.one_hot(labels, 4).double()
    assert landscape.best_temperature(wrong, labels)[1] == pytest.approx(np.log(4), abs=0.01)
    assert np.isnan(landscape.best_temperature(logits * np.nan, labels)).all()


# --- planes -------------------------------------------------------------------------------------


def test_a_plane_gives_back_its_models_and_distances(trained: Trained) -> None:
    a, b = trained["resnet9", 1], trained["resnet9", 2]
    start = {k: v.numpy() for k, v in network("resnet9", 3).state_dict().items()}
    ground = ground_of("resnet9")
    plane = planes.Plane([a, b, start], ground.parameters)
    for model, corner in zip((a, b, start), plane.corners, strict=True):
        x, y, residual = plane.project(model)
        assert (x, y) == pytest.approx(tuple(corner), abs=1e-6)
        assert residual < 1e-6
        for name, tensor in plane.at(*corner).items():
            if tensor.dtype.kind == "f":
                np.testing.assert_array_equal(tensor, model[name])

    def distance(one: dict[str, Array], two: dict[str, Array]) -> float:
        return float(np.sqrt(sum(((one[n] - two[n]) ** 2).sum() for n in ground.parameters)))

    for j, one in enumerate((a, b, start)):
        for k, two in enumerate((a, b, start)):
            apart = float(np.linalg.norm(plane.corners[j] - plane.corners[k]))
            assert apart == pytest.approx(distance(one, two), rel=1e-5)
    inside = plane.at(1.25, -0.5)
    assert plane.project(inside) == pytest.approx((1.25, -0.5, 0), abs=1e-4)
    off = {**inside, "body.8.bias": inside["body.8.bias"] + np.float32(2)}
    x, y, residual = plane.project(off)
    assert np.hypot(np.hypot(x - 1.25, y + 0.5), residual) == pytest.approx(2 * 3**0.5, rel=1e-4)


def test_no_plane_goes_through_three_models_on_a_line(trained: Trained) -> None:
    a, b = trained["cnn", 1], trained["cnn", 2]
    parameters = ground_of("cnn").parameters
    for three in ([a, b, landscape.mix([a, b], [0.25, 0.75])], [a, a, b], [a, b, b], [a, a, a]):
        with pytest.raises(ValueError, match="lie on one line"):
            planes.Plane(three, parameters)


def test_a_grid_is_no_strip_where_its_models_are_almost_on_a_line() -> None:
    x, y = planes.span(np.array([[0.0, 1.0], [10.0, 1.0], [4.0, 1.5]]), 0.1, 3)
    assert x.tolist() == pytest.approx([-1, 5, 11])
    assert y.tolist() == pytest.approx([1.25 - 3, 1.25, 1.25 + 3])


def test_a_grid_holds_all_models_and_is_the_line_where_it_runs_along_it(trained: Trained) -> None:
    a, b = trained["cnn", 1], trained["cnn", 2]
    third = {k: v.numpy() for k, v in network("cnn", 3).state_dict().items()}
    ground = ground_of("cnn")
    plane = planes.Plane([a, b, third], ground.parameters)
    xs, ys = planes.span(plane.corners, 0.2, 4)
    assert xs[0] < plane.corners[:, 0].min() < plane.corners[:, 0].max() < xs[-1]
    assert ys[0] < 0 < plane.corners[2, 1] < ys[-1]
    along = planes.losses_on(ground, plane, np.linspace(0, plane.corners[1, 0], 3), [0.0])
    straight = lines.line(ground, a, b, 3)
    assert along.loss.tolist() == pytest.approx(straight.loss.tolist(), rel=1e-5)
    assert len(planes.losses_on(ground, plane, xs[:2], ys[:3])) == 6
    found = planes.locate(ground, plane, {"a": a, "c": third})
    assert found.model.tolist() == ["a", "c"]
    assert (found.loss[0], found.accuracy[0]) == ground.measure(a)


# --- curves -------------------------------------------------------------------------------------


def test_the_shares_of_a_curve_sum_to_one_and_start_at_its_ends() -> None:
    assert curves.bezier(0) == (1, 0, 0)
    assert curves.bezier(1) == (0, 0, 1)
    assert curves.bezier(0.5) == (0.25, 0.5, 0.25)
    assert sum(curves.bezier(0.3)) == pytest.approx(1)


@pytest.mark.parametrize("name", ["cnn", "resnet9"])
def test_a_trained_curve_keeps_its_ends_and_passes_under_the_barrier(
    trained: Trained, name: str
) -> None:
    a, b = trained[name, 1], trained[name, 2]
    ground = ground_of(name)
    rate = {"cnn": 0.4, "resnet9": 0.05}[name]
    settings = BaseSettings(16, 16, "sgd", rate, 0.9, 0.0, 0.0, 0.2, PLAIN)
    control = curves.train_curve(network(name), a, b, images(), 1, settings, "fp32")
    again = curves.train_curve(network(name, 5), a, b, images(), 1, settings, "fp32")
    assert all(np.array_equal(control[key], again[key]) for key in a)
    middle = landscape.mix([a, b], [0.5, 0.5])
    curve, straight = (curves.curve_line(ground, a, m, b, 5) for m in (control, middle))
    ends = ["t", "loss", "accuracy", "distance"]
    assert curve.loc[[0, 4], ends].equals(straight.loc[[0, 4], ends])
    assert straight.step_length[0] == 0
    assert straight.step_length[1:].tolist() == pytest.approx([straight.distance[4] / 4] * 4)
    assert curve.step_length.sum() > straight.step_length.sum()
    assert barriers.highest(straight.loss)[0] > barriers.highest(straight.loss[[0, 4]])[0]
    assert barriers.barrier(curve.loss)[0] < 0.5 * barriers.barrier(straight.loss)[0]


def test_a_curve_has_enough_points_for_its_steps(trained: Trained) -> None:
    a, b = trained["cnn", 1], trained["cnn", 2]
    names = ground_of("cnn").parameters
    for middle in (landscape.mix([a, b], [0.5, 0.5]), landscape.mix([a, b], [2, -1])):
        needed = curves.points_needed(a, middle, b, names, 11)
        assert needed > 11
        _, steps = curves._lengths(
            lambda t, middle=middle: landscape.mix([a, middle, b], curves.bezier(t)),
            lines.places(needed),
            names,
        )
        assert 0.5 * curves.LONGEST_STEP < max(steps) <= curves.LONGEST_STEP
    assert curves.points_needed(a, a, a, names, 11) == 11


def test_one_step_of_a_curve_is_the_chain_rule(trained: Trained) -> None:
    """Compared with the derivative that torch computes through the mixture itself."""
    a, b = trained["cnn", 1], trained["cnn", 2]
    data = Images(images(16).pixels, images(16).labels)
    rate = 0.1
    settings = BaseSettings(1, 16, "sgd", rate, 0.0, 0.0, 0.0, 0.0, PLAIN)
    control = curves.train_curve(network("cnn"), a, b, data, 1, settings, "fp32")
    t = float(torch.rand((), generator=generator_for("place on the curve", 1, 1)))
    net = network("cnn")
    ends = [{k: torch.from_numpy(v) for k, v in model.items()} for model in (a, b)]
    theta = {k: ((ends[0][k] + ends[1][k]) / 2).requires_grad_() for k, _ in net.named_parameters()}
    shares = curves.bezier(t)
    mixed = {
        k: shares[0] * ends[0][k] + shares[1] * v + shares[2] * ends[1][k] for k, v in theta.items()
    }
    logits = torch.func.functional_call(net, mixed, (data.pixels,))
    torch.nn.functional.cross_entropy(logits, data.labels).backward()
    for name, point in theta.items():
        assert point.grad is not None
        wanted = (point - rate * point.grad).detach()
        torch.testing.assert_close(torch.from_numpy(control[name]), wanted, rtol=1e-4, atol=1e-6)
        assert (point.grad != 0).any()


def test_a_curve_of_a_network_that_needs_two_images_has_no_batch_of_one(trained: Trained) -> None:
    """A batch norm of features cannot be trained on the one image that is left over."""
    net = network("cnn")
    net.standardize.manner = Manner(single=False)  # type: ignore[assignment, union-attr]
    sizes = []
    net.register_forward_hook(lambda module, given, logits: sizes.append(len(logits)))
    settings = BaseSettings(1, 16, "sgd", 0.1, 0.0, 0.0, 0.0, 0.0, PLAIN)
    curves.train_curve(net, trained["cnn", 1], trained["cnn", 2], images(33), 1, settings, "fp32")
    assert sizes == [16, 17]


# --- stages -------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path, trained: Trained) -> dict[str, str]:
    """A data set, two models of resnet9, a permuted copy of the first, and its alignment."""
    train, test = images(), images(48, 1)
    names = ("data", "summary", "symmetries", "a", "b", "copy", "p", "c")
    about = {name: str(tmp_path / name) for name in names}
    artifacts.write_tensors(
        about["data"],
        {
            "train_images": train.pixels.numpy(),
            "train_labels": train.labels.numpy(),
            "test_images": test.pixels.numpy(),
            "test_labels": test.labels.numpy(),
        },
    )
    artifacts.write_json(
        about["summary"], {"network": {"name": "resnet9", "width": 4, "classes": 3}}
    )
    a = trained["resnet9", 1]
    artifacts.write_json(about["symmetries"], symmetries_of("resnet9", 4, 3))
    spec = specification_of("resnet9", 4, 3)
    shuffled = random_permutations(spec, 1)
    artifacts.write_tensors(about["a"], a)
    artifacts.write_tensors(about["b"], trained["resnet9", 2])
    artifacts.write_tensors(about["copy"], permutations.apply(a, spec, shuffled))
    artifacts.write_tensors(about["p"], inverse(shuffled))
    artifacts.write_tensors(about["c"], trained["cnn", 1])
    return about


def test_the_line_stage_writes_both_paths(files: dict[str, str], tmp_path: Path) -> None:
    out = str(tmp_path / "line.parquet")
    seen = set()
    once = {"points": 3, "measured": MEASURED, **PLACE}
    for _ in range(2):
        lines.line_stage(
            a=files["a"],
            b=files["copy"],
            summary=files["summary"],
            dataset=files["data"],
            by_weights=files["p"],
            by_activations=files["p"],
            symmetries=files["symmetries"],
            table=out,
            **once,
        )
        table = artifacts.read_table(out, lines.COLUMNS)
        heights = barriers.by_path(table)
        paths = [path for path in ("naive", "weights", "activations") for _ in range(2)]
        assert heights.path.tolist() == paths
        assert heights.repaired.tolist() == [False, True] * 3
        assert heights.barrier[:2].min() > 0
        assert heights.barrier[2:].max() < 1e-6
        seen.add(Path(out).read_bytes())
    assert len(seen) == 1
    with pytest.raises(ArtifactError, match=r"a and .*c do not fit together: the models are not"):
        lines.line_stage(
            a=files["a"],
            b=files["c"],
            summary=files["summary"],
            dataset=files["data"],
            table=out,
            **once,
        )


def test_the_curve_stage_writes_a_control_point_that_gives_its_table(
    files: dict[str, str], tmp_path: Path
) -> None:
    control, out = str(tmp_path / "control"), str(tmp_path / "curve.parquet")
    curves.curve_stage(
        a=files["a"],
        b=files["b"],
        summary=files["summary"],
        dataset=files["data"],
        weights=control,
        table=out,
        seed=1,
        base=vars(SETTINGS) | {"epochs": 1},
        precision="bf16",
        points=3,
        measured=MEASURED | {"images": 30},
        **PLACE,
    )
    table = artifacts.read_table(out)
    assert table.path.unique().tolist() == ["straight", "curve"]
    points = len(table) // 2
    assert table.step_length.max() <= curves.LONGEST_STEP
    ground = Landscape(
        network("resnet9"),
        Images(images().pixels[:30], images().labels[:30]),
        Images(images().pixels[:64], images().labels[:64]),
        test=Images(images(48, 1).pixels[:30], images(48, 1).labels[:30]),
    )
    a, middle, b = (artifacts.read_tensors(path) for path in (files["a"], control, files["b"]))
    again = curves.curve_line(ground, a, middle, b, points)
    own = table[table.path == "curve"].reset_index(drop=True)
    pd.testing.assert_frame_equal(own[again.columns], again)
    curves.curve_stage(
        a=files["a"],
        b=files["copy"],
        matched=files["p"],
        symmetries=files["symmetries"],
        summary=files["summary"],
        dataset=files["data"],
        weights=control,
        table=out,
        seed=1,
        base=vars(SETTINGS) | {"epochs": 1},
        precision="fp32",
        points=3,
        measured=MEASURED,
        **PLACE,
    )
    heights = barriers.by_path(artifacts.read_table(out)).set_index("path")
    assert heights.barrier["straight"] < 1e-6, "a permuted copy, aligned"


def test_the_plane_stage_writes_grid_and_models(files: dict[str, str], tmp_path: Path) -> None:
    out, where = str(tmp_path / "plane.parquet"), str(tmp_path / "models.parquet")
    models = {"seed=1": files["a"], "seed=2": files["b"], "seed=3": files["copy"]}
    given: dict[str, Any] = {
        "weights": [*models.values()],
        "summary": files["summary"],
        "dataset": files["data"],
        "grid": out,
        "located": where,
        "models": [*models],
        "points": 3,
        "margin": 0.2,
        "measured": MEASURED,
        **PLACE,
    }
    aligned = {"matched": files["p"], "symmetries": files["symmetries"]}
    planes.plane_stage(**given, aligned=[])
    table, located = artifacts.read_table(out), artifacts.read_table(where)
    assert table.shape == (9, 4)
    assert located.model.tolist() == list(models)
    assert located.residual.max() < 1e-5
    assert (located.x[0], located.y[0], located.y[1]) == pytest.approx((0, 0, 0), abs=1e-6)
    with pytest.raises(
        ArtifactError, match="do not fit together: the three models lie on one line"
    ):
        planes.plane_stage(**given, aligned=["seed=3"], **aligned)
