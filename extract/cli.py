"""``trading-data``: run one command, and turn how it ended into an exit status. See also commands/line.py."""

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from extract.commands.line import is_in_cloud_run, prepared, print_help
from extract.commands.terminal import output, say, screen
from extract.errors import (
    FAILED,
    INCOMPLETE,
    INTERRUPTED,
    OK,
    USAGE,
    AlreadyRunning,
    ConfigurationError,
    PipelineError,
    UsageError,
    told_of_system,
)
from extract.imports import cache_without_home
from extract.settings import Settings, past_proxies, require_project

# The BigQuery client takes three seconds to import. Each command imports it while the embedded warehouse starts, which
# takes as long.

# These commands only read the warehouse; they need no archive.
_QUERIES = {"query", "tables", "describe", "export"}

# No schedule starts these commands.
_ASKED_BY_PEOPLE = _QUERIES | {"diagnose"}


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status.

    0 done, 1 failed, 2 bad usage or configuration, 3 incomplete, 130 stopped by a person or the system. In a Cloud Run
    execution, an incomplete command ends with 0, and so does one that a person typed wrongly: any other status is tried
    again, and raises an alert.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments:
        print_help()
        return OK
    options = prepared(arguments)
    # Cloud Run asks a task to stop with this signal, ten seconds before it kills it.
    signal.signal(signal.SIGTERM, _interrupt)
    past_proxies(os.environ)
    try:
        with _no_lost_interruption():
            cache_without_home(os.environ)
            require_project()
            settings = Settings.from_environment(os.environ, only_queries=options.command in _QUERIES)
            status: int = options.run(settings, options)
    except (ConfigurationError, PipelineError) as error:
        status = _failed(options, USAGE if isinstance(error, ConfigurationError) else FAILED, str(error))
        is_a_persons = isinstance(error, UsageError) or options.command in _ASKED_BY_PEOPLE
        return OK if is_in_cloud_run() and is_a_persons else status
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            return _unread()
        return _failed(options, FAILED, told_of_system(error))
    except AlreadyRunning as running:
        if getattr(options, "json", False):
            output.print_json(json.dumps({"exit_status": OK, "already_running": str(running)}))
        else:
            say(f"Nothing to do: {running} is already doing it.")
        return OK
    except KeyboardInterrupt:
        # A second signal neither hides this sentence nor prints a traceback. After it, it ends the process at once.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        screen.print("trading-data: interrupted; run the same command again to continue", markup=False)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN if before is signal.SIG_IGN else signal.SIG_DFL)
        return INTERRUPTED
    if status == INCOMPLETE and settings.execution:
        # Cloud Run would repeat the task on any status but 0, and a bar that a source lacks now is still missing a
        # minute later. The log has the real status, and the metrics taken from it raise the alerts.
        return OK
    return status


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


@contextmanager
def _no_lost_interruption() -> Iterator[None]:
    """Repeat an interruption that came while Python ran a destructor: Python would print that it ignores it."""
    before = sys.unraisablehook

    def hook(unraisable: "sys.UnraisableHookArgs") -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            # A moment later, because the destructor is still running. SIGINT may be ignored; SIGTERM is ours.
            again = [threading.main_thread().ident, signal.SIGTERM]
            threading.Timer(0.05, signal.pthread_kill, again).start()
        else:
            before(unraisable)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


def _failed(options: argparse.Namespace, status: int, reason: str) -> int:
    """Tell a person, a program that reads JSON, and the log, why a command failed."""
    screen.print(f"trading-data: {reason}", style="red", markup=False, soft_wrap=True)
    if getattr(options, "json", False):
        output.print_json(json.dumps({"exit_status": status, "error": reason}))
    if not screen.is_terminal:
        import structlog

        # Cloud Logging reads a severity only from lines of JSON.
        structlog.get_logger().error("command failed", command=options.command, exit_status=status, reason=reason)
    return status


def _unread() -> int:
    """End quietly: the reader of the output, such as ``head``, has closed it and wants no more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return OK
