"""The text to show for a message without an event."""

from __future__ import annotations

from skeletons.workflow import phrases

FROM_CACHE = "Results in the run cache are copied from there, not computed."


def shown(message: str, *, verbose: bool) -> str:
    """A message as it is shown: unchanged, unless it is known here; empty if it is hidden."""
    if any(phrase.find(message) for phrase in phrases.HIDDEN):
        return ""
    if phrases.DRY_RUN.find(message):
        return f"● {message} {FROM_CACHE}"
    return message if verbose else phrases.JOBS_ABOVE.removed(message)
