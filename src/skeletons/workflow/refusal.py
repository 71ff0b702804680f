"""How the rules end a run with one sentence, and how the logger finds that sentence."""

from __future__ import annotations

from snakemake.exceptions import WorkflowError


class RefusalError(WorkflowError):
    """Ends a run because of a problem that the user can correct.

    Snakemake also prints the place in the rules. The logger plugin shows only the text.
    """


def text_of(message: str) -> str:
    """The text of a `RefusalError`, taken from Snakemake's message.

    The message is a line with the exception and its place, the text, and the lines of a traceback.
    """
    lines = message.splitlines()[1:]
    while lines and lines[-1].startswith("  File "):
        lines.pop()
    return "\n".join(lines)
