from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skeletons.errors import ArtifactError
from skeletons.store import artifacts


def test_what_is_written_is_read(tmp_path: Path) -> None:
    tensors = {"b": np.arange(6, dtype=np.uint8).reshape(2, 3), "a": np.ones(2, np.float32)}
    artifacts.write_tensors(tmp_path / "t.safetensors", tensors)
    found = artifacts.read_tensors(tmp_path / "t.safetensors")
    assert all(np.array_equal(found[name], tensors[name]) for name in tensors)
    artifacts.write_table(tmp_path / "sub" / "t.parquet", pd.DataFrame({"x": [1.5, np.nan]}))
    assert artifacts.read_table(tmp_path / "sub" / "t.parquet", ["x"]).x[0] == 1.5
    artifacts.write_json(tmp_path / "v.json", {"λ": [1, None]})
    assert artifacts.read_json(tmp_path / "v.json", ["λ"]) == {"λ": [1, None]}


def test_equal_content_is_equal_bytes(tmp_path: Path) -> None:
    one, two = np.ones(3), np.zeros(2)
    artifacts.write_tensors(tmp_path / "1" / "t", {"a": one, "b": two})
    artifacts.write_tensors(tmp_path / "2" / "t", {"b": two, "a": one})
    assert (tmp_path / "1" / "t").read_bytes() == (tmp_path / "2" / "t").read_bytes()


def test_large_tensors_are_written_as_small_ones_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same bytes, and each way of reading finds the same in them."""
    draw = np.random.default_rng(0)
    tensors = {
        "é b": draw.integers(0, 256, (5, 3, 7), dtype=np.uint8),
        "a": draw.random((3, 2)).astype(np.float32),
        "c": draw.random(4),
        "d": draw.integers(-9, 9, 3),
        **{
            f"of {kind}": draw.integers(0, 2, 3).astype(kind)
            for kind in ("?", "i1", "i2", "u2", "f2", "i4", "u4", "u8")
        },
        "none": np.empty((0, 3), dtype=np.uint8),
    }
    path = tmp_path / "t.safetensors"
    artifacts.write_tensors(path, tensors)
    small = path.read_bytes()
    monkeypatch.setattr(artifacts, "_LARGE", 0)
    artifacts.write_tensors(path, tensors)
    assert path.read_bytes() == small
    for mapped in (None, False, True):
        found = artifacts.read_tensors(path, mapped=mapped)
        for name, tensor in tensors.items():
            assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape)
            assert np.array_equal(found[name], tensor)
            assert not tensor.size or isinstance(found[name], np.memmap) == bool(mapped)


@pytest.mark.parametrize("value", [0.5, np.nan])
def test_rows_are_written_as_a_table_of_them_is(tmp_path: Path, value: float) -> None:
    row = {"a": "seed=1", "images": 3, "valid": True, "reason": "", "cosine": value}
    for count in (1, 2):
        rows = [row, {**row, "cosine": 1.0}][:count]
        path = tmp_path / f"{count}.parquet"
        artifacts.write_table(path, pd.DataFrame(rows))
        expected = path.read_bytes()
        artifacts.write_rows(path, rows)
        assert path.read_bytes() == expected


def test_many_tables_are_read_as_the_concatenation_of_each(tmp_path: Path) -> None:
    frames = [
        pd.DataFrame({"a": ["x", "y"], "cosine": [0.5, np.nan]}),
        pd.DataFrame({"a": ["z"], "cosine": [np.nan]}),
    ]
    paths = [tmp_path / f"{k}.parquet" for k in range(2)]
    for path, frame in zip(paths, frames, strict=True):
        artifacts.write_table(path, frame)
    each = [artifacts.read_table(path) for path in paths]
    found = artifacts.read_tables(paths, ["a", "cosine"])
    pd.testing.assert_frame_equal(found, pd.concat(each, ignore_index=True))
    with pytest.raises(ArtifactError, match=r"1\.parquet has no column 'b'"):
        artifacts.read_tables(paths[1:], ["b"])


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "v.json"
    artifacts.write_json(path, {"old": 1})

    def fail() -> None:
        with artifacts.atomic(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [p.name for p in tmp_path.iterdir()] == ["v.json"]
    assert artifacts.read_json(path) == {"old": 1}


def test_nan_is_not_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        artifacts.write_json(tmp_path / "v.json", {"x": float("nan")})
    assert not (tmp_path / "v.json").exists()
