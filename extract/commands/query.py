"""``query``: ask the warehouse in GoogleSQL."""

import argparse
import re
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TextIO

from extract.commands.options import Add, row_count
from extract.commands.terminal import Step
from extract.commands.writing import opened, starting
from extract.errors import OK, UsageError
from extract.reporting.rows import FORMS, write_rows
from extract.settings import Settings
from extract.words import counted, encodable

# The form that the suffix of a file name stands for.
_BY_SUFFIX = {".csv": "csv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".md": "markdown", ".txt": "table"}


def add_commands(add: Add) -> None:
    """Add ``query`` to the command line."""
    command = add(
        "query",
        query_command,
        "query the warehouse in GoogleSQL",
        "query \"select * from daily_bars where symbol = 'TCS' order by trade_date desc limit 5\"",
        "query --file question.sql -o answer.csv",
    )
    command.add_argument("sql", metavar="SQL", nargs="?", help="one statement, or - to read it from standard input")
    command.add_argument("--file", type=Path, metavar="FILE", help="read the statement from a file")
    command.add_argument(
        "--format", choices=FORMS, help="the format (default: by the file name in --output, else table)"
    )
    command.add_argument("-o", "--output", type=Path, metavar="FILE", help="write the rows to this file")
    command.add_argument("--max-rows", type=row_count, metavar="N", help="show the first N rows (default: all)")
    command.add_argument("--write", action="store_true", help="allow a statement that changes the warehouse")


def query_command(settings: Settings, options: argparse.Namespace) -> int:
    """Run one statement, and write its rows as they arrive."""
    sql = _statement(options)
    form = options.format or (_BY_SUFFIX.get(options.output.suffix.lower()) if options.output else None) or "table"
    if options.output:
        from extract.analysis.written import check_target

        if options.format is None and options.output.suffix.lower() in (".parquet", ".arrow", ".feather"):
            raise UsageError("`query` writes text; `trading-data export` writes Parquet and Arrow")
        check_target(options.output)
    with starting(settings), opened(settings) as warehouse, _written_to(options.output) as out:
        from extract.analysis.asking import ask

        with Step("asking the warehouse"):
            answer = ask(warehouse, sql, may_write=options.write, most_rows=options.max_rows)
        width = shutil.get_terminal_size().columns if out.isatty() else None
        # Closed here even if the reader of the output has gone, and not only when Python ends.
        with closing(answer.rows) as rows:
            count = write_rows(answer.names, rows, form, out, width=width) if answer.names else 0
            out.flush()
    if answer.names:
        said = counted(count, "row")
        if answer.total is not None and count < answer.total:
            said = f"{count:,} of {counted(answer.total, 'row')}"
    elif answer.total is None:
        said = "Done"
    else:
        said = f"{counted(answer.total, 'row')} changed"
    said = f"{said}, {time.monotonic() - answer.began_at:.1f} s"
    if form == "table" and not options.output:
        print(said)
        sys.stdout.flush()
    elif sys.stderr.isatty():
        # On standard error: a program that reads the rows must read nothing else.
        print(said, file=sys.stderr)
    else:
        import structlog

        structlog.get_logger().info(said)
    return OK


def _statement(options: argparse.Namespace) -> str:
    if (options.sql is None) == (options.file is None):
        raise UsageError("write one statement in quotes, or name a file with --file")
    if options.file:
        try:
            sql = options.file.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--file {options.file} cannot be read: {_reason(error)}") from error
    else:
        sql = sys.stdin.read() if options.sql == "-" else options.sql
    if not re.sub(r"(?m)^\s*(--|#).*$|;", "", sql).strip():
        raise UsageError("there is no statement; write one in quotes, or - to read it from standard input")
    if sql != encodable(sql):
        raise UsageError("the statement has bytes that are not UTF-8; write it in UTF-8")
    return str(sql)


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else "it is not in UTF-8"


@contextmanager
def _written_to(target: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that appears when it is complete."""
    if target is None:
        yield sys.stdout
        return
    from extract.analysis.written import written_whole

    with written_whole(target) as partial, partial.open("w", encoding="utf-8", newline="") as out:
        yield out
