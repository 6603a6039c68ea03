"""``trading-data``: the pipeline's one command line."""

import argparse
import csv
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NoReturn

import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from extract.archive import Archive
from extract.build import Build, build, preload_dbt
from extract.errors import ConfigurationError, PipelineError
from extract.settings import Settings
from extract.sources.archive import Replay, replay
from extract.status import Status, read_status
from extract.warehouse import open_warehouse

OK, FAILED, USAGE, INCOMPLETE = 0, 1, 2, 3

# Results go to standard output, everything else to standard error.
_screen = Console(stderr=True, highlight=False)
_output = Console(highlight=False)

type _Advance = Callable[[int, int], None]


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 failed, 2 bad usage or configuration, 3 incomplete."""
    options = _parser().parse_args(arguments)
    _configure_logs()
    try:
        settings = Settings.from_environment(os.environ)
        if getattr(options, "archive", None):
            settings = replace(settings, archive_uri=options.archive)
        status: int = options.run(settings, options)
    except ConfigurationError as error:
        _screen.print(f"trading-data: {error}", style="red", markup=False, soft_wrap=True)
        return USAGE
    except PipelineError as error:
        _screen.print(f"trading-data: {error}", style="red", markup=False, soft_wrap=True)
        return FAILED
    except KeyboardInterrupt:
        _screen.print("trading-data: interrupted; run the same command again to go on", markup=False)
        return FAILED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    return status


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"trading-data: {message}; see `{self.prog} --help`\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="trading-data", description="Daily bars of Indian equities that can be trusted.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=_Parser)

    def command(name: str, run: Callable[[Settings, argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        return added

    replayed = command("replay", _replay, "load archived batches that raw lacks, then build")
    replayed.add_argument("--archive", metavar="URI", help="a folder or gs://bucket/prefix (default: ARCHIVE_URI)")
    replayed.add_argument("--no-build", action="store_true", help="load only")
    built = command("build", _build, "run dbt over what the marts have not seen yet, and its tests")
    built.add_argument("--full-refresh", action="store_true", help="build everything, whatever has changed")
    shown = command("status", _status, "say whether the latest session is here and can be trusted")
    asked = command("query", _query, "ask the warehouse in GoogleSQL")
    asked.add_argument("sql", metavar="SQL", help="one statement, or - to read it from standard input")
    asked.add_argument("--format", choices=("table", "csv", "json"), default="table")
    command("warehouse", _warehouse, "keep the embedded warehouse running and print its address, until Ctrl-C")
    for reporting in (replayed, built, shown):
        reporting.add_argument("--json", action="store_true", help="print the report as JSON")
    return parser


def _replay(settings: Settings, options: argparse.Namespace) -> int:
    archive = Archive(settings.archive_uri)
    if not options.no_build:
        preload_dbt()
    with open_warehouse(settings) as warehouse:
        with _progress("batches loaded") as advance:
            replayed = replay(archive, warehouse, advance)
        built = None
        if not options.no_build:
            with _progress("models and tests") as advance:
                built = build(settings, warehouse, advance)
    return _report(options, settings, replayed, built)


def _build(settings: Settings, options: argparse.Namespace) -> int:
    preload_dbt()
    with open_warehouse(settings) as warehouse, _progress("models and tests") as advance:
        built = build(settings, warehouse, advance, full_refresh=options.full_refresh)
    return _report(options, settings, None, built)


def _report(options: argparse.Namespace, settings: Settings, replayed: Replay | None, built: Build | None) -> int:
    status = FAILED if built and built.failed else INCOMPLETE if replayed and replayed.refused else OK
    if options.json:
        report: dict[str, Any] = {"exit_status": status}
        if replayed:
            refused = [{"path": path, "reason": reason} for path, reason in replayed.refused]
            report["replay"] = asdict(replayed) | {"archive": settings.archive_uri, "refused": refused}
        if built:
            failed = [{"node": node, "reason": reason} for node, reason in built.failed]
            report["build"] = asdict(built) | {"failed": failed}
        _output.print_json(json.dumps(report, default=str))
        return status
    if replayed:
        _output.print(
            f"Replayed {settings.archive_uri}: {replayed.found} batches found, {replayed.loaded} loaded"
            f" ({replayed.rows:,} rows), {len(replayed.refused)} refused.",
            markup=False,
            soft_wrap=True,
        )
        for path, reason in replayed.refused:
            _output.print(f"  refused {path}: {reason}", style="red", markup=False, soft_wrap=True)
    if built:
        since = f"from {built.window_start}" if built.window_start else "everything"
        _output.print(
            f"Built {since}: {built.passed} models and tests passed, {len(built.failed)} did not;"
            f" {built.merged_batches} new batches.",
            markup=False,
            soft_wrap=True,
        )
        for node, reason in built.failed:
            _output.print(f"  {node}: {reason}", style="red", markup=False, soft_wrap=True)
    return status


def _status(settings: Settings, options: argparse.Namespace) -> int:
    with open_warehouse(settings) as warehouse:
        status = read_status(warehouse)
    if options.json:
        _output.print_json(json.dumps(status.as_json()))
    else:
        _output.print(_status_table(status))
    return INCOMPLETE if status.is_degraded else OK


def _status_table(status: Status) -> Table:
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")

    def names(symbols: list[str]) -> str:
        shown = ", ".join(symbols[:12])
        return f"{shown} and {len(symbols) - 12} more" if len(symbols) > 12 else shown or "none"

    def score(value: float | None) -> str:
        return "none" if value is None else f"{value:.2f} of 100"

    behind = status.sessions_behind
    lag = "nothing is here" if behind is None else "up to date" if behind == 0 else f"{behind} sessions behind"
    for label, value in (
        ("Latest session", f"{status.latest_trade_date or 'none'} ({lag}; due is {status.due_trade_date})"),
        (
            "Bars in it",
            f"{status.latest_valid_record_count} of {status.instrument_count} valid,"
            + f" {status.latest_fallback_record_count} of them from a fallback,"
            + f" {status.latest_provisional_record_count} provisional",
        ),
        ("  without a valid bar", names(status.unserved_symbols)),
        ("  score", score(status.latest_quality_score)),
        ("All bars", f"{status.record_count:,} of {status.symbol_count} symbols, {status.valid_record_count:,} valid"),
        ("  held back", f"{status.unreconciled_record_count:,} from a fallback on another scale"),
        ("  score", score(status.quality_score)),
        ("Unknown symbols", names(status.unknown_symbols)),
        ("Not yet built", f"{status.unmerged_batch_count} batches"),
        ("Calendar ends", f"{status.calendar_ends_on}; infra/README.md says how to extend it"),
    ):
        table.add_row(label, value)
    return table


def _query(settings: Settings, options: argparse.Namespace) -> int:
    sql = sys.stdin.read() if options.sql == "-" else options.sql
    with open_warehouse(settings) as warehouse:
        rows = warehouse.query(sql)
        names = [field.name for field in rows.schema]
        values = [tuple(row.values()) for row in rows]
    if options.format == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerows([names, *([_plain(value) for value in row] for row in values)])
    elif options.format == "json":
        for row in values:
            record = {name: _plain(value) for name, value in zip(names, row, strict=True)}
            sys.stdout.write(json.dumps(record, default=str) + "\n")
    else:
        table = Table(*names)
        for row in values:
            table.add_row(*("" if value is None else str(_plain(value)) for value in row))
        _output.print(table)
    return OK


def _plain(value: object) -> object:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    return value


def _warehouse(settings: Settings, _: argparse.Namespace) -> int:
    if not settings.is_embedded:
        raise ConfigurationError("BIGQUERY_PROJECT or BIGQUERY_EMULATOR_HOST is set; unset it to use the embedded one")
    with suppress(KeyboardInterrupt), open_warehouse(settings) as warehouse:
        _output.print(warehouse.address, markup=False)
        _screen.print("The embedded warehouse is running; other commands find it. Ctrl-C stops it.", markup=False)
        while True:
            signal.pause()
    return OK


@contextmanager
def _progress(what: str) -> Iterator[_Advance]:
    """A progress bar on a terminal, and nothing elsewhere, where the log tells."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=_screen, transient=True, disable=not _screen.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _configure_logs() -> None:
    """Log to standard error: readable on a terminal, one JSON object a line elsewhere, with Cloud Logging's names."""
    renderer = structlog.dev.ConsoleRenderer() if _screen.is_terminal else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _with_severity,
            structlog.processors.TimeStamper(fmt="iso", key="time"),
            structlog.processors.EventRenamer("message"),
            renderer,
        ]
        if not _screen.is_terminal
        else [structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="%H:%M:%S"), renderer],
        # On a terminal the progress bar tells what goes well.
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING if _screen.is_terminal else logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _with_severity(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    event["severity"] = str(event.pop("level")).upper()
    return event
