"""The rows of an answer as text: a table for people, CSV and JSON lines for programs. No value is cut or rounded."""

import base64
import csv
import json
import math
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import TextIO

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text


def write_rows(names: Sequence[str], rows: Iterable[Sequence[object]], form: str, out: TextIO) -> int:
    """Write rows, and return how many they were. CSV and JSON are written as they come, and a table when it is whole.

    Args:
        names: of the columns.
        rows: a value for each column.
        form: ``table``, ``csv`` (a header, then a line for each row) or ``json`` (an object on each line).
        out: where to.
    """
    count = 0
    if form == "table":
        table = Table(*(Column(Text(name)) for name in names))
        for row in rows:
            table.add_row(*(Text(_shown(value)) for value in row))
        # As wide as it is: what is read by a program, or copied, must not be cut to fit a window.
        natural = Console(file=out, width=1_000_000, highlight=False)
        width = max(natural.measure(table).maximum, 1)
        Console(file=out, width=width, highlight=False).print(table, soft_wrap=False)
        return table.row_count
    if form == "csv":
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(names)
        for row in rows:
            writer.writerow([_plain(value) for value in row])
            count += 1
        return count
    for row in rows:
        out.write(_json(dict(zip(names, row, strict=True))) + "\n")
        count += 1
    return count


def _shown(value: object) -> str:
    """A value in a cell: what would move the cursor is written out."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in _plain(value))


def _plain(value: object) -> str:
    """A value as BigQuery's own exports write it."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    if isinstance(value, dict | list | tuple | bool):
        return _json(value)
    return _told(value)


def _told(value: object) -> str:
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value)


def _json(value: object) -> str:
    """JSON in which a NUMERIC keeps all of its digits; what JSON has no number for is a text."""
    written: dict[type, Callable[..., str]] = {
        dict: lambda v: "{" + ", ".join(f"{json.dumps(str(name))}: {_json(inner)}" for name, inner in v.items()) + "}",
        list: lambda v: "[" + ", ".join(map(_json, v)) + "]",
        tuple: lambda v: "[" + ", ".join(map(_json, v)) + "]",
        Decimal: lambda v: f"{v:f}" if v.is_finite() else json.dumps(str(v)),
        float: lambda v: repr(v) if math.isfinite(v) else json.dumps(str(v)),
    }
    if write := written.get(type(value)):
        return write(value)
    return json.dumps(value if isinstance(value, str | int | bool | None) else _told(value), ensure_ascii=False)
