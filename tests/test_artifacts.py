from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skeletons import artifacts


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
