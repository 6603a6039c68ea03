"""``export``, ``tables`` and ``describe``: list the tables and their columns, and write a table to a file."""

import argparse
import re
import sys
import time
from pathlib import Path

from extract.commands.options import Add, day, instruments
from extract.commands.terminal import progress
from extract.commands.writing import opened, starting
from extract.errors import OK, ConfigurationError, UsageError
from extract.settings import Settings
from extract.words import counted


def add_commands(add: Add) -> None:
    """Add ``tables``, ``describe`` and ``export`` to the command line."""
    add(
        "tables",
        tables_command,
        "list the tables that `query` and `export` can read",
        "tables",
        "describe daily_bars",
    )
    told = add(
        "describe",
        describe_command,
        "list the columns of a table",
        "describe daily_bars",
        "describe quality_bar_checks",
    )
    told.add_argument("table", metavar="TABLE", help="such as daily_bars")
    taken = add(
        "export",
        export_command,
        "write a table to a file",
        "export daily_bars -o bars.parquet",
        "export daily_bars --symbols TCS,INFY --from 2020-01-01 --wide close -o closes.csv",
    )
    taken.add_argument("table", metavar="TABLE", help="such as daily_bars")
    taken.add_argument("-o", "--output", type=Path, metavar="FILE", required=True, help="the file to write")
    taken.add_argument(
        "--format",
        choices=("parquet", "csv", "arrow"),
        help="the format (default: by the ending of --output: .parquet, .csv, .arrow or .feather)",
    )
    taken.add_argument("--symbols", default="ALL", metavar="A,B", help="the symbols to write (default: %(default)s)")
    taken.add_argument("--from", dest="first", type=day, metavar="DAY", help="the first day, YYYY-MM-DD")
    taken.add_argument("--to", dest="last", type=day, metavar="DAY", help="the last day, YYYY-MM-DD")
    taken.add_argument(
        "--wide",
        metavar="COLUMN",
        help="write one row for each day and one column for each symbol, with the values of this column",
    )
    taken.add_argument(
        "--float",
        action="store_true",
        help="write prices as float64, which pandas calculates with (default: exact decimals)",
    )


def tables_command(settings: Settings, _: argparse.Namespace) -> int:
    """List the tables that a person reads."""
    with starting(settings), opened(settings) as warehouse:
        from extract.analysis.catalogue import catalogue, with_counts

        tables = catalogue(warehouse)
        if not tables:
            raise ConfigurationError("there are no tables yet; run `trading-data run` first")
        tables = with_counts(warehouse, tables)
    _say_rows(
        ["table", "rows", "description"],
        [(table.name, _rows(table.row_count), _first_sentence(table.description)) for table in tables],
    )
    return OK


def export_command(settings: Settings, options: argparse.Namespace) -> int:
    """Write a table, or a part of it, to a file."""
    from extract.analysis.written import check_target

    check_target(options.output)
    if options.first and options.last and options.last < options.first:
        raise UsageError(f"--from {options.first} lies after --to {options.last}; swap them")
    chosen = None if options.symbols.strip().upper() == "ALL" else [i.symbol for i in instruments(options.symbols)]
    suffix = options.output.suffix.lower()
    by_name = {".parquet": "parquet", ".csv": "csv", ".arrow": "arrow", ".feather": "arrow"}
    form = options.format or by_name.get(suffix)
    if form is None:
        raise UsageError(
            f"{options.output} does not tell the format: name it .parquet, .csv (which Excel opens) or .arrow, or give"
            " --format"
        )
    began_at = time.monotonic()
    with starting(settings), opened(settings) as warehouse:
        from extract.analysis.catalogue import described
        from extract.analysis.export import Wanted, export

        with progress("writing rows") as advance:
            wanted = Wanted(
                described(warehouse, options.table), chosen, options.first, options.last, options.wide, options.float
            )
            count = export(warehouse, wanted, options.output, form, lambda done: advance(done, 0))
    size = options.output.stat().st_size
    said = f"{counted(count, 'row')}, {size / 1e6:,.1f} MB, {time.monotonic() - began_at:.1f} s"
    print(f"{options.output}: {said}")
    return OK


def describe_command(settings: Settings, options: argparse.Namespace) -> int:
    """List the columns of a table."""
    with starting(settings), opened(settings) as warehouse:
        from extract.analysis.catalogue import described

        table = described(warehouse, options.table)
    print(f"{table.name}: {table.description}\n")
    _say_rows(["column", "type", "description"], [(c.name, c.kind, c.description) for c in table.columns])
    return OK


def _say_rows(names: list[str], rows: list[tuple[str, ...]]) -> None:
    """Print columns of text; on a terminal, the last one is wrapped to fit."""
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
        # In a pipe, lines are neither wrapped nor padded to the width of a window.
        with console.capture() as captured:
            console.print(table)
        sys.stdout.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())
    sys.stdout.flush()


def _rows(count: int | None) -> str:
    return "view" if count is None else f"{count:,}"


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=\.)\s", text, maxsplit=1)[0].rstrip(".")
