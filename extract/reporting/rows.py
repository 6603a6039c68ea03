"""Write the rows of an answer as text: a table for people, other forms for programs. No value is cut or rounded."""

import base64
import csv
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from itertools import batched
from typing import TextIO

from rich.cells import cell_len

FORMS = ("table", "csv", "json", "jsonl", "markdown")

# The number of rows of a long table that are held in memory and laid out at a time; columns grow wider when a later
# row needs it.
_ROWS_AT_ONCE = 5_000

# If a table is too wide for the terminal, up to this many rows are written one value a line, so that no column is lost.
_FEW_ROWS = 5

# The characters that Markdown would interpret. An underscore within a word is not one of them.
_MARKDOWN_SIGNS = re.compile(r"[\\`*\[\]<>|~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


def write_rows(
    names: Sequence[str], rows: Iterable[Sequence[object]], form: str, out: TextIO, *, width: int | None = None
) -> int:
    """Write rows as they arrive, and return their number.

    Args:
        names: the names of the columns.
        rows: a value for each column.
        form: ``table``; ``csv``, a header and then a line for each row; ``json``, one array of objects; ``jsonl``, an
            object on each line; or ``markdown``, a table in GitHub's form.
        out: where to write.
        width: the width of the terminal for a table, in cells; None for a program or a file. If a table is wider, a few
            rows are written one value a line; of many rows, the columns that fit are shown, and a line says how many.
    """
    counted = _Counted(rows)
    if form == "table":
        _write_table(names, counted, out, width)
    elif form == "csv":
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([plain(value) for value in row] for row in counted)
    elif form == "markdown":
        out.write(_markdown_line(names) + _markdown_line(["---"] * len(names), is_plain=True))
        out.writelines(_markdown_line([plain(value) for value in row]) for row in counted)
    elif form == "jsonl":
        out.writelines(_json(dict(zip(names, row, strict=True))) + "\n" for row in counted)
    else:
        out.write("[")
        for row in counted:
            out.write(("\n" if counted.count == 1 else ",\n") + _json(dict(zip(names, row, strict=True))))
        out.write("\n]\n" if counted.count else "]\n")
    return counted.count


class _Counted:
    """An iterable of rows that counts them."""

    def __init__(self, rows: Iterable[Sequence[object]]) -> None:
        self._rows = rows
        self.count = 0

    def __iter__(self) -> Iterator[Sequence[object]]:
        for row in self._rows:
            self.count += 1
            yield row


def _write_table(names: Sequence[str], rows: Iterable[Sequence[object]], out: TextIO, width: int | None) -> None:
    headings = [_shown(name) for name in names]
    widths = [cell_len(heading) for heading in headings]
    shown = len(names)
    is_started = False
    numeric = [False] * len(names)
    for batch in batched(rows, _ROWS_AT_ONCE, strict=False):
        cells = [[_shown(value) for value in row] for row in batch]
        widths = [
            max(before, *map(cell_len, column)) for before, column in zip(widths, zip(*cells, strict=True), strict=True)
        ]
        if not is_started:
            numeric = [all(map(_is_number, column)) for column in zip(*batch, strict=True)]
            if width is not None and _table_width(widths) > width:
                if len(batch) <= _FEW_ROWS:
                    _write_on_their_side(headings, cells, out)
                    return
                shown = max(n for n in range(1, len(names) + 1) if n == 1 or _table_width(widths[:n]) <= width)
            _write_heading(headings[:shown], widths, numeric, out)
            is_started = True
        out.writelines(_line(row[:shown], widths, numeric) for row in cells)
    if not is_started:
        _write_heading(headings, widths, numeric, out)
    out.write("└" + "┴".join("─" * (width + 2) for width in widths[:shown]) + "┘\n")
    if shown < len(names):
        out.write(f"{shown} of {len(names)} columns shown; --format csv has all\n")


def _write_heading(headings: Sequence[str], widths: Sequence[int], numeric: Sequence[bool], out: TextIO) -> None:
    lines = ["─" * (width + 2) for _, width in zip(headings, widths, strict=False)]
    out.write(f"┌{'┬'.join(lines)}┐\n{_line(headings, widths, numeric)}├{'┼'.join(lines)}┤\n")


def _write_on_their_side(headings: Sequence[str], rows: Sequence[Sequence[str]], out: TextIO) -> None:
    longest = max(map(cell_len, headings))
    for number, row in enumerate(rows, 1):
        out.write(f"── row {number} ──\n")
        for heading, cell in zip(headings, row, strict=True):
            out.write(f"{heading}{' ' * (longest - cell_len(heading))} │ {cell}\n")


def _line(cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    padded = (
        f" {' ' * (width - cell_len(cell))}{cell} " if is_number else f" {cell}{' ' * (width - cell_len(cell))} "
        for cell, width, is_number in zip(cells, widths, numeric, strict=False)
    )
    return "│" + "│".join(padded) + "│\n"


def _table_width(widths: Sequence[int]) -> int:
    return sum(widths) + 3 * len(widths) + 1


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float | Decimal) and not isinstance(value, bool))


def _shown(value: object) -> str:
    """A value in a cell of a table; characters that would move the cursor are escaped."""
    text = plain(value)
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _markdown_line(cells: Sequence[str], *, is_plain: bool = False) -> str:
    texts = cells if is_plain else (_MARKDOWN_SIGNS.sub(r"\\\g<0>", cell) for cell in cells)
    return "| " + " | ".join("<br>".join(text.splitlines()) for text in texts) + " |\n"


def plain(value: object) -> str:
    """A value in CSV, as BigQuery's own exports write it."""
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
    """JSON in which a NUMERIC keeps all its digits; NaN and infinity, which JSON lacks, become texts."""
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
