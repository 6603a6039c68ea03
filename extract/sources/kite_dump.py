"""Kite's instruments dump, a CSV file of some thousand rows. An odd row is left out, and does not affect the others."""

import csv
import io
import math
from typing import Any

import pyarrow as pa

from extract.errors import SourceUnavailable
from extract.landing.raw import KITE_INSTRUMENTS

# The exchange that is asked for. It is also the last column of each row: if a dump is cut, the last row lacks it.
_EXCHANGE = "NSE"


def read_dump(dump: bytes) -> tuple[list[dict[str, Any]], list[str]]:
    """Read the dump.

    Returns:
        The rows, in the columns of the raw table ``kite_instruments``; and a text for each row that is left out, with
        its line, its name and the reason.

    Raises:
        SourceUnavailable: it is cut off, or lacks a column.
        ValueError: it is not text in UTF-8.
    """
    # Spreadsheets and some servers put a byte-order mark first.
    lines = csv.reader(io.StringIO(dump.decode("utf-8-sig"), newline=""))
    rows: list[dict[str, Any]] = []
    odd: list[str] = []
    is_cut = False
    try:
        header = [name.strip() for name in next(lines, [])]
        missing = set(KITE_INSTRUMENTS.provider_columns.names) - set(header)
        if missing and any(header):
            raise SourceUnavailable(f"Kite's instruments dump lacks the columns {', '.join(sorted(missing))}")
        for values in lines:
            if not any(value.strip() for value in values):
                continue
            sent = dict(zip(header, (value.strip() for value in values), strict=False))
            exchange = sent.get("exchange", "")
            is_cut = len(values) < len(header) or (exchange != _EXCHANGE and _EXCHANGE.startswith(exchange))
            try:
                rows.append(_row(sent))
            except ValueError as error:
                odd.append(f"{sent.get('tradingsymbol') or 'a row without a name'} in line {lines.line_num} ({error})")
    except csv.Error as error:
        raise SourceUnavailable(f"Kite's instruments dump is malformed in line {lines.line_num}: {error}") from error
    if is_cut:
        raise SourceUnavailable(f"Kite's instruments dump is cut off in line {lines.line_num}; run it again")
    return rows, odd


def _row(sent: dict[str, str]) -> dict[str, Any]:
    """A row of the dump; blank values are null.

    Raises:
        ValueError: a column has an invalid value, or the row is of another exchange.
    """
    row: dict[str, Any] = {}
    for field in KITE_INSTRUMENTS.provider_columns:
        text = sent.get(field.name, "")
        if not text and field.name in KITE_INSTRUMENTS.keys:
            raise ValueError(f"{field.name} is blank")
        row[field.name] = _value(field, text) if text else None
    if row["exchange"] != _EXCHANGE:
        raise ValueError(f"exchange is {row['exchange']!r}")
    return row


def _value(field: "pa.Field[Any]", text: str) -> str | int | float:
    try:
        if field.type == pa.int64() and text.isascii() and text.isdigit() and int(text) < 2**63:
            return int(text)
        if field.type == pa.float64() and math.isfinite(float(text)):
            return float(text)
    except ValueError:
        pass
    if field.type == pa.string():
        return text
    raise ValueError(f"{field.name} is {text[:40]!r}")
