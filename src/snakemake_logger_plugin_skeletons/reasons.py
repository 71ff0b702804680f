"""Why a job failed, in one sentence, and which reasons are the same."""

from __future__ import annotations

import re

from skeletons.workflow import failures, phrases

NOTHING = "its process ended without an error message."


def explain(logs: list[str], exception: str) -> tuple[str, str]:
    """Why a job failed, and the log with this reason, or an empty string.

    Args:
        logs: the log files of the job.
        exception: the text of Snakemake's exception for the job. It is used if no log has a reason.
    """
    signal = phrases.ENDED_BY_SIGNAL.find(exception)
    for log in logs:
        sentence, crashed, last = failures.last_words(log)
        if sentence or crashed:
            return sentence or crashed, f"more in {log}" if crashed else log
        if last and not signal:
            return last, log
    if signal:
        return failures.ended_by(signal[1]), ""
    return exception.strip() or NOTHING, ""


def kind_of(reason: str) -> str:
    """A reason without its measured numbers, which differ for each job that it stops.

    Numbers in a name such as `seed=1` and line numbers stay, because they distinguish reasons.
    """
    return re.sub(r"(?<![\w=./-])(?<!line )-?\d+(\.\d+)?(e[-+]?\d+)?(?![\w=/])", "…", reason)
