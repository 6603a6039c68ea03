"""Open the warehouse; and hold the lease of the one writer, and report how the command ended."""

import argparse
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING

from extract.commands.options import clock
from extract.commands.terminal import Step
from extract.errors import FAILED, AlreadyRunning, ConfigurationError, PipelineError
from extract.seeds import EXCHANGE_ZONE
from extract.settings import Settings

if TYPE_CHECKING:
    from extract.landing.archive import Archive
    from extract.landing.lease_record import Record
    from extract.reporting.report import Outcome, Report
    from extract.warehouse.connection import Warehouse


@contextmanager
def opened(settings: Settings) -> "Iterator[Warehouse]":
    """Open the warehouse; meanwhile a terminal shows that it starts.

    Raises:
        ConfigurationError: the settings do not name a usable one.
        PipelineError: the embedded one did not start.
    """
    with ExitStack() as leave:
        with Step("starting the warehouse" if settings.is_embedded else "connecting to the warehouse"):
            from extract.warehouse.connection import open_warehouse

            warehouse = leave.enter_context(open_warehouse(settings))
        yield warehouse


@contextmanager
def starting(settings: Settings) -> Iterator[None]:
    """Start the embedded warehouse in the background. An error is reported when the warehouse is opened."""
    is_over = threading.Event()

    def start() -> None:
        with suppress(Exception):
            from infra.local.warehouse import running

            with running(settings.warehouse_dir, settings.warehouse_idle_seconds):
                is_over.wait()

    starter = threading.Thread(target=start, daemon=True)
    if settings.is_embedded:
        starter.start()
    try:
        yield
    finally:
        is_over.set()
        if settings.is_embedded:
            starter.join()


@contextmanager
def writing(settings: Settings, options: argparse.Namespace) -> "Iterator[tuple[Archive, Outcome]]":
    """Hold the lease, so that only this process fetches, loads and builds; then report once how the command ended."""
    from extract.landing.archive import Archive
    from extract.landing.lease import LOST, held
    from extract.reporting.report import Outcome, Report, archive_report, load_report

    about = (options.command, getattr(options, "mode", None), getattr(options, "symbols", None))
    what = " ".join(word for word in about if word)
    outcome = Outcome()
    archive: Archive | None = None
    is_ours = False
    is_lost = threading.Event()
    with ExitStack() as leave:
        try:
            archive = Archive(settings.archive_uri)
            with Step("looking whether another command is at work") as step:
                lease = held(
                    Archive(settings.lease_uri, setting="LEASE_URI"),
                    options.run_id,
                    what,
                    clock,
                    settings.execution,
                    tell=lambda holder: step.tell(f"waiting for {_named(holder)}; Ctrl-C to give up"),
                )
                is_lost = leave.enter_context(lease)
            is_ours = True
            yield archive, outcome
            told = Report.of(options.command, outcome, options.began_at, clock())
            path = archive_report(told, options.run_id, archive)
        except AlreadyRunning:
            raise
        except (Exception, KeyboardInterrupt) as raised:
            error = PipelineError(LOST) if is_lost.is_set() else raised
            if isinstance(error, ConfigurationError) and not settings.execution and not _has_asked(outcome):
                # The person who typed the command sees the error. Nothing was done, so there is nothing to report.
                raise
            told = Report.of(options.command, outcome, options.began_at, clock(), error)
            filed = None
            if archive is not None:
                # The report is archived first: Cloud Run kills a process ten seconds after it asks it to stop.
                with suppress(Exception):
                    filed = archive_report(told, options.run_id, archive)
            # The alert is sent before the report is loaded, because the load fails if the warehouse was the cause. A
            # person who stopped the command needs no alert.
            if not isinstance(error, KeyboardInterrupt):
                with suppress(Exception):
                    _alert_failure(settings, options, told, outcome)
            # Only under the lease, because without it another process may be loading. The next run loads a report that
            # is left here.
            if filed and archive and is_ours and not is_lost.is_set():
                load_report(filed, archive, settings)
            if isinstance(error, BrokenPipeError):
                raise PipelineError("nobody reads standard error any more; run the same command again") from error
            if error is not raised:
                raise error from raised
            raise
        outcome.told = told
        if told.exit_status == FAILED:
            with suppress(Exception):
                _alert_failure(settings, options, told, outcome)
        # If this is interrupted, the archive still has the report, and the next run loads it.
        with suppress(KeyboardInterrupt):
            load_report(path, archive, settings)


def _named(holder: "Record") -> str:
    """Another command, in words for a person: ``build` on db-1 (since 06:15 IST)``; none of this machine."""
    name = holder.command.partition(" ")[0]
    who = f"`{name}`" if name else holder.run_id
    if holder.host and holder.host != socket.gethostname():
        who += f" on {holder.host}"
    with suppress(ValueError, OverflowError):
        since = datetime.fromisoformat(holder.since).astimezone(EXCHANGE_ZONE)
        return f"{who} (since {since:%H:%M} IST)"
    return who


def _has_asked(outcome: "Outcome") -> bool:
    return bool(outcome.builds or (outcome.extraction and outcome.extraction.requests))


def _alert_failure(settings: Settings, options: argparse.Namespace, told: "Report", outcome: "Outcome") -> None:
    """Send an alert for a command that failed. It is not read from operations_alerts, which may be unreachable."""
    from extract.reporting.alerts import Alert, log, send_failure

    text = f"The last {told.command} failed ({options.run_id}). {told.reason}"
    remedy = "trading-data build" if outcome.built and outcome.built.failed else options.typed
    failed = Alert("run_failed", "ERROR", told.command, None, text, remedy)
    log([failed])
    send_failure(failed, settings, options.run_id, clock())
