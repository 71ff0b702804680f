"""The SLURM profile names no account or partition, and otherwise equals that of a local run."""

import re
from pathlib import Path
from typing import Any

import yaml

PROFILES = Path(__file__).parents[1] / "profiles"
SLURM = (PROFILES / "slurm/config.yaml").read_text(encoding="utf-8")


def settings(text: str) -> dict[str, Any]:
    found = yaml.safe_load(text)
    assert isinstance(found, dict)
    return found


def test_what_holds_for_a_local_run_holds_on_a_cluster() -> None:
    local = settings((PROFILES / "default/config.yaml").read_text(encoding="utf-8"))
    # A job's log may be long; the message about the job names the log.
    del local["show-failed-logs"]
    # On a cluster, the scheduler looks at more ready jobs, because more can start at once.
    del local["scheduler-subsample"]
    assert {key: settings(SLURM).get(key) for key in local} == local


def test_the_sample_of_ready_jobs_fills_every_place_on_the_cluster() -> None:
    found = settings(SLURM)
    assert found["scheduler-subsample"] > found["jobs"] + found["local-cores"]


def test_no_account_partition_or_gpu_is_set_for_a_site() -> None:
    text = "\n".join(line.split("#")[0] for line in SLURM.splitlines())
    for name in ("account", "slurm_partition", "gpu", "status-command"):
        assert name not in text


def test_what_a_site_sets_only_needs_its_hash_taken_away() -> None:
    site = r"^( *)# ((?:gpu|slurm_account|slurm_partition|slurm-status-command): )"
    found = settings(re.sub(site, r"\1\2", SLURM, flags=re.M))
    assert {"slurm_account", "slurm_partition"} <= set(found["default-resources"])
    for rule in ("train_base", "regularize", "retrain"):
        assert found["set-resources"][rule]["gpu"] == 1
        assert "slurm_partition" in found["set-resources"][rule]
    assert found["slurm-status-command"] == "squeue"


def test_a_second_attempt_asks_for_more() -> None:
    found = settings(SLURM)
    for asked in (found["default-resources"], *found["set-resources"].values()):
        for name in ("mem_mb", "runtime"):
            first, second = (eval(asked[name], {"attempt": attempt}) for attempt in (1, 2))
            assert second > first
