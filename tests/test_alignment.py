import dataclasses
import hashlib
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from shuffled import inverse, random_permutations, specification_of, symmetries_of

from skeletons.alignment import frame, matching, permutations, results, stages
from skeletons.alignment.permutations import Array, Part, Specification
from skeletons.errors import ArtifactError, SkeletonsError
from skeletons.networks import architectures
from skeletons.networks.build import build
from skeletons.prediction import inference
from skeletons.store import artifacts

WIDTHS = {"cnn": 6, "resnet9": 4, "resnet20": 4, "speednet": 6}


def network(name: str, width: int | None = None) -> torch.nn.Sequential:
    return build(name, width or WIDTHS[name], 5, (0.5, 0.4, 0.3), (0.2, 0.2, 0.2))


def model(name: str, seed: int, width: int | None = None) -> dict[str, Array]:
    """A model's tensors, all random, so that no two units are equal."""
    torch.manual_seed(0)
    draw = np.random.default_rng(seed)
    tensors = {}
    for key, tensor in network(name, width).state_dict().items():
        values = tensor.numpy()
        if key.startswith("body") and values.dtype.kind == "f" and "whiten" not in key:
            spread = 1.0 if name == "cnn" else 0.3  # equalised weights are drawn with 1
            values = draw.normal(0, spread, values.shape).astype(np.float32)
            if key.endswith("running_var"):
                values = np.abs(values) + 0.5
        tensors[key] = values
    return tensors


def logits(name: str, tensors: dict[str, Array]) -> Array:
    net = network(name)
    net.load_state_dict({key: torch.from_numpy(value) for key, value in tensors.items()})
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (8, 3, 32, 32), generator=draw, dtype=torch.uint8)
    return inference.predict(net, images).numpy()


def parts(name: str) -> tuple[dict[str, Array], Specification]:
    tensors = model(name, 1)
    return tensors, specification_of(name, WIDTHS[name])


# Of the specifications that were written by hand for the built-in networks, before networks were
# followed: the groups by name and order, and their places.
BY_HAND = {
    ("cnn", 3): "20bcaa348761b654",
    ("cnn", 16): "25c368d35a87a7d7",
    ("resnet9", 3): "37d7c478bf07765e",
    ("resnet9", 16): "5c16995d782660a3",
    ("resnet20", 3): "7aedcca912644740",
    ("resnet20", 16): "ce7f6a4808c0bb73",
    ("speednet", 3): "45a3ead17734866e",
    ("speednet", 16): "09195811284db824",
}


@pytest.mark.parametrize(("name", "width"), BY_HAND)
def test_built_in_networks_have_the_groups_that_were_written_by_hand(name: str, width: int) -> None:
    spec = specification_of(name, width)
    groups = [
        [group, [[part.tensor, part.axis, part.places.tolist()] for part in parts]]
        for group, parts in spec.parts.items()
    ]
    digest = hashlib.sha256(json.dumps(groups).encode()).hexdigest()
    assert digest[:16] == BY_HAND[name, width]
    assert set(spec.blocks.values()) == {1}
    assert not spec.heads


@pytest.mark.parametrize("name", architectures.REGISTRY)
def test_permuting_units_does_not_change_the_function(name: str) -> None:
    tensors, spec = parts(name)
    before = logits(name, tensors)
    assert np.ptp(before, axis=0).max() > 0.01, "the network looks at its input"
    for seed in range(3):
        shuffled = random_permutations(spec, seed)
        moved = permutations.apply(tensors, spec, shuffled)
        assert matching.cosine(tensors, moved, spec.tensors) < 0.9, "they did change places"
        after = logits(name, moved)
        assert np.abs(after - before).max() < 1e-5 * np.abs(before).max()


@pytest.mark.parametrize("name", architectures.REGISTRY)
def test_every_group_is_needed_and_moves_weights(name: str) -> None:
    """Half a permutation, at the outputs only, changes the function."""
    tensors, spec = parts(name)
    before = logits(name, tensors)
    for group, size in spec.sizes.items():
        if size < 2:
            continue
        turn = {group: np.roll(np.arange(size), 1)}
        moved = permutations.apply(tensors, spec, turn)
        reader = next(p.tensor for p in spec.parts[group] if p.axis == 1)
        broken = {**moved, reader: tensors[reader]}
        assert np.abs(logits(name, broken) - before).max() > 1e-4 * np.abs(before).max(), group


@pytest.mark.parametrize("name", architectures.REGISTRY)
def test_only_fixed_axes_have_no_group(name: str) -> None:
    """Colours, whitened colours and classes keep their order; every other channel is in a group."""
    tensors, spec = parts(name)
    for key, tensor in tensors.items():
        if not key.startswith("body") or "whiten" in key:
            continue
        for axis, length in enumerate(tensor.shape[:2]):
            places = [
                part.places.ravel()
                for found in spec.parts.values()
                for part in found
                if (part.tensor, part.axis) == (key, axis)
            ]
            covered = np.sort(np.concatenate(places)) if places else np.array([])
            assert len(covered) in (0, length), (key, axis)
            assert np.array_equal(covered, np.arange(len(covered)))
            assert len(covered) or length in (3, 5, 24), (key, axis)


def test_the_shortcut_of_resnet20_ties_its_stages() -> None:
    _, spec = parts("resnet20")
    sizes = spec.sizes
    assert (sizes["body.0"], sizes["body.6.padding"], sizes["body.9.padding"]) == (4, 4, 8)
    turn = {"body.0": np.array([1, 0, 2, 3])}
    # two padding channels before those that pass through, and four after
    wide = permutations.order(spec, turn, "body.7.conv2.weight")
    assert wide.tolist() == [0, 1, 3, 2, 4, 5, 6, 7]
    wider = permutations.order(spec, turn, "body.13.weight", 1)
    assert wider.tolist() == [0, 1, 2, 3, 4, 5, 7, 6, *range(8, 16)]
    ends = {"body.6.padding": np.array([3, 1, 2, 0])}
    assert permutations.order(spec, ends, "body.6.norm2.bias").tolist() == [7, 1, 2, 3, 4, 5, 6, 0]


@pytest.mark.parametrize("name", architectures.REGISTRY)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_permuted_copy_is_recovered_exactly(name: str, seed: int) -> None:
    tensors, spec = parts(name)
    copy = permutations.apply(tensors, spec, random_permutations(spec, seed))
    names = matching.compared(spec)
    assert matching.cosine(tensors, copy, names) < 0.9
    found = matching.match(tensors, copy, spec, seed=seed)
    aligned = permutations.apply(copy, spec, found)
    assert matching.cosine(tensors, aligned, names) == pytest.approx(1, abs=1e-12)
    assert all(np.array_equal(aligned[key], tensors[key]) for key in tensors)


@pytest.mark.parametrize("name", architectures.REGISTRY)
def test_matching_strangers_never_loses_and_repeats_itself(name: str) -> None:
    tensors, spec = parts(name)
    names = matching.compared(spec)
    first = matching.prepared(tensors, spec, names)
    for seed in (2, 3):
        other = model(name, seed)
        second = matching.prepared(other, spec, names)
        before = matching.inner_product(first, second, names)
        values = []
        for restarts in (1, 3):
            found = matching.match(tensors, other, spec, seed=7, restarts=restarts)
            moved = permutations.apply(second, spec, found)
            values.append(matching.inner_product(first, moved, names))
            again = matching.match(tensors, other, spec, seed=7, restarts=restarts)
            assert all(np.array_equal(found[group], again[group]) for group in found)
        assert before < values[0] <= values[1]


def test_no_permutation_of_two_groups_is_better_in_a_tiny_network() -> None:
    """Compared with all 3!·3! pairs of permutations, in a small network."""
    shapes = {"one.weight": (3, 2), "two.weight": (3, 3), "three.weight": (2, 3)}
    places = np.arange(3)[:, None]
    spec = Specification(
        shapes,
        {
            "one": (Part("one.weight", 0, places), Part("two.weight", 1, places)),
            "two": (Part("two.weight", 0, places), Part("three.weight", 1, places)),
        },
    )
    orders = [np.array(p) for p in itertools.permutations(range(3))]
    for seed in range(20):
        draw = np.random.default_rng(seed)
        a, b = ({n: draw.normal(size=s) for n, s in shapes.items()} for _ in range(2))
        best = max(
            matching.inner_product(a, permutations.apply(b, spec, {"one": p, "two": q}), shapes)
            for p in orders
            for q in orders
        )
        found = matching.match(a, b, spec, restarts=20)
        got = matching.inner_product(a, permutations.apply(b, spec, found), shapes)
        assert got <= best + 1e-12
        assert got == pytest.approx(best, rel=0.05)


def test_weights_are_matched_as_they_are_applied() -> None:
    """Of cnn, stored weights of the first layers are too small beside those of later ones."""
    tensors, spec = parts("cnn")
    other = model("cnn", 2)
    scales = {name.removesuffix(".weight"): factor for name, factor in spec.factors.items()}
    modules = dict(network("cnn").named_modules())
    assert scales == {
        name: module.scale for name, module in modules.items() if hasattr(module, "scale")
    }
    applied = [
        {key: values * np.float64(spec.factors.get(key, 1)) for key, values in one.items()}
        for one in (tensors, other)
    ]
    plain = dataclasses.replace(spec, factors={})
    found = matching.match(tensors, other, spec)
    wanted = matching.match(*applied, plain)
    stored = matching.match(tensors, other, plain)
    assert all(np.array_equal(found[group], wanted[group]) for group in found)
    assert any(not np.array_equal(found[group], stored[group]) for group in found)
    names = matching.compared(spec)
    values = [
        matching.inner_product(applied[0], permutations.apply(applied[1], spec, p), names)
        for p in (found, stored)
    ]
    assert values[0] > values[1]


def test_without_such_layers_nothing_is_multiplied() -> None:
    assert not parts("resnet9")[1].factors


# --- all models in one frame ----------------------------------------------------------------------


def around(spec: Specification, frames: list[dict[str, Array]]) -> dict[str, Array]:
    """From the first model to the second, the third and back: what each pair does, composed."""
    order = {group: np.arange(size) for group, size in spec.sizes.items()}
    for one, two in itertools.pairwise([*frames, frames[0]]):
        step = frame.through_frame(one, two)
        order = {group: step[group][order[group]] for group in order}
    return order


@pytest.mark.parametrize(("name", "width"), [("cnn", 4), ("resnet20", 3)])
def test_the_permutations_of_three_models_compose_to_the_identity(name: str, width: int) -> None:
    models, spec = [model(name, k, width) for k in (1, 2, 3)], specification_of(name, width)
    found = frame.common_frame(models, spec)
    assert all(np.array_equal(p, np.arange(len(p))) for p in around(spec, found).values())
    assert all(
        np.array_equal(frame.through_frame(p, p)[group], np.arange(size))
        for p in found
        for group, size in spec.sizes.items()
    )
    again = frame.common_frame(models, spec)
    assert all(np.array_equal(p[g], q[g]) for p, q in zip(found, again, strict=True) for g in p)
    # Matched pair by pair, they contradict each other.
    alone = {group: np.arange(size) for group, size in spec.sizes.items()}
    for one, two in itertools.pairwise([*models, models[0]]):
        step = matching.match(one, two, spec)
        alone = {group: step[group][alone[group]] for group in alone}
    assert any(not np.array_equal(p, np.arange(len(p))) for p in alone.values())


@pytest.mark.parametrize("name", architectures.REGISTRY)
def test_permuted_copies_meet_in_the_frame(name: str) -> None:
    tensors, spec = parts(name)
    copies = [permutations.apply(tensors, spec, random_permutations(spec, k)) for k in (1, 2)]
    models = [tensors, *copies]
    found = frame.common_frame(models, spec)
    for k, copy in enumerate(copies, start=1):
        aligned = permutations.apply(copy, spec, frame.through_frame(found[0], found[k]))
        assert all(np.array_equal(aligned[key], tensors[key]) for key in tensors)


def test_the_frame_is_about_as_good_as_each_pair_alone_and_better_than_by_one_model() -> None:
    tensors, spec = parts("cnn")
    models = [tensors, model("cnn", 2), model("cnn", 3)]
    names = matching.compared(spec)
    fixed = [matching.prepared(one, spec, names) for one in models]
    found = frame.common_frame(models, spec)
    by_first = [permutations.identity(spec)]
    by_first += [matching.match(tensors, other, spec) for other in models[1:]]
    alone = sum(
        matching.inner_product(
            fixed[i],
            permutations.apply(fixed[j], spec, matching.match(models[i], models[j], spec)),
            names,
        )
        for i, j in itertools.combinations(range(3), 2)
    )
    value = frame.total(fixed, spec, found)
    assert frame.total(fixed, spec, by_first) < value
    assert value > 0.95 * alone


def test_a_frame_of_two_is_a_match() -> None:
    tensors, spec = parts("resnet9")
    other = model("resnet9", 2)
    names = matching.compared(spec)
    found = frame.through_frame(*frame.common_frame([tensors, other], spec))
    values = [
        matching.inner_product(tensors, permutations.apply(other, spec, p), names)
        for p in (found, matching.match(tensors, other, spec))
    ]
    assert values[0] > 0.97 * values[1]


def test_the_stages_of_the_frame_align_pairs(tmp_path: Path) -> None:
    tensors, spec = parts("cnn")
    models = [
        tensors,
        *(permutations.apply(tensors, spec, random_permutations(spec, k)) for k in (1, 2)),
    ]
    units, together, out, report = (str(tmp_path / n) for n in ("s.json", "f", "p", "r.json"))
    paths = [str(tmp_path / name) for name in "abc"]
    bases = ["seed=1", "seed=2", "seed=3"]
    for path, one in zip(paths, models, strict=True):
        artifacts.write_tensors(path, one)
    artifacts.write_json(units, symmetries_of("cnn", WIDTHS["cnn"]))
    common = {"symmetries": units, "by": "weights"}
    stages.align_together_stage(models=paths, frame=together, bases=bases, seed=0, **common)
    through = {"frame": together, "permutations": out, "gains": report, **common}
    stages.align_through_frame_stage(a=paths[2], b=paths[1], bases=["seed=3", "seed=2"], **through)
    aligned = permutations.read_aligned(paths[1], units, out)
    assert all(np.array_equal(aligned[key], models[2][key]) for key in tensors)
    assert artifacts.read_json(report)["cosine_after"] == pytest.approx(1)
    with pytest.raises(ArtifactError, match=r"f does not align .*b to .*c"):
        stages.align_through_frame_stage(
            a=paths[2], b=paths[1], bases=["seed=3", "seed=9"], **through
        )
    artifacts.write_tensors(paths[1], model("resnet9", 1))
    with pytest.raises(ArtifactError, match="cannot be aligned: the two models are not of one"):
        stages.align_together_stage(models=paths, frame=together, bases=bases, seed=0, **common)


def test_results_are_aligned_as_the_experiment_aligned_them(tmp_path: Path) -> None:
    tensors, spec = parts("cnn")
    other = model("cnn", 2)
    about = {"name": "cnn", "width": WIDTHS["cnn"], "classes": 5}
    bases = [tmp_path / f"models/seed={k}/weights.safetensors" for k in (1, 2)]
    for path, one in zip(bases, (tensors, other), strict=True):
        artifacts.write_tensors(path, one)

    def found(model: dict[str, Array], files: list[Path], **chosen: str) -> dict[str, Array]:
        return results.aligned(model, tmp_path, files, about, chosen)

    by_weights = permutations.apply(other, spec, matching.match(tensors, other, spec))
    drawn = random_permutations(spec, 5)
    for chosen, folder in (
        ({}, ""),
        ({"match": "activations"}, "activations/"),
        ({"match": "activations", "order": "all"}, "together/activations/"),
        ({"order": "all"}, "together/weights/"),
    ):
        if chosen:
            with pytest.raises(SkeletonsError, match="seed=1 and seed=2 were not aligned by"):
                found(other, bases, **chosen)
        else:
            assert all(np.array_equal(found(other, bases)[k], by_weights[k]) for k in other)
        artifacts.write_tensors(tmp_path / f"alignment/{folder}seed=1--seed=2.safetensors", drawn)
        moved = found(other, bases, **chosen)
        wanted = permutations.apply(other, spec, drawn)
        assert all(np.array_equal(moved[key], wanted[key]) for key in other)
        back = found(moved, bases[::-1], **chosen)
        assert all(np.array_equal(back[key], other[key]) for key in other)


def test_only_the_named_tensors_count() -> None:
    tensors, spec = parts("cnn")
    other = model("cnn", 2)
    found = matching.match(tensors, other, spec, weights=["body.0.weight"])
    assert np.array_equal(found["body.13"], np.arange(24)), "nothing says how to order these"
    aligned = permutations.apply(other, spec, found)
    gained = matching.inner_product(tensors, aligned, ["body.0.weight"])
    everything = matching.match(tensors, other, spec)
    less = permutations.apply(other, spec, everything)
    assert gained >= matching.inner_product(tensors, less, ["body.0.weight"])


def test_dead_units_are_matched_anywhere_and_the_rest_exactly() -> None:
    tensors, spec = parts("cnn")
    for key in ("body.5.weight", "body.5.bias"):
        tensors[key] = tensors[key].copy()
        tensors[key][[1, 4, 5]] = 0
    tensors["body.7.weight"] = tensors["body.7.weight"].copy()
    tensors["body.7.weight"][:, [1, 4, 5]] = 0
    copy = permutations.apply(tensors, spec, random_permutations(spec, 1))
    aligned = permutations.apply(copy, spec, matching.match(tensors, copy, spec))
    assert all(np.array_equal(aligned[key], tensors[key]) for key in tensors)


def test_an_inverse_undoes() -> None:
    tensors, spec = parts("resnet9")
    shuffled = random_permutations(spec, 1)
    moved = permutations.apply(tensors, spec, shuffled)
    back = permutations.apply(moved, spec, inverse(shuffled))
    assert all(np.array_equal(back[key], tensors[key]) for key in tensors)


def test_what_cannot_be_aligned_is_said() -> None:
    tensors, spec = parts("cnn")
    with pytest.raises(ValueError, match="not the tensors of the network: they differ at 'body"):
        permutations.specification(symmetries_of("resnet9", 4), tensors)
    with pytest.raises(ValueError, match=r"differ at 'body\.0\.bias'"):
        matching.match(tensors, {**tensors, "body.0.bias": np.zeros(2)}, spec)
    for wrong in ({"body.1": np.arange(6)}, {"body.0": np.zeros(6, dtype=np.int64)}):
        with pytest.raises(ValueError, match="is not a group of 6 units"):
            permutations.apply(tensors, spec, wrong)


def test_the_stage_writes_what_aligns(tmp_path: Path) -> None:
    tensors, spec = parts("resnet9")
    copy = permutations.apply(tensors, spec, random_permutations(spec, 3))
    a, b, units, out, report = (str(tmp_path / n) for n in ("a", "b", "s.json", "p", "r.json"))
    artifacts.write_tensors(a, tensors)
    artifacts.write_tensors(b, copy)
    artifacts.write_json(units, symmetries_of("resnet9", WIDTHS["resnet9"]))
    given = {"a": a, "b": b, "symmetries": units, "permutations": out, "gains": report}
    stages.align_stage(**given, by="weights", seed=1, restarts=2)
    aligned = permutations.read_aligned(b, units, out)
    assert all(np.array_equal(aligned[key], tensors[key]) for key in tensors)
    said = artifacts.read_json(report)
    assert said["cosine_before"] < said["cosine_after"] == pytest.approx(1)
    assert set(said["moved"]) == set(spec.parts)
    artifacts.write_tensors(b, model("cnn", 1))
    with pytest.raises(ArtifactError, match=r"b cannot be aligned to .*a: the two models"):
        stages.align_stage(**given, by="weights", seed=1, restarts=2)
    with pytest.raises(ArtifactError, match=r"p does not align .*b"):
        permutations.read_aligned(b, units, out)
