from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skeletons import artifacts
from skeletons.errors import ArtifactError


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


def test_an_unwritable_place_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match=r"Cannot write .*file/v\.json: .*\."):
        artifacts.write_json(tmp_path / "file" / "v.json", {})


@pytest.mark.parametrize("kind", ["tensors", "table", "json"])
@pytest.mark.parametrize("damage", ["absent", "empty", "truncated", "garbage"])
def test_a_broken_file_is_named_with_its_remedy(tmp_path: Path, kind: str, damage: str) -> None:
    path = tmp_path / "artifact"
    {
        "tensors": lambda: artifacts.write_tensors(path, {"a": np.ones(100)}),
        "table": lambda: artifacts.write_table(path, pd.DataFrame({"x": range(100)})),
        "json": lambda: artifacts.write_json(path, {"x": list(range(100))}),
    }[kind]()
    read = {
        "tensors": artifacts.read_tensors,
        "table": artifacts.read_table,
        "json": artifacts.read_json,
    }[kind]
    content = path.read_bytes()
    if damage == "absent":
        path.unlink()
    else:
        path.write_bytes(
            {"empty": b"", "truncated": content[: len(content) // 2], "garbage": b"\x93" * 99}[
                damage
            ]
        )
    with pytest.raises(ArtifactError, match=r"artifact .*snakemake"):
        read(path)


def test_tensors_must_be_finite_and_complete(tmp_path: Path) -> None:
    artifacts.write_tensors(tmp_path / "t", {"a": np.array([1.0, np.nan])})
    with pytest.raises(ArtifactError, match="not finite in tensor 'a'"):
        artifacts.read_tensors(tmp_path / "t")
    with pytest.raises(ArtifactError, match="no tensor named 'b'"):
        artifacts.read_tensors(tmp_path / "t", ["b"])


def test_tables_must_have_rows_and_columns(tmp_path: Path) -> None:
    artifacts.write_table(tmp_path / "t", pd.DataFrame({"x": [1]}))
    with pytest.raises(ArtifactError, match="no column 'y'"):
        artifacts.read_table(tmp_path / "t", ["x", "y"])
    artifacts.write_table(tmp_path / "t", pd.DataFrame({"x": []}))
    with pytest.raises(ArtifactError, match="has no rows"):
        artifacts.read_table(tmp_path / "t")


def test_json_must_be_an_object_with_its_keys(tmp_path: Path) -> None:
    (tmp_path / "v").write_text("[1]")
    with pytest.raises(ArtifactError, match="not a JSON object"):
        artifacts.read_json(tmp_path / "v")
    artifacts.write_json(tmp_path / "v", {"a": 1})
    with pytest.raises(ArtifactError, match="no key 'b'"):
        artifacts.read_json(tmp_path / "v", ["a", "b"])
