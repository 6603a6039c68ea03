"""One process writes at a time, and reports how that ended."""

import argparse
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from extract.commands.options import clock
from extract.errors import FAILED, AlreadyRunning, PipelineError
from extract.settings import Settings

if TYPE_CHECKING:
    from extract.landing.archive import Archive
    from extract.reporting.report import Outcome, Report


@contextmanager
def starting(settings: Settings) -> Iterator[None]:
    """Let the embedded warehouse start in the background. What is wrong with it is told by whoever opens it."""
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
    """Be the only one who fetches, loads and builds; and report how that ended, once, however it did."""
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
            is_lost = leave.enter_context(
                held(Archive(settings.lease_uri), options.run_id, what, clock, settings.execution)
            )
            is_ours = True
            yield archive, outcome
            told = Report.of(options.command, outcome, options.began_at, clock())
            path = archive_report(told, options.run_id, archive)
        except AlreadyRunning:
            raise
        except (Exception, KeyboardInterrupt) as raised:
            error = PipelineError(LOST) if is_lost.is_set() else raised
            told = Report.of(options.command, outcome, options.began_at, clock(), error)
            filed = None
            if archive is not None:
                # First: Cloud Run kills what it has asked to stop ten seconds later.
                with suppress(Exception):
                    filed = archive_report(told, options.run_id, archive)
            # Before the load, because the warehouse may be what failed. Who stops a command knows that it has stopped.
            if not isinstance(error, KeyboardInterrupt):
                with suppress(Exception):
                    _alert_failure(settings, options.run_id, told, outcome)
            # Else the next run loads it, because somebody else is loading.
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
                _alert_failure(settings, options.run_id, told, outcome)
        # The report stands, and the next run loads it.
        with suppress(KeyboardInterrupt):
            load_report(path, archive, settings)


def _alert_failure(settings: Settings, run_id: str, told: "Report", outcome: "Outcome") -> None:
    """Tell of a command that failed. The view operations_alerts, which tells of most, may not have been reached."""
    from extract.reporting.alerts import Alert, log, send

    text = f"The last {told.command} failed ({run_id}). {told.reason}"
    remedy = "build" if outcome.built and outcome.built.failed else told.command
    failed = [Alert("run_failed", "ERROR", run_id, None, text, f"trading-data {remedy}")]
    log(failed)
    send(failed, settings, run_id, clock(), None)
