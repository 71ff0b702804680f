"""The cluster that the tests of this folder share."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm.cluster import Cluster, missing


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Three nodes. Tests are skipped without SLURM, but fail if REQUIRE_SLURM is set."""
    reason = missing()
    if reason and os.environ.get("REQUIRE_SLURM"):
        pytest.fail(f"REQUIRE_SLURM is set, but there is {reason}")
    if reason:
        pytest.skip(reason)
    # Not pytest's own folder: its path is too long for a socket.
    folder = Path(tempfile.mkdtemp(prefix="slurm"))
    cluster = Cluster(folder / "cluster")
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
