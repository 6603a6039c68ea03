"""``run``, ``extract`` and ``backfill``: fetch, build, report."""

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

from rich.table import Table

from extract.commands.builds import build_report
from extract.commands.options import clock, instruments
from extract.commands.summary import End, say_summary
from extract.commands.terminal import Step, output, progress
from extract.commands.writing import opened, starting, writing
from extract.errors import OK, ConfigurationError, UsageError
from extract.seeds import Announcements, calendar_ends_on, exchange_date, last_closed_session
from extract.settings import KITE_IS_NOT_CONFIGURED, Settings

if TYPE_CHECKING:
    from extract.fetching.run import Job
    from extract.reporting.report import Outcome
    from extract.sources import Request
    from extract.warehouse.connection import Warehouse


def run_command(settings: Settings, options: argparse.Namespace) -> int:
    """Fetch what is new, build, report."""
    with _job(settings, options) as (job, outcome):
        from extract.fetching.run import daily_plan, fetch, fetch_quotes, quotes_plan

        plan = quotes_plan(job) if options.mode == "quotes" else daily_plan(job)
        if not options.dry_run:
            (fetch_quotes if options.mode == "quotes" else fetch)(job, plan)
            end = _end_job(options, job, outcome, is_built=True)
    if options.dry_run:
        return _show_plan(settings, options, plan)
    return _report_job(options, job, outcome, end)


def extract_command(settings: Settings, options: argparse.Namespace) -> int:
    """Fetch and land a range, or what is new."""
    return _fetch_range(settings, options, is_built=False)


def backfill_command(settings: Settings, options: argparse.Namespace) -> int:
    """Fetch a range of the past, and build."""
    return _fetch_range(settings, options, is_built=True)


def _announcements(settings: Settings) -> Announcements:
    """What the exchange has announced. It is read from the archive, so that a check of the days needs no warehouse."""
    from extract.landing.announced import read_announcements
    from extract.landing.archive import Archive

    return read_announcements(Archive(settings.archive_uri))


def _asked_range(settings: Settings, options: argparse.Namespace) -> tuple[date, date] | None:
    """The range of trade dates that was asked for, up to the last closed session or today; None for what is new.

    It is checked before the warehouse is opened: a person who mistypes a day sees the error at once.
    """
    if options.first is None:
        if options.last or options.again:
            raise UsageError("--to and --again need --from; without it, what is new is fetched")
        return None
    now = clock()
    last = min(options.last or exchange_date(now), exchange_date(now))
    if options.last is None and options.first <= last:
        last = last_closed_session(now, _announcements(settings))
    if last < options.first:
        end = last if last in (options.last, exchange_date(now)) else f"{last}, the last session that has closed"
        raise UsageError(f"--from {options.first} lies after {end}; choose an earlier day")
    return options.first, last


def _fetch_range(settings: Settings, options: argparse.Namespace, *, is_built: bool) -> int:
    asked = _asked_range(settings, options)
    if options.source == "kite" and not settings.kite.is_configured:
        raise ConfigurationError(KITE_IS_NOT_CONFIGURED)
    with _job(settings, options) as (job, outcome):
        from extract.fetching.run import daily_plan, fetch, range_plan

        if asked is None:
            plan = daily_plan(job, options.source)
        else:
            plan = range_plan(job, options.source, *asked, again=options.again)
        if not options.dry_run:
            fetch(job, plan)
            end = _end_job(options, job, outcome, asked, is_built=is_built)
    if options.dry_run:
        return _show_plan(settings, options, plan)
    return _report_job(options, job, outcome, end, asked)


@contextmanager
def _job(settings: Settings, options: argparse.Namespace) -> "Iterator[tuple[Job, Outcome]]":
    """Yield a run, with a warehouse that is opened when it is first needed."""
    asked = instruments(options.symbols, settings.symbols)
    with starting(settings), ExitStack() as leave:
        from extract.fetching.run import Job
        from extract.landing.announced import read_announcements
        from extract.landing.archive import Archive
        from extract.reporting.report import Outcome

        found: list[Warehouse] = []

        def warehouse() -> "Warehouse":
            if not found:
                found.append(leave.enter_context(opened(settings)))
                found[0].create_raw()
            return found[0]

        if options.dry_run:
            archive, outcome = Archive(settings.archive_uri), Outcome()
        else:
            archive, outcome = leave.enter_context(writing(settings, options))
        step = leave.enter_context(Step("asking what is missing"))

        def advance(done: int, total: int) -> None:
            step.tell("fetching")
            step.advance(done, total)

        announced = read_announcements(archive)
        job = Job(
            settings,
            asked,
            last_closed_session(clock(), announced),
            options.run_id,
            archive,
            warehouse,
            clock,
            advance,
            is_dry=options.dry_run,
            calendar_ends_on=calendar_ends_on(announced),
        )
        outcome.extraction, outcome.builds = job.extraction, job.builds
        yield job, outcome


def _show_plan(settings: Settings, options: argparse.Namespace, plan: "Sequence[Request]") -> int:
    from extract.fetching.plan import by_source

    paces = {
        "kite": settings.kite.requests_per_second,
        "yahoo": settings.yahoo.requests_per_second,
        "alpha_vantage": 1.0,
    }
    rows = []
    for planned in by_source(plan):
        bars = [request for request in planned.requests if request.instruments]
        rows.append(
            {
                "source": planned.source_id,
                "requests": len(planned.requests),
                "symbols": len({i.symbol for request in bars for i in request.instruments}),
                "from": min((request.first for request in bars), default=None),
                "to": max((request.last for request in bars), default=None),
                "seconds": round(planned.seconds(paces[planned.source_id])),
            }
        )
    if options.json:
        output.print_json(json.dumps({"exit_status": OK, "plan": rows}, default=str))
    elif not rows:
        output.print("Nothing is missing.")
    else:
        table = Table(*rows[0])
        for row in rows:
            table.add_row(*map(str, row.values()))
        output.print(table)
    return OK


def _end_job(
    options: argparse.Namespace,
    job: "Job",
    outcome: "Outcome",
    asked: tuple[date, date] | None = None,
    *,
    is_built: bool,
) -> End:
    """Build what has come; then find what is missing of what was asked for, and what is wrong with the data."""
    from extract.fetching.run import build_and_heal
    from extract.fetching.shortfalls import holes_left, shortfalls
    from extract.reporting.alerts import log, send
    from extract.reporting.status import read_status

    rewritten: list[str] = []
    if is_built:
        with progress("building models") as advance:
            rewritten = build_and_heal(job, advance, is_hasty=getattr(options, "mode", None) == "quotes")
    with Step("looking at what has come"):
        outcome.shortfalls = shortfalls(job, asked)
        outcome.shortfalls += holes_left(job, getattr(options, "source", "auto"), asked, options.began_at)
        is_good = outcome.built is not None and not outcome.built.failed
        if not is_good:
            return rewritten, None
        state = read_status(job.warehouse())
    # The view knows only the commands before this one, which has not failed.
    state = replace(state, verdict=state.verdict.after(options.command))
    log(state.alerts)
    send(state.alerts, job.settings, options.run_id, clock(), job.warehouse(), state.headline)
    return rewritten, state


def _report_job(
    options: argparse.Namespace,
    job: "Job",
    outcome: "Outcome",
    end: End,
    asked: tuple[date, date] | None = None,
) -> int:
    """Print what is wrong, and how the run ended.

    Logs the line that the metrics of ``infra/terraform/monitoring.tf`` are taken from.
    """
    import structlog

    rewritten, state = end
    told = outcome.told
    assert told is not None
    structlog.get_logger().info(
        "run finished",
        command=told.command,
        exit_status=told.exit_status,
        elapsed_seconds=round(told.elapsed_seconds, 2),
        landed_row_count=told.landed_row_count,
        landed_rows=dict(job.extraction.landed_rows),
        request_count=told.request_count,
        failed_request_count=told.failed_request_count,
        bytes_billed=told.bytes_billed,
        quality_score=state.latest_quality_score if state else None,
        latest_trade_date=state.latest_trade_date.isoformat() if state and state.latest_trade_date else None,
        shortfalls=outcome.shortfalls,
    )
    extraction = job.extraction
    if options.json:
        outcomes = {source: dict(counts) for source, counts in extraction.outcomes().items()}
        report = {
            "exit_status": outcome.exit_status,
            "run_id": extraction.run_id,
            "due": job.due,
            "outcomes": outcomes,
            "requests": dict(extraction.requests),
            "seconds": {source: round(seconds, 2) for source, seconds in extraction.seconds.items()},
            "landed_rows": dict(extraction.landed_rows),
            "not_configured": [] if job.settings.kite.is_configured else ["kite"],
            "rewritten_pasts": rewritten,
            "shortfalls": outcome.shortfalls,
        }
        output.print_json(json.dumps(report | build_report(outcome.built), default=str))
        return outcome.exit_status
    say_summary(job, outcome, end, asked)
    return outcome.exit_status
