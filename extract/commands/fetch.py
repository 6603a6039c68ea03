"""``run``, ``extract`` and ``backfill``: fetch, build, report."""

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

from extract.commands.options import Add, add_json, clock, day, first_day, instruments, run_id
from extract.commands.summary import End, report_job, show_plan
from extract.commands.terminal import Step, progress
from extract.commands.writing import opened, starting, writing
from extract.errors import ConfigurationError, UsageError
from extract.seeds import FIRST_DAY, Announcements, calendar_ends_on, exchange_date, last_closed_session
from extract.settings import KITE_IS_NOT_CONFIGURED, Settings

if TYPE_CHECKING:
    from extract.fetching.run import Job
    from extract.reporting.report import Outcome
    from extract.warehouse.connection import Warehouse


def add_commands(add: Add) -> None:
    """Add ``run``, ``extract`` and ``backfill`` to the command line."""
    ran = add(
        "run",
        run_command,
        "the scheduled job: fetch what is new, build, report",
        "run",
        "run --mode quotes --symbols TCS,INFY",
    )
    ran.add_argument(
        "--mode",
        choices=("full", "quotes"),
        default="full",
        help="full (the default): ask for several years of each symbol, to find prices that a provider has rewritten;"
        " quotes: ask for today's provisional bars of all symbols, in one or two requests",
    )
    extracted = add(
        "extract",
        extract_command,
        "fetch and load into raw, without a build; without --from, fetch what is new",
        "extract --symbols TCS",
        "extract --from 2024-01-01 --to 2024-12-31 --source yahoo",
    )
    extracted.add_argument("--from", dest="first", type=first_day, metavar="DAY", help="the first day, YYYY-MM-DD")
    filled = add(
        "backfill",
        backfill_command,
        "fetch a range of the past, then build; it continues where the last backfill stopped",
        "backfill --from 2020-01-01",
        "backfill --symbols TCS --from 2024-01-01 --again --dry-run",
    )
    filled.add_argument(
        "--from",
        dest="first",
        type=first_day,
        metavar="DAY",
        default=FIRST_DAY,
        help="the first day (default: %(default)s)",
    )
    for ranged in (extracted, filled):
        ranged.add_argument(
            "--to",
            dest="last",
            type=day,
            metavar="DAY",
            help="the last day (default: the last session that has closed)",
        )
        ranged.add_argument(
            "--again", action="store_true", help="ask for the whole range, also for what was received before"
        )
        ranged.add_argument(
            "--source",
            choices=("auto", "kite", "yahoo", "alpha_vantage"),
            default="auto",
            help="the provider to ask (default: auto, all providers that serve the exchange's bars)",
        )
    for fetching in (ran, extracted, filled):
        fetching.add_argument(
            "--symbols", default="ALL", metavar="A,B", help="the symbols to ask for (default: %(default)s)"
        )
        fetching.add_argument(
            "--run-id",
            metavar="ID",
            type=run_id,
            help="the id of this run in the log and the tables (default: a new one)",
        )
        fetching.add_argument(
            "--dry-run", action="store_true", help="only print the plan: the requests, and how long they take"
        )
    add_json(ran, extracted, filled)


def run_command(settings: Settings, options: argparse.Namespace) -> int:
    """Fetch what is new, build, report."""
    with _job(settings, options) as (job, outcome):
        from extract.fetching.run import daily_plan, fetch, fetch_quotes, quotes_plan

        plan = quotes_plan(job) if options.mode == "quotes" else daily_plan(job)
        if not options.dry_run:
            (fetch_quotes if options.mode == "quotes" else fetch)(job, plan)
            end = _end_job(options, job, outcome, is_built=True)
    if options.dry_run:
        return show_plan(settings, options, plan)
    return report_job(options, job, outcome, end)


def extract_command(settings: Settings, options: argparse.Namespace) -> int:
    """Fetch a range, or what is new, and load it into raw."""
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
        return show_plan(settings, options, plan)
    return report_job(options, job, outcome, end, asked)


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
    send(state.alerts, job.settings, options.run_id, clock(), state.headline)
    return rewritten, state
