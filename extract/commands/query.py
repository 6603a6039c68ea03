"""``query``: ask the warehouse in GoogleSQL."""

import argparse
import sys
from typing import TYPE_CHECKING

from extract.commands.terminal import Step, counted, say, screen
from extract.commands.writing import opened, starting
from extract.errors import OK, ConfigurationError
from extract.settings import Settings

if TYPE_CHECKING:
    pass


def query_command(settings: Settings, options: argparse.Namespace) -> int:
    """Run one statement and print its rows."""
    from extract.reporting.rows import write_rows

    sql = sys.stdin.read() if options.sql == "-" else options.sql
    if not sql.strip():
        raise ConfigurationError("there is no statement; write one in quotes, or - to read it from standard input")
    with starting(settings), opened(settings) as warehouse:
        with Step("asking the warehouse"):
            rows = warehouse.query(sql)
        names = [field.name for field in rows.schema]
        count = write_rows(names, (row.values() for row in rows), options.format, sys.stdout) if names else 0
        sys.stdout.flush()
        changed = rows.num_dml_affected_rows
    said = "Done" if not names and changed is None else counted(count if changed is None else changed, "row")
    if options.format == "table":
        say(f"{said}.")
    elif screen.is_terminal:
        # Beside the rows: whoever reads them by a program reads nothing else.
        screen.print(f"{said}.", markup=False)
    else:
        import structlog

        structlog.get_logger().info(said)
    return OK
