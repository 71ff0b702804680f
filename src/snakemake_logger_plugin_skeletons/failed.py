"""The failed jobs of a run, and their reasons."""

from __future__ import annotations

from snakemake_logger_plugin_skeletons import lines
from snakemake_logger_plugin_skeletons.reasons import explain, kind_of


class Failed:
    """The failed jobs, by Snakemake's number, and their reasons.

    A reason is reported once, however many jobs it stops.
    """

    def __init__(self) -> None:
        self.jobs: set[int] = set()
        self._reasons: set[str] = set()
        self._exceptions: list[str] = []  # of jobs whose failure is not yet reported

    def expect(self, exception: str) -> None:
        """Keep Snakemake's exception for a job until the event of its failure follows."""
        self._exceptions.append(exception)

    def add(self, job: int, logs: list[str]) -> tuple[str, str] | None:
        """Add a job of this machine; its reason and log if the reason is new, else None."""
        reason, log = explain(logs, self._exceptions.pop(0) if self._exceptions else "")
        kind = kind_of(reason)
        new = kind not in self._reasons
        self._add(job, kind)
        return (reason, log) if new else None

    def add_of_cluster(self, job: int) -> None:
        """Add a job of a cluster, whose reason is not yet known."""
        self._add(job, str(job))

    def discard(self, job: int) -> None:
        """Forget a job that another attempt has done."""
        self.jobs.discard(job)
        self._reasons.discard(str(job))

    def leftover(self) -> list[str]:
        """The exceptions that belong to no failed job; each is returned once."""
        exceptions, self._exceptions = self._exceptions, []
        return exceptions

    def closing(self) -> str:
        """The last line of a run in which jobs failed."""
        return lines.closing(len(self.jobs), len(self._reasons))

    def _add(self, job: int, reason: str) -> None:
        self.jobs.add(job)
        self._reasons.add(reason)
