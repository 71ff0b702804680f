"""The place where a run is shown: printed lines, and on a terminal a picture below them."""

from __future__ import annotations

from rich.console import Console, RenderableType
from rich.live import Live
from rich.status import Status
from rich.text import Text


class Screen:
    """A console with at most one animation at its end: first a spinner, then the picture.

    Both appear only on a terminal, and are removed at the end.
    """

    def __init__(
        self, console: Console, picture: RenderableType, errors: Console | None = None
    ) -> None:
        self.console = console
        self.errors = errors or console
        self._picture = Live(picture, console=console, refresh_per_second=2, transient=True)
        self._spinner = Status("", console=console)
        self._spins = False

    @property
    def is_terminal(self) -> bool:
        return self.console.is_terminal

    def say(self, text: str, style: str = "") -> None:
        """Print a text unchanged; the terminal wraps long lines."""
        self.show(Text(text, style=style), soft_wrap=True)

    def warn(self, text: str, style: str) -> None:
        """Print a warning or an error."""
        self._stop_spinner()
        self.errors.print(Text(text, style=style), soft_wrap=True)

    def show(self, what: RenderableType, *, soft_wrap: bool = False) -> None:
        self._stop_spinner()
        self.console.print(what, soft_wrap=soft_wrap)

    def heading(self, text: str) -> None:
        self.console.rule(text, style="green")

    def spin(self, text: str) -> None:
        """Show a spinner until something else is shown."""
        if self.is_terminal:
            self._spinner.update(text)
            self._spinner.start()
            self._spins = True

    def start_picture(self) -> None:
        self._stop_spinner()
        if self.is_terminal:
            self._picture.start()

    def redraw(self) -> None:
        """Show a change at once, because it may be over before the next refresh."""
        if self._picture.is_started:
            self._picture.refresh()

    def close(self) -> None:
        self._stop_spinner()
        self._picture.stop()

    def _stop_spinner(self) -> None:
        if self._spins:
            self._spinner.stop()
            self._spins = False
