"""How a run begins to schedule; the limit of jobs a second is Snakemake's own class."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake.cli import get_argument_parser
from snakemake.scheduling.job_scheduler import JobRateLimiter
from snakemake.settings.types import MaxJobsPerTimespan

RULES = Path(__file__).parents[1] / "rules/schedule.smk"


def paced(limit: MaxJobsPerTimespan | None, **known: Any) -> SimpleNamespace:
    """The scheduler of a run that begins, under a limit of jobs a second."""
    limiter = JobRateLimiter(limit) if limit else None
    scheduler = SimpleNamespace(job_rate_limiter=limiter, subsample=known.pop("subsample", 20))
    run = SimpleNamespace(scheduler=scheduler, **{"local_exec": True, "cores": 2, **known})
    names: dict[str, Any] = {"workflow": run}
    exec(compile(RULES.read_text(encoding="utf-8"), RULES, "exec"), names)
    names["pace_scheduler"]()
    return scheduler


def test_the_default_limit_of_jobs_a_second_is_lifted() -> None:
    default = get_argument_parser().get_default("max_jobs_per_timespan")
    assert paced(MaxJobsPerTimespan.parse_choice(default)).job_rate_limiter is None
    assert paced(None).job_rate_limiter is None


def test_a_limit_of_the_user_s_own_stays() -> None:
    kept = paced(MaxJobsPerTimespan.parse_choice("5/1m")).job_rate_limiter
    assert (kept.max_jobs, kept.timespan) == (5, 60)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({}, 20),
        ({"cores": 64}, 128),
        ({"subsample": None, "cores": 64}, None),
        ({"local_exec": False, "cores": None, "subsample": 1000}, 1000),
    ],
)
def test_a_round_looks_at_two_jobs_a_core(known: dict[str, Any], expected: int | None) -> None:
    assert paced(None, **known).subsample == expected
