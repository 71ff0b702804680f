"""How the rules end a run with one sentence, and how the logger finds it again."""

from __future__ import annotations

from snakemake.exceptions import WorkflowError


class RefusalError(WorkflowError):
    """Ends a run because of something that the user can correct.

    Snakemake prints the place in the rules with it. The logger plugin shows the text alone.
    """


def text_of(message: str) -> str:
    """The text of a `RefusalError` in Snakemake's message about it.

    The message is a line with the exception and its place, the text, and the lines of a traceback.
    """
    lines = message.splitlines()[1:]
    while lines and lines[-1].startswith("  File "):
        lines.pop()
    return "\n".join(lines)
