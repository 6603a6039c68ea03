"""What a damaged file still holds, read in another way than the import does."""

import csv
import io
import json
import math
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from typing import Any

from extract.files.days import read_day
from extract.files.kind import plain_heading
from extract.landing.raw import NSE_CORPORATE_ACTIONS, NSE_DAILY_BARS, NSE_INDEX_CONSTITUENTS

DAY = date(2024, 7, 5)
csv.field_size_limit(2**20)

CHARSETS = ("utf_8_sig", "utf_16", "utf_16_le", "utf_16_be", "utf_32", "cp1252")

# The headings of the compared values in each form of the record; the unit of the last one depends on the form.
_BARS = {
    "symbol": ("symbol", "tckrsymb"),
    "series": ("series", "sctysrs"),
    "date": ("timestamp", "traddt", "date1"),
    "isin": ("isin",),
    "exchange_token": ("fininstrmid",),
    "open": ("open", "opnpric", "openprice"),
    "high": ("high", "hghpric", "highprice"),
    "low": ("low", "lwpric", "lowprice"),
    "close": ("close", "clspric", "closeprice"),
    "last": ("last", "lastpric", "lastprice"),
    "prev_close": ("prevclose", "prvsclsgpric"),
    "volume": ("tottrdqty", "ttltradgvol", "ttltrdqnty"),
    "trades": ("totaltrades", "ttlnboftxsexctd", "nooftrades"),
    "delivered_volume": ("delivqty",),
    "turnover": ("tottrdval", "ttltrfval", "turnoverlacs"),
}
_ACTIONS: dict[str, tuple[str, ...]] = {
    "symbol": ("symbol",),
    "subject": ("subject",),
    "exDate": ("exdate",),
    "comp": ("comp",),
}
_MEMBERS: dict[str, tuple[str, ...]] = {
    "Symbol": ("symbol",),
    "ISIN_Code": ("isincode",),
    "Company_Name": ("companyname",),
}
COMPARED: dict[str, dict[str, tuple[str, ...]]] = {
    NSE_DAILY_BARS.name: _BARS,
    NSE_CORPORATE_ACTIONS.name: _ACTIONS,
    NSE_INDEX_CONSTITUENTS.name: _MEMBERS,
}
_IN_CAPITALS = {"symbol", "Symbol", "series", "isin", "ISIN_Code"}

type Row = tuple[Any, ...]


def is_impossible(row: Row) -> bool:
    """Whether a row of a daily record is no bar of its day."""
    named = dict(zip(_BARS, row, strict=True))
    opened, high, low, close = (named[name] for name in ("open", "high", "low", "close"))
    numbers = [value for value in row if isinstance(value, int | float)]
    return not (
        None not in (opened, high, low, close)
        and min(opened, high, low, close) > 0
        and high >= low
        and all(math.isfinite(number) and number >= 0 for number in numbers)
        and named["volume"] is not None
        and named["date"] == DAY
    )


def held_rows(body: bytes, table: str) -> set[Row]:
    """Every row that these bytes may mean, in any charset, with rows of one line or of several."""
    held: set[Row] = set()
    # Every byte is text in the last one, also those that damage made and no other charset has.
    for charset in (*CHARSETS, "latin_1"):
        with suppress(UnicodeError):
            text = body.decode(charset).removeprefix("\ufeff")
            for names, cells in _records(text):
                held |= _compared(names, cells, table)
    return held


def _records(text: str) -> Iterator[tuple[list[str], list[str | None]]]:
    plain: dict[str, Any] = {"parse_float": str, "parse_int": str, "parse_constant": str}
    for part in (text, *text.splitlines()) if text.lstrip().startswith(("{", "[")) else ():
        with suppress(ValueError, RecursionError):
            for record in _objects(json.loads(part, **plain)):
                yield (
                    [plain_heading(name) for name in record],
                    [None if v is None else str(v) for v in record.values()],
                )
    names: list[str] = []
    # The whole text, as a quoted cell may span lines; each line by itself; and without quotes, which may be stray.
    lines = [csv.reader([each]) for line in _lines(text) for each in dict.fromkeys((line, line.replace('"', "")))]
    for rows in (csv.reader(io.StringIO(text, newline="")), *lines):
        for row in _readable(rows):
            is_head = any("symb" in cell.lower() for cell in row)
            headings = [plain_heading(cell) for cell in row] if is_head else []
            if {"symbol", "tckrsymb"} & set(headings):
                names = names or headings
            elif names:
                yield names, list(row)


def _readable(rows: Iterator[list[str]]) -> Iterator[list[str]]:
    with suppress(csv.Error):
        yield from rows


def _lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    inner: list[Any] = list(value) if isinstance(value, list) else []
    if isinstance(value, dict):
        yield value
        inner = list(value.values())
    for each in inner:
        yield from _objects(each)


def _compared(names: list[str], cells: list[str | None], table: str) -> set[Row]:
    """The row in the compared columns; empty if it does not have these numbers."""
    values: list[object] = []
    for column, headings in COMPARED[table].items():
        place = next((names.index(heading) for heading in headings if heading in names), None)
        cell = cells[place] if place is not None and place < len(cells) else None if place is None else ""
        try:
            values.append(_value(column, cell, "turnoverlacs" in names))
        except (ValueError, OverflowError):
            return set()
    return {tuple(values)}


def _value(column: str, cell: str | None, is_in_lakhs: bool) -> object:
    if column in ("subject", "exDate", "comp", "Company_Name"):
        return cell
    text = (cell or "").strip()
    if column in _IN_CAPITALS and column != "isin":
        return text.upper()
    if column == "date":
        return read_day(text)
    if text.lower() in ("", "-", "--", "nan", "nat", "none", "null", "n/a", "#n/a", "na", "<na>"):
        return None
    if column == "isin":
        return text.upper()
    number = float(text)
    if column in ("volume", "trades", "delivered_volume", "exchange_token"):
        return int(number)
    return round(number * 100_000, 2) if column == "turnover" and is_in_lakhs else number
