"""The logger plugin that shows a run: its progress, and a sentence for each failure.

The profiles select it with `logger: [skeletons]`. On a terminal it shows one bar, the time left and
the jobs at work; elsewhere it prints a line when a stage begins and a line when it is done. For a
failed job it prints the model and the sentence from the job's log, where Snakemake would print the
command. After an interrupt it does not report the jobs that were ended by it.

It uses Snakemake's documented interface for logger plugins, and rich.
"""

from __future__ import annotations

import gc
import logging
from logging import LogRecord

from rich.console import Console
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_skeletons.narrator import Narrator


class LogHandler(LogHandlerBase):
    """The handler that Snakemake creates."""

    def __post_init__(self) -> None:
        # Almost all objects of Snakemake's start and of its DAG stay, and by default Python looks
        # through them for garbage again and again.
        gc.set_threshold(50_000)
        settings = self.common_settings
        shown, errors = (
            Console(stderr=stderr, no_color=settings.nocolor or None)
            for stderr in (not settings.stdout, True)
        )
        # A dry run is shown on stdout, and its errors on stderr all the same. In a real run, both
        # must be one console: below what it prints, it keeps the picture.
        self.narrator = Narrator(shown, settings, self.format, errors if settings.stdout else shown)
        self.addFilter(self.wanted)

    def wanted(self, record: LogRecord) -> bool:
        """Whether a record is shown at all, by the options --quiet, --verbose and --debug-dag."""
        event = getattr(record, "event", None)
        if event == LogEvent.DEBUG_DAG:
            return self.common_settings.debug_dag
        if record.levelno <= logging.DEBUG:  # --debug-dag lets these through as well
            return self.common_settings.verbose
        kind = None if event else getattr(record, "quietness", None)
        return kind not in (self.common_settings.quiet or ())

    def emit(self, record: LogRecord) -> None:
        try:
            self.narrator.tell(record)
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        self.narrator.close()
        super().close()

    @property
    def writes_to_stream(self) -> bool:
        return True

    @property
    def writes_to_file(self) -> bool:
        return False

    @property
    def has_filter(self) -> bool:
        """Snakemake's own filter would hide failures with --quiet, so the filter is `wanted`."""
        return True

    @property
    def has_formatter(self) -> bool:
        """The details that --verbose adds are in Snakemake's own words."""
        return False

    @property
    def needs_rulegraph(self) -> bool:
        return False
