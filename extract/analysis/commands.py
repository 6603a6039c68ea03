"""The commands `query`, `tables` and `describe`."""

import argparse
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import date
from pathlib import Path
from typing import Protocol, TextIO

from extract.errors import OK, ConfigurationError
from extract.rows import FORMS, write_rows
from extract.settings import Settings

# What the end of a file's name says of its form.
_BY_SUFFIX = {".csv": "csv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".md": "markdown", ".txt": "table"}

type Starting = Callable[[Settings], AbstractContextManager[None]]


class Adding(Protocol):
    """Adds a command, and returns its parser."""

    def __call__(
        self, name: str, run: Callable[[Settings, argparse.Namespace], int], text: str
    ) -> argparse.ArgumentParser:
        """Add it under a name, with what runs it and what it does."""


def add_commands(
    command: Adding,
    starting: Starting,
    day: Callable[[str], date],
    symbols: Callable[[str], list[str]],
    progress: Callable[[str], AbstractContextManager[Callable[[int, int], None]]],
) -> None:
    """Add the commands of an analyst.

    Args:
        command: adds one.
        starting: lets the embedded warehouse start meanwhile.
        day: reads a day.
        symbols: reads a list of symbols, and refuses one that is none of ours.
        progress: a progress bar on a terminal, told what is done and of how much.
    """
    asked = command("query", lambda *given: _query(starting, *given), "ask the warehouse in GoogleSQL")
    asked.add_argument("sql", metavar="SQL", nargs="?", help="one statement, or - to read it from standard input")
    asked.add_argument("--file", type=Path, metavar="FILE", help="read the statement from a file")
    asked.add_argument("--format", choices=FORMS, help="(default: by the name of --output, else table)")
    asked.add_argument("-o", "--output", type=Path, metavar="FILE", help="write the rows there")
    asked.add_argument("--max-rows", type=_count, metavar="N", help="show the first N rows (default: all)")
    asked.add_argument("--write", action="store_true", help="allow a statement that changes the warehouse")
    command("tables", lambda *given: _tables(starting, *given), "list what `query` and `export` can ask for")
    told = command("describe", lambda *given: _describe(starting, *given), "list the columns of a table")
    told.add_argument("table", metavar="TABLE", help="such as daily_bars")
    taken = command("export", lambda *given: _export(starting, symbols, progress, *given), "write a table into a file")
    taken.add_argument("table", metavar="TABLE", help="such as daily_bars")
    taken.add_argument("-o", "--output", type=Path, metavar="FILE", required=True, help="what to write")
    taken.add_argument(
        "--format", choices=("parquet", "csv", "arrow"), help="(default: by the name of --output, else parquet)"
    )
    taken.add_argument("--symbols", default="ALL", metavar="A,B", help="(default: %(default)s)")
    taken.add_argument("--from", dest="first", type=day, metavar="DAY", help="the first day, YYYY-MM-DD")
    taken.add_argument("--to", dest="last", type=day, metavar="DAY", help="the last day, YYYY-MM-DD")
    taken.add_argument(
        "--wide", metavar="COLUMN", help="one row for each day and one column for each symbol, of this column"
    )
    taken.add_argument(
        "--float", action="store_true", help="prices as float64, as pandas calculates with (default: exact decimals)"
    )


def _count(text: str) -> int:
    if text.isascii() and text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no count of rows; use a number from 1 on")


def _query(starting: Starting, settings: Settings, options: argparse.Namespace) -> int:
    sql = _statement(options)
    form = options.format or (_BY_SUFFIX.get(options.output.suffix.lower()) if options.output else None) or "table"
    if options.output:
        from extract.analysis.written import check_target

        if options.format is None and options.output.suffix.lower() in (".parquet", ".arrow", ".feather"):
            raise ConfigurationError("`query` writes text; `trading-data export` writes Parquet and Arrow")
        check_target(options.output)
    with starting(settings):
        from extract.analysis.asking import ask
        from extract.warehouse import open_warehouse

        with open_warehouse(settings) as warehouse, _written_to(options.output) as out:
            answer = ask(warehouse, sql, may_write=options.write, most_rows=options.max_rows)
            width = shutil.get_terminal_size().columns if out.isatty() else None
            count = write_rows(answer.names, answer.rows, form, out, width=width) if answer.names else 0
            out.flush()
    if answer.names:
        said = f"{count:,} of {answer.total:,}" if answer.total is not None and count < answer.total else f"{count:,}"
        said += " row" if said == "1" else " rows"
    elif answer.total is None:
        said = "Done"
    else:
        said = f"{answer.total:,} {'row' if answer.total == 1 else 'rows'} changed"
    said = f"{said}, {time.monotonic() - answer.began_at:.1f} s"
    if form == "table" and not options.output:
        print(said)
        sys.stdout.flush()
    elif sys.stderr.isatty():
        # Beside the rows: whoever reads them by a program reads nothing else.
        print(said, file=sys.stderr)
    else:
        import structlog

        structlog.get_logger().info(said)
    return OK


def _statement(options: argparse.Namespace) -> str:
    if (options.sql is None) == (options.file is None):
        raise ConfigurationError("write one statement in quotes, or name a file with --file")
    if options.file:
        try:
            sql = options.file.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"--file {options.file} cannot be read: {_reason(error)}") from error
    else:
        sql = sys.stdin.read() if options.sql == "-" else options.sql
    if not re.sub(r"(?m)^\s*(--|#).*$|;", "", sql).strip():
        raise ConfigurationError("there is no statement; write one in quotes, or - to read it from standard input")
    return str(sql)


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else "it is not in UTF-8"


@contextmanager
def _written_to(target: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that appears when it is whole."""
    if target is None:
        yield sys.stdout
        return
    from extract.analysis.written import written_whole

    with written_whole(target) as partial, partial.open("w", encoding="utf-8", newline="") as out:
        yield out


def _tables(starting: Starting, settings: Settings, _: argparse.Namespace) -> int:
    with starting(settings):
        from extract.analysis.catalogue import catalogue, with_counts
        from extract.warehouse import open_warehouse

        with open_warehouse(settings) as warehouse:
            tables = catalogue(warehouse)
            if not tables:
                raise ConfigurationError("there are no tables yet; run `trading-data run` first")
            tables = with_counts(warehouse, tables)
    _say_rows(
        ["table", "rows", "description"],
        [(table.name, _rows(table.row_count), _first_sentence(table.description)) for table in tables],
    )
    return OK


def _export(
    starting: Starting,
    symbols: Callable[[str], list[str]],
    progress: Callable[[str], AbstractContextManager[Callable[[int, int], None]]],
    settings: Settings,
    options: argparse.Namespace,
) -> int:
    from extract.analysis.written import check_target

    check_target(options.output)
    if options.first and options.last and options.last < options.first:
        raise ConfigurationError(f"--from {options.first} lies after --to {options.last}; exchange them")
    chosen = None if options.symbols.strip().upper() == "ALL" else symbols(options.symbols)
    suffix = options.output.suffix.lower()
    form = options.format or {".csv": "csv", ".arrow": "arrow", ".feather": "arrow"}.get(suffix, "parquet")
    began_at = time.monotonic()
    with starting(settings):
        from extract.analysis.catalogue import described
        from extract.analysis.export import Wanted, export
        from extract.warehouse import open_warehouse

        with open_warehouse(settings) as warehouse, progress("rows written") as advance:
            wanted = Wanted(
                described(warehouse, options.table), chosen, options.first, options.last, options.wide, options.float
            )
            count = export(warehouse, wanted, options.output, form, lambda done: advance(done, 0))
    size = options.output.stat().st_size
    said = f"{count:,} {'row' if count == 1 else 'rows'}, {size / 1e6:,.1f} MB, {time.monotonic() - began_at:.1f} s"
    print(f"{options.output}: {said}")
    return OK


def _describe(starting: Starting, settings: Settings, options: argparse.Namespace) -> int:
    with starting(settings):
        from extract.analysis.catalogue import described
        from extract.warehouse import open_warehouse

        with open_warehouse(settings) as warehouse:
            table = described(warehouse, options.table)
    print(f"{table.name}: {table.description}\n")
    _say_rows(["column", "type", "description"], [(c.name, c.kind, c.description) for c in table.columns])
    return OK


def _say_rows(names: list[str], rows: list[tuple[str, ...]]) -> None:
    """Columns of text, of which the last one is wrapped to fit a terminal."""
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    table = Table(
        *(
            Column(Text(name), no_wrap=name != names[-1], justify="right" if name == "rows" else "left")
            for name in names
        ),
        box=None,
        pad_edge=False,
        header_style="bold",
    )
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 1_000_000)
    if sys.stdout.isatty():
        console.print(table)
    else:
        # What is piped is neither wrapped nor padded to the width of a window.
        with console.capture() as captured:
            console.print(table)
        sys.stdout.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())
    sys.stdout.flush()


def _rows(count: int | None) -> str:
    return "view" if count is None else f"{count:,}"


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.;:])\s", text, maxsplit=1)[0].rstrip(".:;")
