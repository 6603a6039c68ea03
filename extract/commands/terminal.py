"""What a command prints: results to standard output, everything else to standard error."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from extract.imports import without

if TYPE_CHECKING:
    from structlog.typing import EventDict


class _Console(Console):
    """A console that raises an error when the reader of a pipe has gone, so that the command can handle it."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


screen = _Console(stderr=True, highlight=False)
output = _Console(highlight=False)

type Advance = Callable[[int, int], None]

SEVERITY_STYLES = {"CRITICAL": "bold red", "ERROR": "red", "WARNING": "yellow", "INFO": "cyan"}


def say(sentence: str, style: str | None = None) -> None:
    """Print a sentence of the result."""
    output.print(sentence, style=style, markup=False, soft_wrap=True)


def warn(sentence: str) -> None:
    """Print a sentence to standard error that is neither a result nor a failure."""
    screen.print(sentence, style="yellow", markup=False, soft_wrap=True)


class _Bar(BarColumn):
    """A bar, shown once the total is known."""

    def render(self, task: Task) -> Any:
        return super().render(task) if task.total else Text("")


class _Count(MofNCompleteColumn):
    """How much is done, shown once the total is known."""

    def render(self, task: Task) -> Text:
        return super().render(task) if task.total else Text("")


class Step:
    """A step that takes time, as a line at the foot of a terminal: a spinner, and a bar once the total is known.

    If steps are nested, the innermost one is shown.
    """

    _under_way: ClassVar[list["Step"]] = []

    def __init__(self, what: str) -> None:
        """Set the text to show from the start of the block."""
        self._lines: Progress | None = None
        self._what = what

    def tell(self, what: str) -> None:
        """Change the text: something else is under way, or awaited."""
        self._what = what
        if self._lines:
            self._lines.update(self._task, description=what)

    def advance(self, done: int, total: int) -> None:
        """Show how much is done."""
        if self._lines:
            self._lines.update(self._task, completed=done, total=total)

    def __enter__(self) -> "Step":
        if screen.is_terminal:
            for outer in self._under_way:
                outer._hide()
            columns = (SpinnerColumn(), TextColumn("{task.description}"), _Bar(), _Count(), TimeElapsedColumn())
            # Without this, Rich would redirect standard output to this console, which writes to standard error.
            self._lines = Progress(
                *columns, console=screen, transient=True, redirect_stdout=False, redirect_stderr=False
            )
            self._task = self._lines.add_task(self._what, total=None)
            self._lines.start()
            self._under_way.append(self)
        return self

    def _hide(self) -> None:
        if self._lines:
            self._lines.stop()

    def __exit__(self, *_: object) -> None:
        if self._lines:
            self._under_way.remove(self)
            self._lines.stop()
            self._lines = None
            for outer in self._under_way[-1:]:
                if outer._lines:
                    outer._lines.start()


@contextmanager
def progress(what: str) -> Iterator[Advance]:
    """A progress bar on a terminal; nothing elsewhere, where the log reports progress."""
    with Step(what) as step:
        yield step.advance


def configure_logs(run_id: str, *, is_verbose: bool = False) -> None:
    """Log to standard error: readable on a terminal, one JSON object a line elsewhere, with Cloud Logging's names.

    Args:
        run_id: the command's, on every line of JSON.
        is_verbose: on a terminal, also log successes and each failed attempt.
    """
    # Structlog would import Twisted, which kiteconnect installs, to support its logging.
    with without("twisted"):
        import structlog

    # Not with context variables, because the threads of the sources and of dbt do not inherit them.
    def with_run_id(_: object, __: str, event: "EventDict") -> "EventDict":
        return {"run_id": run_id, **event}

    def as_line(_: object, level: str, event: "EventDict") -> tuple[tuple[Table], dict[str, Any]]:
        return (_line(level, event, is_verbose=is_verbose),), {}

    if screen.is_terminal:
        structlog.configure(
            processors=[_without_alerts, structlog.processors.format_exc_info, as_line],
            # On a terminal, the steps show successes.
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO if is_verbose else logging.WARNING),
            logger_factory=lambda *_: _Screen(),
            cache_logger_on_first_use=False,
        )
        return
    structlog.configure(
        processors=[
            with_run_id,
            structlog.processors.add_log_level,
            _with_severity,
            structlog.processors.TimeStamper(fmt="iso", key="time"),
            structlog.processors.EventRenamer("message"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        # Look up standard error at each message: a caller in this process may have replaced and closed it since.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


class _Screen:
    """A logger that prints through the console of the steps, which makes room for each line."""

    def msg(self, line: Table) -> None:
        """Print a line."""
        screen.print(line)

    debug = info = warning = error = critical = msg


def _line(level: str, event: "EventDict", *, is_verbose: bool) -> Table:
    """``22:40:53 warning yahoo 3MINDIA: request failed: Yahoo sent no prices``, and the other fields of the event."""
    from datetime import datetime

    about = " ".join(str(event.pop(name)) for name in ("source", "symbol") if event.get(name))
    words = [about, str(event.pop("event")), str(event.pop("reason", ""))]
    exception = event.pop("exception", None)
    if exception and not is_verbose:
        words.append(str(exception).strip().rpartition("\n")[2])
    text = Text(": ".join(word for word in words if word))
    if is_verbose:
        known = " ".join(f"{name}={value}" for name, value in event.items() if value is not None)
        text.append(f" {known}" if known else "", "dim")
        text.append(f"\n{exception}" if exception else "")
    line = Table.grid(padding=(0, 1))
    line.add_column(no_wrap=True)
    line.add_column(no_wrap=True)
    line.add_column(overflow="fold")
    line.add_row(f"{datetime.now().astimezone():%H:%M:%S}", Text(level, SEVERITY_STYLES.get(level.upper(), "")), text)
    return line


def _without_alerts(_: object, __: str, event: "EventDict") -> "EventDict":
    """Leave alerts out of the log of a terminal: the last lines of a command and ``status`` show them."""
    import structlog

    if "alert_id" in event:
        raise structlog.DropEvent
    return event


def _with_severity(_: object, __: str, event: "EventDict") -> "EventDict":
    event["severity"] = str(event.pop("level")).upper()
    return event
