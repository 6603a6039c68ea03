"""What a command prints: results to standard output, everything else to standard error."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from extract.imports import without

if TYPE_CHECKING:
    from structlog.typing import EventDict


screen = Console(stderr=True, highlight=False)
output = Console(highlight=False)

type Advance = Callable[[int, int], None]


def say(sentence: str, style: str | None = None) -> None:
    """Print a sentence of the result."""
    output.print(sentence, style=style, markup=False, soft_wrap=True)


def counted(count: int, what: str) -> str:
    """A number with its noun: ``1 row``, ``2,000 rows``."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


@contextmanager
def progress(what: str) -> Iterator[Advance]:
    """A progress bar on a terminal, and nothing elsewhere, where the log tells."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def configure_logs(run_id: str) -> None:
    """Log to standard error: readable on a terminal, one JSON object a line elsewhere, with Cloud Logging's names."""
    # It offers to log for Twisted, which kiteconnect brings.
    with without("twisted"):
        import structlog

    # Not by context variables, which the threads of the sources and of dbt do not inherit.
    def with_run_id(_: object, __: str, event: "EventDict") -> "EventDict":
        return {"run_id": run_id, **event}

    plain = structlog.dev.plain_traceback
    renderer = (
        structlog.dev.ConsoleRenderer(exception_formatter=plain)
        if screen.is_terminal
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            with_run_id,
            structlog.processors.add_log_level,
            _with_severity,
            structlog.processors.TimeStamper(fmt="iso", key="time"),
            structlog.processors.EventRenamer("message"),
            structlog.processors.format_exc_info,
            renderer,
        ]
        if not screen.is_terminal
        else [structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="%H:%M:%S"), renderer],
        # On a terminal the progress bar tells what goes well.
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING if screen.is_terminal else logging.INFO),
        # Standard error as it is at each message: whoever calls this in process may have replaced and closed it since.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _with_severity(_: object, __: str, event: "EventDict") -> "EventDict":
    event["severity"] = str(event.pop("level")).upper()
    return event
