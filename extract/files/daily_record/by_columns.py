"""Read a record without faults by columns, which is fast."""

import re
from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from io import BytesIO

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from extract.files.daily_record.forms import DAILY_RECORDS, INSTRUMENT_TYPE, LARGEST_COUNT, SHARE, UDIFF
from extract.files.daily_record.session import (
    COLUMNS,
    DailyRecord,
    check_day,
    contradicted_turnovers,
    raw_rows,
    refuse_other_segments,
    what_stands_first,
)
from extract.files.days import read_day
from extract.files.kind import Kind
from extract.files.opened import FileRefused
from extract.files.shares import contradicted_isins
from extract.files.text import UnreadRow

# A whole cell such as 1.23E+08; an ISIN may have such characters within.
_MAYBE_SHORTENED = re.compile(rb"[,\n] *[0-9](?:\.[0-9]*)?E\+?[0-9]{1,3} *[,\r\n]")

_TEXTS = ("symbol", "series", "isin", "date", "market", "segment", "instrument_type")


def read_by_columns(body: bytes, basename: str, today: date) -> DailyRecord | None:
    """Read a file without faults; None if it has any, or is of another kind.

    Args:
        body: the file's bytes.
        basename: its name, which may contain its day.
        today: the exchange's date.

    Raises:
        FileRefused: it is a record of another segment, or its day is impossible or differs from its name.
    """
    start, line_end, _ = body.partition(b"\n")
    form = _headings(start.removeprefix(b"\xef\xbb\xbf"))
    if form is None or not line_end or not body.endswith(b"\n") or b'"' in body or b"\0" in body:
        return None
    if _MAYBE_SHORTENED.search(body):
        return None
    kind, places, width, widest = form
    named = [f"c{place}" for place in range(widest)]
    nameless = named[width:]
    wanted = {column: f"c{place}" for column, place in places.items()}
    types = {name: pa.string() if column in _TEXTS else pa.float64() for column, name in wanted.items()}
    types |= dict.fromkeys(nameless, pa.string())
    try:
        sent = csv.read_csv(
            BytesIO(body),
            csv.ReadOptions(use_threads=False, block_size=len(body) + 1, skip_rows=1, column_names=named),
            csv.ParseOptions(quote_char=False),
            csv.ConvertOptions(column_types=types, include_columns=list(types), null_values=["", "-", " ", " -"]),
        )
    except pa.ArrowInvalid:
        return None
    sent = sent.combine_chunks()
    if not all(_all(pc.equal(pc.utf8_trim_whitespace(sent[name]), "")) for name in nameless):
        return None
    columns = {
        column: pc.utf8_trim_whitespace(sent[name]) if column in _TEXTS else sent[name]
        for column, name in wanted.items()
    }
    if kind is UDIFF:
        refuse_other_segments(
            columns["segment"].unique().to_pylist(),
            columns["market"].unique().to_pylist() if "market" in columns else (),
        )
    columns, left_out = _shares(columns)
    days = columns["date"].unique().to_pylist() if columns else []
    if len(days) != 1 or not _is_clean(columns) or contradicted_turnovers(kind, columns):
        return None
    try:
        day = read_day(days[0], first=what_stands_first(days, basename, today))
    except ValueError:
        return None
    check_day(day, basename, today)
    if _has_wrong_isin(columns, day):
        return None
    columns["date"] = pa.repeat(pa.scalar(day, pa.date32()), len(columns["symbol"]))
    try:
        rows = raw_rows(kind, columns)
    except pa.ArrowInvalid:
        # A count is not a whole number.
        return None
    return DailyRecord(kind, day, rows, left_out)


@lru_cache
def _headings(line: bytes) -> tuple[Kind, dict[str, int], int, int] | None:
    """The form of a file with this first line, the place of each column, and the number of columns.

    That number is told up to the last column with a name, and with the nameless ones after it, which must be blank.
    """
    if not line.isascii():
        return None
    headings = line.decode().split(",")
    for kind in DAILY_RECORDS:
        try:
            places = kind.columns(headings)
        except FileRefused:
            return None
        if all(column in places for column in kind.required):
            width = max(number for number, heading in enumerate(headings, 1) if heading.strip())
            return kind, places, width, len(headings)
    return None


def _shares(columns: dict[str, pa.ChunkedArray]) -> tuple[dict[str, pa.ChunkedArray], list[UnreadRow]]:
    """The rows of shares, and the counts of the other rows; no columns if a row is not of the equity market."""
    if "instrument_type" not in columns:
        return columns, []
    if columns["segment"].unique().to_pylist() != ["CM"]:
        return {}, []
    if "market" in columns and columns["market"].unique().to_pylist() != ["NSE"]:
        return {}, []
    counts = {count["values"]: count["counts"] for count in columns["instrument_type"].value_counts().to_pylist()}
    if list(counts) == [SHARE]:
        return columns, []
    if not all(INSTRUMENT_TYPE.fullmatch(sort) for sort in counts):
        return {}, []
    is_share = pc.equal(columns["instrument_type"], SHARE)
    others = [
        UnreadRow(f"{count} rows", None, f"they are of the instrument type {sort}, and of no share", count)
        for sort, count in counts.items()
        if sort != SHARE
    ]
    return {name: column.filter(is_share) for name, column in columns.items()}, others


def _is_clean(columns: Mapping[str, pa.ChunkedArray]) -> bool:  # noqa: C901 One question after the other.
    """Whether each row of these columns can be read, and none occurs twice."""
    if not len(columns["symbol"]):
        return False
    texts = {
        "symbol": "^[A-Z0-9][A-Z0-9&_.-]{0,29}$",
        "series": "^[A-Z0-9]{1,3}$",
        "isin": "^([A-Z0-9]{12}|[0-9]{6})?$",
    }
    for name, pattern in texts.items():
        if name in columns and not _all(pc.match_substring_regex(columns[name], pattern)):
            return False
    # As a provider writes it, or of another exchange: one reads that row by row.
    if pc.any(pc.match_substring_regex(columns["symbol"], r"\.(NS|BO|BSE)$")).as_py():
        return False
    if columns["symbol"].unique().to_pylist() != columns["symbol"].to_pylist():
        keys = pc.binary_join_element_wise(columns["symbol"], columns["series"], ",")
        if pc.count_distinct(keys).as_py() != len(keys):
            return False
    for name, column in columns.items():
        if name in _TEXTS:
            continue
        is_needed = name in ("open", "high", "low", "close", "volume")
        if is_needed and column.null_count:
            return False
        above = pc.greater(column, 0.0) if is_needed and name != "volume" else pc.greater_equal(column, 0.0)
        below = (
            pc.less(column, float(LARGEST_COUNT))
            if pa.types.is_int64(COLUMNS.field(name).type)
            else pc.is_finite(column)
        )
        if not (_all(above) and _all(below)):
            return False
    return _all(pc.greater_equal(columns["high"], columns["low"]))


def _has_wrong_isin(columns: Mapping[str, pa.ChunkedArray], day: date) -> bool:
    if "isin" not in columns:
        return False
    return bool(contradicted_isins(day, *(columns[name].to_pylist() for name in ("symbol", "isin", "series"))))


def _all(mask: pa.ChunkedArray) -> bool:
    """Whether all values that are not null are true."""
    return pc.all(mask, min_count=0).as_py() is not False
