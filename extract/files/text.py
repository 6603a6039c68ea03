"""Turn a file's bytes into rows of cells: charset, CSV or JSON. The meaning of the cells does not matter here."""

import csv
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import StringIO
from typing import Any

from charset_normalizer import from_bytes

from extract.files.opened import FileRefused
from extract.words import encodable

# File formats that are not text, and what to do with them.
_BINARIES = {
    b"\xd0\xcf\x11\xe0": "is an Excel workbook; save it as CSV, and import that",
    b"%PDF": "is a PDF; download the CSV",
    b"\x1f\x8b": "is compressed with gzip; unpack it",
    b"PAR1": "is a Parquet file; `trading-data replay` takes those of an archive",
}
_BYTE_ORDER_MARKS = {
    b"\xef\xbb\xbf": "utf_8_sig",
    b"\xff\xfe\x00\x00": "utf_32",
    b"\x00\x00\xfe\xff": "utf_32",
    b"\xff\xfe": "utf_16",
    b"\xfe\xff": "utf_16",
}

_WITH_ZEROS = ["utf_16_le", "utf_16_be", "utf_32_le", "utf_32_be"]

# The name of the segment in which shares are traded, in the exchange's web service.
_CASH_SEGMENT = "CM"

# A row with a stray quote is refused; with this many such rows, the file is not CSV.
_MOST_BAD_LINES = 100


@dataclass(frozen=True, slots=True)
class Row:
    """A row of an imported file.

    Attributes:
        place: ``line 3``, counted from 1 as an editor does, or ``record 3`` of JSON.
        cells: in the order of the file; None for a null of JSON.
        problem: why the cells could not be separated; None if they could.
        no_texts: the places of cells that are a list, an object, true or false of JSON.
        is_closed: whether its end is certain, so that a problem of it does not mean that the file was cut there.
    """

    place: str
    cells: list[str | None]
    problem: str | None = None
    no_texts: frozenset[int] = frozenset()
    is_closed: bool = False

    @property
    def filled(self) -> list[str]:
        """The cells that are not blank, trimmed."""
        return [cell.strip() for cell in self.cells if cell and cell.strip()]


@dataclass(frozen=True, slots=True)
class UnreadRow:
    """A record that was not taken, or several for one reason.

    Attributes:
        place: its place in the file, such as ``line 3``.
        symbol: the text of its symbol; None if it cannot be found.
        reason: why it was not taken, as a sentence about the record.
        count: the number of records.
        also: the symbol of another share that it may be of.
    """

    place: str
    symbol: str | None
    reason: str
    count: int = 1
    also: str | None = None

    def __str__(self) -> str:
        """The place, the symbol and the reason."""
        return f"{self.place}{f' {self.symbol}' if self.symbol else ''}: {self.reason}"


def decoded(body: bytes) -> str:
    """The text of a file, decoded by its byte order mark, else as UTF-8, else in the most likely charset.

    Raises:
        FileRefused: it is empty, or not a text.
    """
    if not body.strip():
        raise FileRefused(f"is empty or blank ({len(body)} bytes); download it again")
    for start, reason in _BINARIES.items():
        if body.startswith(start):
            raise FileRefused(reason)
    mark = next((mark for mark in _BYTE_ORDER_MARKS if body.startswith(mark)), None)
    text = ""
    with suppress(UnicodeDecodeError):
        text = body.decode(_BYTE_ORDER_MARKS[mark] if mark else "utf_8")
    if not mark and (not text or "\0" in text):
        # Spreadsheets on Windows save UTF-16, which has zero bytes, or cp1252. Other charsets would only be guesses.
        text = str(from_bytes(body, cp_isolation=_WITH_ZEROS if b"\0" in body else ["cp1252"]).best() or "")
    if not text or "\0" in text:
        raise FileRefused("is damaged, or is not a text; download it again, or save it as CSV in UTF-8")
    text = text.removeprefix("\ufeff")
    if not text.strip():
        raise FileRefused("is empty; download it again")
    if text.lstrip().startswith("<"):
        raise FileRefused("is a web page and not a CSV file, because the site refused; download it again in a browser")
    return text


def is_json(text: str) -> bool:
    """Whether the text looks like JSON."""
    return text.lstrip().startswith(("{", "["))


def csv_rows(text: str, delimiter: str) -> Iterator[Row]:
    """The rows of a CSV file, blank ones too; a row with a stray quote gets a ``problem``, and the next one is read.

    Raises:
        FileRefused: it has very many such rows.
    """
    # Not with splitlines(), which also breaks lines at characters that no program uses as a line end.
    lines = list(StringIO(text, newline=""))
    start, bad = 0, 0
    while start < len(lines):
        reader = csv.reader((lines[number] for number in range(start, len(lines))), delimiter=delimiter, strict=True)
        done = 0
        try:
            for cells in reader:
                yield Row(f"line {start + done + 1}", list(cells))
                done = reader.line_num
            start = len(lines)
        except csv.Error as error:
            bad += 1
            if bad > _MOST_BAD_LINES:
                raise FileRefused(f"is not a CSV file: the quotes of {bad} lines do not match") from error
            start += done
            plain: list[str | None] = [*lines[start].replace('"', "").rstrip("\r\n").split(delimiter)]
            yield Row(f"line {start + 1}", plain, f"its quotes do not match ({error})")
            start += 1


def json_rows(text: str) -> list[Row]:
    """The records of JSON, after a row of their field names: a list, a list in an object, lines, or a form of pandas.

    Raises:
        FileRefused: it is cut off, or holds no records.
    """
    records = _records(_parsed(text))
    names = list(dict.fromkeys(name for record in records if isinstance(record, dict) for name in record))
    if not names:
        raise FileRefused("is JSON without records; download it again")
    rows = [Row("record 0", [encodable(name) for name in names])]
    for number, record in enumerate(records, 1):
        place = f"record {number}"
        if not isinstance(record, dict):
            told = (
                f"it has {len(record)} values for {len(names)} columns"
                if isinstance(record, list)
                else "it is no object"
            )
            rows.append(Row(place, [], told))
            continue
        values = [record.get(name) for name in names]
        no_texts = frozenset(n for n, value in enumerate(values) if isinstance(value, dict | list | bool))
        sent = [None if value is None or value == "NaN" else str(value) for value in values]
        cells = [None if cell is None else encodable(cell) for cell in sent]
        problem = None if cells == sent else "it has half of a character, written as \\ud800 to \\udfff"
        if isinstance(record, _Repeating):
            problem = f"it has two values for {encodable(record.names[0])}"
        rows.append(Row(place, cells, problem, no_texts, is_closed=True))
    return rows


def _parsed(text: str) -> Any:
    # Numbers stay as written in the file.
    plain: dict[str, Any] = {"parse_float": str, "parse_int": str, "parse_constant": str, "object_pairs_hook": _once}
    try:
        return json.loads(text, **plain)
    except RecursionError:
        raise FileRefused("is JSON of another shape") from None
    except ValueError as error:
        lines = [line for line in text.splitlines() if line.strip()]
        try:
            return [json.loads(line, **plain) for line in lines] if len(lines) > 1 else _torn(error)
        except (ValueError, RecursionError):
            return _torn(error)


class _Repeating(dict[str, Any]):
    """An object in which names have two values; it has neither of them.

    Attributes:
        names: these names.
    """

    def __init__(self, values: dict[str, Any], names: list[str]) -> None:
        super().__init__(values | dict.fromkeys(names))
        self.names = names


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    twice = [name for name, value in pairs if values[name] != value]
    return _Repeating(values, twice) if twice else values


def _refuse_repeating(*values: Any) -> None:
    """Refuse a file in which an object of several records has two values for a name."""
    for value in values:
        if isinstance(value, _Repeating):
            raise FileRefused(f"is JSON with two values for {encodable(value.names[0])}; leave one")


def _torn(error: ValueError) -> None:
    where = re.search(r"line \d+ column \d+", str(error))
    raise FileRefused(f"is damaged JSON ({where[0] if where else error}); download it again") from error


def _records(parsed: Any) -> list[Any]:  # noqa: C901 One branch for each form.
    if isinstance(parsed, list):
        return parsed
    if not isinstance(parsed, dict):
        return []
    _refuse_repeating(parsed)
    values = list(parsed.values())
    if isinstance(parsed.get("columns"), list) and isinstance(parsed.get("data"), list):
        # pandas, orient="split".
        names = [str(name) for name in parsed["columns"]]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise FileRefused(f"has two columns {encodable(twice)}; leave one")
        return [
            dict(zip(names, row, strict=True)) if isinstance(row, list) and len(row) == len(names) else row
            for row in parsed["data"]
        ]
    firsts = [value[0] for value in values if isinstance(value, list) and value]
    if any(isinstance(first, dict) and "tradingDate" in first for first in firsts):
        # The holidays of the web service: a list for each segment of the exchange.
        if not isinstance(parsed.get(_CASH_SEGMENT), list) or not parsed[_CASH_SEGMENT]:
            raise FileRefused(f"has holidays, but none of the cash segment ({_CASH_SEGMENT}); download it again")
        return list(parsed[_CASH_SEGMENT])
    lists = [value for value in values if isinstance(value, list) and any(isinstance(item, dict) for item in value)]
    if len(lists) == 1:
        return list(lists[0])
    if len(lists) > 1:
        raise FileRefused("is JSON with several lists; leave one in it")
    if values and all(isinstance(value, dict) for value in values):
        # pandas, orient="columns" or orient="index": values by column and index, or by index and column.
        indices = list(dict.fromkeys(index for value in values for index in value))
        if all(str(index).isdigit() for index in indices):
            _refuse_repeating(*values)
            return [{name: column.get(index) for name, column in parsed.items()} for index in indices]
        return values
    if values and all(isinstance(value, list) for value in values):
        rows = max(map(len, values))
        return [{name: column[n] if n < len(column) else None for name, column in parsed.items()} for n in range(rows)]
    return [parsed]
