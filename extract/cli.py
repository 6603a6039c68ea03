"""``trading-data``: the pipeline's one command line."""

import argparse
import json
import logging
import os
import re
import signal
import socket
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import asdict
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from extract.errors import FAILED, INCOMPLETE, INTERRUPTED, OK, USAGE, AlreadyRunning, ConfigurationError, PipelineError
from extract.imports import without
from extract.seeds import (
    EXCHANGE_ZONE,
    FIRST_DAY,
    Instrument,
    exchange_date,
    known_symbol,
    last_closed_session,
    listed_instruments,
)
from extract.settings import Settings, archive_uri, past_proxies, require_project

# What reaches BigQuery takes three seconds to import. Each command imports it after the embedded warehouse has begun to
# start, which takes as long.
if TYPE_CHECKING:
    from structlog.typing import EventDict

    from extract.archive import Archive
    from extract.build import Build
    from extract.report import Outcome, Report
    from extract.run import Job
    from extract.sources import Request
    from extract.status import Status

# Results go to standard output, everything else to standard error.
_screen = Console(stderr=True, highlight=False)
_output = Console(highlight=False)

# What can name a run: in paths of the archive, and in addresses.
RUN_ID = "[A-Za-z0-9][A-Za-z0-9_.-]{0,79}"

# What a server that is asked to stop still waits for those whom it is answering.
_ANSWER_SECONDS = 5

type _Advance = Callable[[int, int], None]

# The symbols whose past has come anew, and the state of the data.
type _End = tuple[list[str], Status | None]


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status.

    0 done, 1 failed, 2 bad usage or configuration, 3 incomplete, 130 stopped by a person or the system. As a Cloud Run
    execution, what is incomplete ends with 0.
    """
    options = _parser().parse_args(arguments)
    options.began_at = _clock()
    options.run_id = _run_id(options)
    _configure_logs(options.run_id)
    # Cloud Run asks a task to stop with this signal, ten seconds before it kills it.
    signal.signal(signal.SIGTERM, _interrupt)
    past_proxies(os.environ)
    try:
        require_project()
        settings = Settings.from_environment(os.environ)
        status: int = options.run(settings, options)
    except (ConfigurationError, PipelineError) as error:
        status = USAGE if isinstance(error, ConfigurationError) else FAILED
        _screen.print(f"trading-data: {error}", style="red", markup=False, soft_wrap=True)
        if not _screen.is_terminal:
            import structlog

            # Cloud Logging knows the severity of a line of JSON alone.
            structlog.get_logger().error(
                "command failed", command=options.command, exit_status=status, reason=str(error)
            )
        return status
    except AlreadyRunning as running:
        if getattr(options, "json", False):
            _output.print_json(json.dumps({"exit_status": OK, "already_running": str(running)}))
        else:
            _say(f"Nothing to do: {running} is doing it.")
        return OK
    except KeyboardInterrupt:
        _screen.print("trading-data: interrupted; run the same command again to go on", markup=False)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    if status == INCOMPLETE and settings.execution:
        # Cloud Run knows two outcomes and repeats the bad one, and what a source lacks it lacks a minute later too. The
        # log tells, and its metrics alert.
        return OK
    return status


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"trading-data: {message}; see `{self.prog} --help`\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="trading-data", description="Daily bars of Indian equities that can be trusted.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=_Parser)

    def command(name: str, run: Callable[[Settings, argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(run=run, command=name)
        return added

    ran = command("run", _run, "the scheduled job: fetch what is new, build, report")
    ran.add_argument(
        "--mode",
        choices=("full", "quotes"),
        default="full",
        help="full: the deep window of each symbol, which shows restatements (the default); quotes: today's bar of all"
        " symbols in a request or two, provisional",
    )
    extracted = command("extract", _extract, "fetch and land only; without --from, what is new")
    extracted.add_argument("--from", dest="first", type=_first_day, metavar="DAY", help="YYYY-MM-DD")
    filled = command(
        "backfill", _backfill, "fetch a range of the past, going on where the last one stopped; then build"
    )
    filled.add_argument(
        "--from", dest="first", type=_first_day, metavar="DAY", default=FIRST_DAY, help="(default: %(default)s)"
    )
    for ranged in (extracted, filled):
        ranged.add_argument("--to", dest="last", type=_day, metavar="DAY", help="(default: the last closed session)")
        ranged.add_argument("--again", action="store_true", help="ask for all of it, whatever was answered before")
        ranged.add_argument(
            "--source",
            choices=("auto", "kite", "yahoo", "alpha_vantage"),
            default="auto",
            help="(default: auto, all that serve the exchange's bars)",
        )
    for fetching in (ran, extracted, filled):
        fetching.add_argument("--symbols", default="ALL", metavar="A,B", help="(default: %(default)s)")
        fetching.add_argument("--run-id", metavar="ID", type=_id, help="what to follow the run by (default: a new one)")
        fetching.add_argument("--dry-run", action="store_true", help="print the plan: requests, and how long they take")
    logged_in = command("kite-login", _kite_login, "open Kite's session of the day; it takes a person and a browser")
    logged_in.add_argument(
        "answer", nargs="?", metavar="ADDRESS", help="where Kite redirected to, or the request token"
    )
    replayed = command("replay", _replay, "load archived batches that raw lacks, then build")
    replayed.add_argument("--archive", metavar="URI", help="a folder or gs://bucket/prefix (default: ARCHIVE_URI)")
    replayed.add_argument("--no-build", action="store_true", help="load only")
    imported = command(
        "import", _import, "take in the exchange's own files, which a person downloads (it refuses robots), then build"
    )
    imported.add_argument(
        "paths",
        nargs="+",
        type=Path,
        metavar="PATH",
        help="files, folders and zips of corporate actions, index lists and daily records (bhavcopies)",
    )
    imported.add_argument(
        "--as-of",
        type=_day,
        metavar="DAY",
        help="the day that the lists are of, YYYY-MM-DD (default: the date in a file's name, or today); a daily record"
        " tells its own",
    )
    imported.add_argument("--index", metavar="NAME", help="whose list it is, where the file's name does not tell")
    imported.add_argument("--dry-run", action="store_true", help="say what would be taken, and take nothing")
    built = command("build", _build, "run dbt over what the marts have not seen yet, and its tests")
    built.add_argument("--full-refresh", action="store_true", help="build everything, whatever has changed")
    shown = command("status", _status, "say whether the latest session is here and can be trusted")
    examined = command(
        "diagnose", _diagnose, "look at what a run needs, at what the last ones took and cost, and say what to do"
    )
    asked = command("query", _query, "ask the warehouse in GoogleSQL")
    asked.add_argument("sql", metavar="SQL", help="one statement, or - to read it from standard input")
    asked.add_argument("--format", choices=("table", "csv", "json"), default="table")
    served = command("serve", _serve, "answer over HTTP whether the pipeline and its data are well, until Ctrl-C")
    served.add_argument("--host", default="127.0.0.1", help="(default: %(default)s; Cloud Run: 0.0.0.0)")
    served.add_argument("--port", type=_port, default=os.environ.get("PORT") or "8000", help="(default: PORT, or 8000)")
    documented = command("docs", _docs, "write dbt's documentation, lineage and columns, and show it until Ctrl-C")
    documented.add_argument("--port", type=_port, default="8080", help="(default: %(default)s; 0: one that is free)")
    documented.add_argument("--no-serve", action="store_true", help="write it only, and print the path of its page")
    kept = command("warehouse", _warehouse, "keep the embedded warehouse running and print its address, until Ctrl-C")
    kept.add_argument("--stop", action="store_true", help="stop the one that the last command left running")
    for reporting in (ran, extracted, filled, replayed, imported, built, shown, examined):
        reporting.add_argument("--json", action="store_true", help="print the report as JSON")
    return parser


def _day(text: str) -> date:
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text.strip()):
            return date.fromisoformat(text.strip())
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is no day; write YYYY-MM-DD")


def _first_day(text: str) -> date:
    day = _day(text)
    if day < FIRST_DAY:
        raise argparse.ArgumentTypeError(f"{day} lies before {FIRST_DAY}, with which the trading calendar begins")
    return day


def _port(text: str) -> int:
    if text.isascii() and text.isdecimal() and int(text) <= 65_535:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no port; use a number from 0 (one that is free) to 65535")


def _id(text: str) -> str:
    if not re.fullmatch(RUN_ID, text):
        raise argparse.ArgumentTypeError(f"{text!r} is no id; use letters, digits, dots, dashes and underscores")
    return text


def _clock() -> datetime:
    return datetime.now(UTC)


def new_run_id(command: str, now: datetime) -> str:
    """An id for a run: sortable by time, and no other run's."""
    return f"{command}-{now:%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:6]}"


def _run_id(options: argparse.Namespace) -> str:
    given = getattr(options, "run_id", None)
    if given is None:
        return new_run_id(options.command, options.began_at)
    # Cloud Run gives each attempt of a task the same arguments; two runs of one id would archive under the same names.
    attempt = os.environ.get("CLOUD_RUN_TASK_ATTEMPT", "").strip()
    return f"{given}.{attempt}" if re.fullmatch("[0-9]*[1-9][0-9]*", attempt) else str(given)


def _run(settings: Settings, options: argparse.Namespace) -> int:
    with _job(settings, options) as (job, outcome):
        from extract.run import daily_plan, fetch, fetch_quotes, quotes_plan

        plan = quotes_plan(job) if options.mode == "quotes" else daily_plan(job)
        if options.dry_run:
            return _show_plan(settings, options, plan)
        if options.mode == "quotes":
            fetch_quotes(job, plan)
        else:
            fetch(job, plan)
        end = _end_job(options, job, outcome, is_built=True)
    return _report_job(options, job, outcome, end)


def _extract(settings: Settings, options: argparse.Namespace) -> int:
    return _fetch_range(settings, options, is_built=False)


def _backfill(settings: Settings, options: argparse.Namespace) -> int:
    return _fetch_range(settings, options, is_built=True)


def _asked_range(options: argparse.Namespace) -> tuple[date, date] | None:
    """The trade dates that were asked for, up to the last closed session or today; None where it is what is new.

    Looked at before anything is opened: whoever mistypes a day reads so at once, and nobody else does.
    """
    if options.first is None:
        if options.last or options.again:
            raise ConfigurationError("--to and --again need --from; without it, what is new is fetched")
        return None
    now = _clock()
    last = min(options.last, exchange_date(now)) if options.last else _due(now)
    if last < options.first:
        end = last if last == options.last else f"{last}, the last session that has closed"
        raise ConfigurationError(f"--from {options.first} lies after {end}; choose an earlier day")
    return options.first, last


def _due(now: datetime) -> date:
    try:
        return last_closed_session(now)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


def _fetch_range(settings: Settings, options: argparse.Namespace, *, is_built: bool) -> int:
    asked = _asked_range(options)
    with _job(settings, options) as (job, outcome):
        from extract.run import daily_plan, fetch, range_plan

        if asked is None:
            plan = daily_plan(job, options.source)
        else:
            plan = range_plan(job, options.source, *asked, again=options.again)
        if options.dry_run:
            return _show_plan(settings, options, plan)
        fetch(job, plan)
        end = _end_job(options, job, outcome, asked, is_built=is_built)
    return _report_job(options, job, outcome, end, asked)


def _instruments(typed: str) -> list[Instrument]:
    """The instruments that a person means by ``--symbols``.

    Raises:
        ConfigurationError: a symbol is none of ours.
    """
    if typed.strip().upper() == "ALL":
        return listed_instruments()
    names = [name for name in re.split(r"[\s,;]+", typed) if name]
    if not names:
        raise ConfigurationError("--symbols is empty; write TCS,INFY, or leave it out for all")
    try:
        return listed_instruments([known_symbol(name) for name in names])
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


@contextmanager
def _job(settings: Settings, options: argparse.Namespace) -> "Iterator[tuple[Job, Outcome]]":
    """A run on its way, with a warehouse that is opened when it is first asked for."""
    due = _due(_clock())
    instruments = _instruments(options.symbols)
    with _starting(settings), ExitStack() as leave:
        from extract.archive import Archive
        from extract.report import Outcome
        from extract.run import Job
        from extract.warehouse import Warehouse, open_warehouse

        opened: list[Warehouse] = []

        def warehouse() -> Warehouse:
            if not opened:
                opened.append(leave.enter_context(open_warehouse(settings)))
                opened[0].create_raw()
            return opened[0]

        if options.dry_run:
            archive, outcome = Archive(settings.archive_uri), Outcome()
        else:
            archive, outcome = leave.enter_context(_writing(settings, options))
        advance = leave.enter_context(_progress("requests answered"))
        job = Job(
            settings, instruments, due, options.run_id, archive, warehouse, _clock, advance, is_dry=options.dry_run
        )
        outcome.extraction, outcome.builds = job.extraction, job.builds
        yield job, outcome


@contextmanager
def _writing(settings: Settings, options: argparse.Namespace) -> "Iterator[tuple[Archive, Outcome]]":
    """Be the only one who fetches, loads and builds; and report how that ended, once, however it did."""
    from extract.archive import Archive
    from extract.lease import LOST, held
    from extract.report import Outcome, Report, archive_report, load_report

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
                held(Archive(settings.lease_uri), options.run_id, what, _clock, settings.execution)
            )
            is_ours = True
            yield archive, outcome
            told = Report.of(options.command, outcome, options.began_at, _clock())
            path = archive_report(told, options.run_id, archive)
        except AlreadyRunning:
            raise
        except (Exception, KeyboardInterrupt) as raised:
            error = PipelineError(LOST) if is_lost.is_set() else raised
            told = Report.of(options.command, outcome, options.began_at, _clock(), error)
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
    from extract.alerts import Alert, tell

    text = f"The last {told.command} failed ({run_id}). {told.reason}"
    remedy = "build" if outcome.built and outcome.built.failed else told.command
    tell([Alert("run_failed", "ERROR", run_id, text, f"trading-data {remedy}")], settings)


@contextmanager
def _starting(settings: Settings) -> Iterator[None]:
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


def _show_plan(settings: Settings, options: argparse.Namespace, plan: "Sequence[Request]") -> int:
    from extract.plan import by_source

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
        _output.print_json(json.dumps({"exit_status": OK, "plan": rows}, default=str))
    elif not rows:
        _output.print("Nothing is missing.")
    else:
        table = Table(*rows[0])
        for row in rows:
            table.add_row(*map(str, row.values()))
        _output.print(table)
    return OK


def _end_job(
    options: argparse.Namespace,
    job: "Job",
    outcome: "Outcome",
    asked: tuple[date, date] | None = None,
    *,
    is_built: bool,
) -> _End:
    """Build what has come; and see what is missing, of the range that was asked for or of what is new, and wrong."""
    from extract.run import build_and_heal, holes_left, shortfalls
    from extract.status import read_status

    rewritten: list[str] = []
    if is_built:
        with _progress("models and tests") as advance:
            rewritten = build_and_heal(job, advance, is_hasty=getattr(options, "mode", None) == "quotes")
    outcome.shortfalls = shortfalls(job)
    outcome.shortfalls += holes_left(job, getattr(options, "source", "auto"), asked, options.began_at)
    is_good = outcome.built is not None and not outcome.built.failed
    return rewritten, read_status(job.warehouse()) if is_good else None


def _report_job(
    options: argparse.Namespace,
    job: "Job",
    outcome: "Outcome",
    end: _End,
    asked: tuple[date, date] | None = None,
) -> int:
    """Tell what is wrong, and how the run ended.

    Logs the line that the metrics of ``infra/terraform/monitoring.tf`` are taken from.
    """
    import structlog

    from extract.alerts import tell

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
    if state:
        # Of the runs, the view knew those before this one: it has not failed, and the next one tells what it cost.
        tell([alert for alert in state.alerts if alert.alert_id != "run_failed"], job.settings)
    extraction = job.extraction
    outcomes = {source: dict(counts) for source, counts in extraction.outcomes().items()}
    if options.json:
        report = {
            "exit_status": outcome.exit_status,
            "run_id": extraction.run_id,
            "due": job.due,
            "outcomes": outcomes,
            "requests": dict(extraction.requests),
            "seconds": {source: round(seconds, 2) for source, seconds in extraction.seconds.items()},
            "landed_rows": dict(extraction.landed_rows),
            "rewritten_pasts": rewritten,
            "shortfalls": outcome.shortfalls,
        }
        _output.print_json(json.dumps(report | _build_report(outcome.built), default=str))
        return outcome.exit_status
    for source, counts in outcomes.items():
        came = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        requests = _counted(extraction.requests[source], "request")
        symbols = _counted(sum(counts.values()), "symbol")
        _say(f"Asked {source} for {symbols} in {requests}, {extraction.seconds.get(source, 0):.1f} s: {came}.")
    if not outcomes:
        what = f"from {asked[0]} to {asked[1]}" if asked else f"up to {job.due}"
        _say(f"Nothing {'more is to be asked for now' if outcome.shortfalls else 'was missing'} {what}.")
    if extraction.landed_rows:
        landed = ", ".join(f"{rows:,} in {table}" for table, rows in extraction.landed_rows.items())
        _say(f"Landed rows: {landed}.")
    if rewritten:
        _say(f"Their past was rewritten, and has come anew: {', '.join(rewritten)}.")
    for sentence in outcome.shortfalls:
        _say(f"  {sentence}", style="yellow")
    _say_build(outcome.built)
    return outcome.exit_status


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _kite_login(settings: Settings, options: argparse.Namespace) -> int:
    from extract.kite_session import log_in, login_url

    address = login_url(settings.kite)
    answer = options.answer
    if answer is None:
        _say(f"Log in here, in a browser: {address}")
        _say("Then paste the address that the browser was sent to, or the request_token in it:")
        answer = sys.stdin.readline()
    session = log_in(settings.kite, answer, _clock())
    until = session.expires_at.astimezone(EXCHANGE_ZONE)
    _say(f"Kite's session holds until {until:%Y-%m-%d %H:%M} IST; it is kept in {settings.kite.token_store}.")
    return OK


def _replay(settings: Settings, options: argparse.Namespace) -> int:
    with _starting(settings):
        from extract.archive import Archive

        # Before anything is written: recovery from a mistyped address is none.
        other = Archive(archive_uri(options.archive, "--archive"), must_exist=True) if options.archive else None
        with _writing(settings, options) as (own, outcome):
            archive = other or own
            _load_and_build(settings, outcome, archive, is_built=not options.no_build)
    return _report(options, outcome, archive.uri)


def _import(settings: Settings, options: argparse.Namespace) -> int:
    today = exchange_date(_clock())
    if options.as_of and options.as_of > today:
        raise ConfigurationError(f"--as-of {options.as_of} lies in the future; today is {today}")
    with _starting(settings) if not options.dry_run else nullcontext():
        from extract.archive import Archive
        from extract.files.report import import_refusal, import_report, say_import, shortfalls
        from extract.files.take import take_files

        with _progress("files read") as advance:
            files = take_files(
                Archive(settings.archive_uri),
                options.paths,
                today,
                advance,
                as_of=options.as_of,
                index=options.index,
                received_at=_clock(),
                is_dry=options.dry_run,
            )
        lacking = shortfalls(files)
        if refusal := import_refusal(files):
            if options.json:
                status = USAGE if isinstance(refusal, ConfigurationError) else FAILED
                _print_import(status, import_report(files))
            raise refusal
        if options.dry_run:
            status = INCOMPLETE if lacking else OK
            if options.json:
                _print_import(status, import_report(files))
            else:
                say_import(files, _say, is_dry=True)
            return status
        with _writing(settings, options) as (archive, outcome):
            _load_and_build(settings, outcome, archive, since=min(filter(None, (file.received_on for file in files))))
            outcome.shortfalls += lacking
    if options.json:
        return _report(options, outcome, archive.uri, import_report(files))
    say_import(files, _say)
    return _report(options, outcome, archive.uri)


def _print_import(status: int, report: dict[str, Any]) -> None:
    _output.print_json(json.dumps({"exit_status": status, **report}, default=str))


def _load_and_build(
    settings: Settings,
    outcome: "Outcome",
    archive: "Archive",
    *,
    since: date | None = None,
    is_built: bool = True,
) -> None:
    """Load the archived batches that raw lacks, and build."""
    from extract.build import build, preload_dbt
    from extract.sources.archive import Replay, replay
    from extract.warehouse import open_warehouse

    if is_built:
        preload_dbt()
    with open_warehouse(settings) as warehouse:
        with _progress("batches loaded") as advance:
            outcome.replayed = Replay()
            replay(archive, warehouse, advance, since=since, outcome=outcome.replayed)
        outcome.shortfalls = [f"refused {path}: {reason}" for path, reason in outcome.replayed.refused]
        if is_built:
            with _progress("models and tests") as advance:
                outcome.builds.append(build(settings, warehouse, advance))


def _build(settings: Settings, options: argparse.Namespace) -> int:
    with _starting(settings):
        from extract.build import build, preload_dbt
        from extract.warehouse import open_warehouse

        preload_dbt()
        with (
            _writing(settings, options) as (archive, outcome),
            open_warehouse(settings) as warehouse,
            _progress("models and tests") as advance,
        ):
            outcome.builds.append(build(settings, warehouse, advance, full_refresh=options.full_refresh))
    return _report(options, outcome, archive.uri)


def _report(
    options: argparse.Namespace, outcome: "Outcome", archive_uri: str, imported: dict[str, Any] | None = None
) -> int:
    replayed = outcome.replayed
    if options.json:
        report: dict[str, Any] = {"exit_status": outcome.exit_status, **(imported or {})}
        if replayed:
            refused = [{"path": path, "reason": reason} for path, reason in replayed.refused]
            report["replay"] = asdict(replayed) | {"archive": archive_uri, "refused": refused}
        _output.print_json(json.dumps(report | _build_report(outcome.built), default=str))
        return outcome.exit_status
    if replayed:
        _say(
            f"Replayed {archive_uri}: {replayed.found} batches found, {replayed.loaded} loaded"
            f" ({replayed.rows:,} rows), {len(replayed.refused)} refused."
        )
    for sentence in outcome.shortfalls:
        _say(f"  {sentence}", style="red")
    _say_build(outcome.built)
    return outcome.exit_status


def _build_report(built: "Build | None") -> dict[str, Any]:
    if built is None:
        return {}
    return {"build": asdict(built) | {"failed": [{"node": node, "reason": reason} for node, reason in built.failed]}}


def _say_build(built: "Build | None") -> None:
    if built is None:
        return
    if not built.passed and not built.failed:
        _say("Nothing to build: no batch came since the last build, and no model or seed has changed.")
        return
    since = f"from {built.window_start}" if built.window_start else "everything"
    _say(
        f"Built {since}: {built.passed} models and tests passed, {len(built.failed)} did not;"
        f" {built.merged_batches} new batches."
    )
    for node, reason in built.failed:
        _say(f"  {node}: {reason}", style="red")


def _say(sentence: str, style: str | None = None) -> None:
    _output.print(sentence, style=style, markup=False, soft_wrap=True)


def _status(settings: Settings, options: argparse.Namespace) -> int:
    with _starting(settings):
        from extract.status import read_status
        from extract.warehouse import open_warehouse

        with open_warehouse(settings) as warehouse:
            status = read_status(warehouse)
            kept = _kept_warehouse(settings)
    if settings.execution:
        import structlog

        # The objective of freshness in infra/terraform is measured by this line.
        structlog.get_logger().info(
            "state of the data",
            is_session_day=status.due_trade_date == _clock().astimezone(EXCHANGE_ZONE).date(),
            is_fresh=status.sessions_behind == 0,
            is_degraded=status.is_degraded,
        )
    if options.json:
        _output.print_json(json.dumps(status.as_json()))
    else:
        from extract.screen import show, status_screen

        show(_output, status_screen(status, kept))
    return INCOMPLETE if status.is_degraded else OK


def _diagnose(settings: Settings, options: argparse.Namespace) -> int:
    with _starting(settings), ExitStack() as leave:
        from extract.diagnosis import diagnose
        from extract.screen import diagnosis_screen, show
        from extract.warehouse import open_warehouse

        told = diagnose(settings, lambda: leave.enter_context(open_warehouse(settings)), _clock())
    if options.json:
        _output.print_json(json.dumps(told.as_json(), default=str))
    else:
        show(_output, diagnosis_screen(told))
    return OK if told.is_well else INCOMPLETE


def _query(settings: Settings, options: argparse.Namespace) -> int:
    from extract.rows import write_rows

    sql = sys.stdin.read() if options.sql == "-" else options.sql
    if not sql.strip():
        raise ConfigurationError("there is no statement; write one in quotes, or - to read it from standard input")
    with _starting(settings):
        from extract.warehouse import open_warehouse

        with open_warehouse(settings) as warehouse:
            rows = warehouse.query(sql)
            names = [field.name for field in rows.schema]
            count = write_rows(names, (row.values() for row in rows), options.format, sys.stdout) if names else 0
            sys.stdout.flush()
            changed = rows.num_dml_affected_rows
    said = "Done" if not names and changed is None else _counted(count if changed is None else changed, "row")
    if options.format == "table":
        _say(f"{said}.")
    elif _screen.is_terminal:
        # Beside the rows: whoever reads them by a program reads nothing else.
        _screen.print(f"{said}.", markup=False)
    else:
        import structlog

        structlog.get_logger().info(said)
    return OK


def _warehouse(settings: Settings, options: argparse.Namespace) -> int:
    if not settings.is_embedded:
        raise ConfigurationError("BIGQUERY_PROJECT or BIGQUERY_EMULATOR_HOST is set; unset it to use the embedded one")
    if options.stop:
        return _stop_warehouse(settings)
    from extract.warehouse import open_warehouse

    with suppress(KeyboardInterrupt), open_warehouse(settings) as warehouse:
        _output.print(warehouse.address, markup=False)
        _screen.print("The embedded warehouse is running; other commands find it. Ctrl-C stops it.", markup=False)
        while True:
            signal.pause()
    return _stop_warehouse(settings)


def _stop_warehouse(settings: Settings) -> int:
    from infra.local import warehouse as embedded

    if embedded.find(settings.warehouse_dir) is None:
        _screen.print(f"No embedded warehouse is running in {settings.warehouse_dir}.", markup=False, soft_wrap=True)
        return OK
    if embedded.stop(settings.warehouse_dir):
        _screen.print("The embedded warehouse has stopped.", markup=False)
        return OK
    _screen.print("Another command uses the embedded warehouse, which will stop after that command.", markup=False)
    return INCOMPLETE


def _kept_warehouse(settings: Settings) -> str | None:
    """Where the embedded warehouse runs, for how long, and how to stop it; None where this command ends it."""
    if not settings.is_embedded:
        return None
    from infra.local import warehouse as embedded

    server = embedded.find(settings.warehouse_dir)
    if server is None or not server.idle_seconds:
        return None
    idle = f"{server.idle_seconds / 60:.0f} minutes" if server.idle_seconds >= 90 else f"{server.idle_seconds:g} s"
    return f"{server.address}, for {idle} after the last command; `trading-data warehouse --stop` stops it"


def _serve(settings: Settings, options: argparse.Namespace) -> int:
    # The server ends well at either signal, and then passes it on.
    with _starting(settings), ExitStack() as leave, suppress(KeyboardInterrupt):
        import uvicorn

        from extract.api import application
        from extract.api.opened import OpenedWarehouse

        warehouse = leave.enter_context(OpenedWarehouse(settings))
        listener = leave.enter_context(_listening(options.host, options.port))
        config = uvicorn.Config(
            application(settings, warehouse, _clock), log_config=None, timeout_graceful_shutdown=_ANSWER_SECONDS
        )
        host, port = listener.getsockname()[:2]
        host = f"[{host}]" if ":" in host else host
        _screen.print(f"Listening on http://{host}:{port}; Ctrl-C stops it.", markup=False)
        uvicorn.Server(config).run([listener])
    return OK


def _listening(host: str, port: int) -> socket.socket:
    """A socket that a server can take.

    Raises:
        ConfigurationError: another process has the port, it is not ours to use, or there is no such host here.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"{host}, --port {port}, cannot be used: {reason}; give another one") from error


def _docs(settings: Settings, options: argparse.Namespace) -> int:
    with _starting(settings):
        from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

        from extract.build import document, preload_dbt
        from extract.warehouse import open_warehouse

        preload_dbt()
        with open_warehouse(settings) as warehouse:
            page = document(settings, warehouse)
    if options.no_serve:
        _say(str(page))
        return OK
    handler = partial(SimpleHTTPRequestHandler, directory=page.parent)
    try:
        server = ThreadingHTTPServer(("127.0.0.1", options.port), handler)
    except OSError as error:
        raise ConfigurationError(f"--port {options.port} cannot be used: {error.strerror}; give another one") from error
    with server, suppress(KeyboardInterrupt):
        _screen.print(f"Listening on http://127.0.0.1:{server.server_port}; Ctrl-C stops it.", markup=False)
        server.serve_forever()
    return OK


@contextmanager
def _progress(what: str) -> Iterator[_Advance]:
    """A progress bar on a terminal, and nothing elsewhere, where the log tells."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=_screen, transient=True, disable=not _screen.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _configure_logs(run_id: str) -> None:
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
        if _screen.is_terminal
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
        if not _screen.is_terminal
        else [structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="%H:%M:%S"), renderer],
        # On a terminal the progress bar tells what goes well.
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING if _screen.is_terminal else logging.INFO),
        # Standard error as it is at each message: whoever calls this in process may have replaced and closed it since.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _with_severity(_: object, __: str, event: "EventDict") -> "EventDict":
    event["severity"] = str(event.pop("level")).upper()
    return event
