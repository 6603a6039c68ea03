"""The exchange's daily record of its equity market (bhavcopy), in its three forms: each file is one session.

A record has thousands of rows, and a person has thousands of records. So a file without faults is read by columns,
which is fast. If anything is wrong, ``read_by_rows`` reads the file row by row, and names the faults.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from io import BytesIO
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv
from pydantic import BeforeValidator, ValidationInfo, model_validator

from extract.files.days import days_in_name, read_day
from extract.files.kind import IsinField, Kind, Reading, Record, SaysNothing, SymbolField, is_blank, plain_heading
from extract.files.opened import FileRefused
from extract.files.text import UnreadRow
from extract.landing.raw import NSE_DAILY_BARS

FIRST_YEAR = 1994

# Up to this share of rows with another day counts as an error in those rows; more means that the file has two sessions.
_RARE = 0.01

# Above this, a float cannot represent every whole number.
_MOST = 2**53

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_SERIES = re.compile("[A-Z0-9]{1,3}")

_SEGMENTS = {
    "CM": "equities",
    "FO": "derivatives (F&O)",
    "CD": "currency derivatives",
    "CO": "commodity derivatives",
    "IRD": "interest rate derivatives",
}
_SHARE = "STK"
_INSTRUMENT_TYPE = re.compile("[A-Z]{3}")


def _series(text: str | None) -> str:
    series = (text or "").strip().upper()
    if not _SERIES.fullmatch(series):
        raise ValueError(f"its series {series!r} is none, such as EQ")
    return series


def _isin(text: str | None) -> str | None:
    return None if is_blank(text) else text


def _number(text: str | None, info: ValidationInfo) -> float | None:
    if text is None or is_blank(text):
        return None
    text = text.strip()
    number = float(text) if _NUMBER.fullmatch(text) else float("nan")
    # Rejects infinity too, to which a number of 400 digits is parsed.
    if not abs(number) < float("inf"):
        raise ValueError(f"its {_word(info)} {text[:30]!r} is no number")
    if number < 0:
        raise ValueError(f"its {_word(info)} {text[:30]} is below 0")
    return number


def _price(text: str | None, info: ValidationInfo) -> float:
    price = _number(text, info)
    if price is None:
        raise ValueError(f"it has no {_word(info)}")
    if price == 0:
        raise ValueError(f"its {_word(info)} is 0")
    return price


def _count(text: str | None, info: ValidationInfo) -> int | None:
    number = _number(text, info)
    if number is not None and (number != int(number) or number >= _MOST):
        raise ValueError(f"its {_word(info)} {str(text).strip()[:30]} is no whole number, or too large")
    return None if number is None else int(number)


def _volume(text: str | None, info: ValidationInfo) -> int:
    volume = _count(text, info)
    if volume is None:
        raise ValueError("it has no volume")
    return volume


def _day(text: str | None, info: ValidationInfo) -> date:
    reading = info.context
    assert isinstance(reading, Reading)
    try:
        return read_day(text or "", month_first=reading.month_first)
    except ValueError:
        raise ValueError(f"its day {(text or '').strip()[:30]!r} is none, such as 05-JUL-2024") from None


def _word(info: ValidationInfo) -> str:
    return str(info.field_name).replace("_", " ")


type _Price = Annotated[float, BeforeValidator(_price)]
type _Amount = Annotated[float | None, BeforeValidator(_number)]
type _Count = Annotated[int | None, BeforeValidator(_count)]


class _Bar(Record):
    symbol: SymbolField
    series: Annotated[str, BeforeValidator(_series)]
    isin: Annotated[IsinField, BeforeValidator(_isin)] = None
    exchange_token: _Count = None
    date: Annotated[date, BeforeValidator(_day)]
    open: _Price
    high: _Price
    low: _Price
    close: _Price
    last: _Amount = None
    prev_close: _Amount = None
    volume: Annotated[int, BeforeValidator(_volume)]
    turnover: _Amount = None
    trades: _Count = None
    delivered_volume: _Count = None

    @model_validator(mode="before")
    @classmethod
    def _is_a_trade_in_a_share(cls, cells: Mapping[str, str | None]) -> Mapping[str, str | None]:
        market, segment, sort = ((cells.get(name) or "").strip() for name in ("market", "segment", "instrument_type"))
        if "market" in cells and market != "NSE":
            raise ValueError(f"its market {market!r} is not NSE")
        if "segment" in cells and segment != "CM":
            if segment in _SEGMENTS:
                raise SaysNothing(f"it is of {_SEGMENTS[segment]}, and of no share")
            raise ValueError(f"its segment {segment!r} is not CM")
        if "instrument_type" in cells and sort != _SHARE:
            if _INSTRUMENT_TYPE.fullmatch(sort):
                raise SaysNothing(f"it is of the instrument type {sort}, and of no share")
            raise ValueError(f"its instrument type {sort!r} is not {_SHARE}")
        prices = [cells.get(name) for name in ("volume", "open", "high", "low")]
        if all(re.fullmatch(r"\s*0+(\.0*)?\s*", price or "") for price in prices):
            raise SaysNothing("it was not traded")
        return cells

    @model_validator(mode="after")
    def _is_in_order(self) -> "_Bar":
        if self.high < self.low:
            raise ValueError(f"its high {self.high} is below its low {self.low}")
        return self


# Older files lack some of these columns, and people delete others.
_OPTIONAL = {"isin", "exchange_token", "last", "turnover", "trades", "delivered_volume", "market"}


def _form(name: str, headings: Mapping[str, str]) -> Kind:
    spelled = {column: (heading,) for column, heading in headings.items()}
    required = tuple(column for column in spelled if column not in _OPTIONAL)
    return Kind(name, NSE_DAILY_BARS, spelled, required, days=("date",), record=_Bar)


LEGACY = _form(
    "daily record (legacy)",
    {
        "symbol": "symbol",
        "series": "series",
        "isin": "isin",
        "date": "timestamp",
        "open": "open",
        "high": "high",
        "low": "low",
        "close": "close",
        "last": "last",
        "prev_close": "prevclose",
        "volume": "tottrdqty",
        "turnover": "tottrdval",
        "trades": "totaltrades",
    },
)
UDIFF = _form(
    "daily record (UDiFF)",
    {
        "symbol": "tckrsymb",
        "series": "sctysrs",
        "isin": "isin",
        "exchange_token": "fininstrmid",
        "date": "traddt",
        "open": "opnpric",
        "high": "hghpric",
        "low": "lwpric",
        "close": "clspric",
        "last": "lastpric",
        "prev_close": "prvsclsgpric",
        "volume": "ttltradgvol",
        "turnover": "ttltrfval",
        "trades": "ttlnboftxsexctd",
        "market": "src",
        "segment": "sgmt",
        "instrument_type": "fininstrmtp",
    },
)
WITH_DELIVERY = _form(
    "daily record (with delivery)",
    {
        "symbol": "symbol",
        "series": "series",
        "date": "date1",
        "open": "openprice",
        "high": "highprice",
        "low": "lowprice",
        "close": "closeprice",
        "last": "lastprice",
        "prev_close": "prevclose",
        "volume": "ttltrdqnty",
        "turnover": "turnoverlacs",
        "trades": "nooftrades",
        "delivered_volume": "delivqty",
    },
)
DAILY_RECORDS = (LEGACY, UDIFF, WITH_DELIVERY)

# How many rupees the unit of the file's turnover is.
_RUPEES = {LEGACY.name: 1.0, UDIFF.name: 1.0, WITH_DELIVERY.name: 100_000.0}

_COLUMNS = NSE_DAILY_BARS.provider_columns
_TEXTS = ("symbol", "series", "isin", "date", "market", "segment", "instrument_type")


@dataclass(frozen=True, slots=True)
class DailyRecord:
    """One session, as read from a file.

    Attributes:
        kind: the file's form.
        day: the trade date.
        rows: in the columns of the raw table; as received, in rupees and shares.
        left_out: rows that are not about a share, or repeat another row.
        refused: rows that cannot be read.
        remarks: what is odd about the whole file, as the end of a sentence about it.
    """

    kind: Kind
    day: date
    rows: pa.Table
    left_out: list[UnreadRow] = field(default_factory=list)
    refused: list[UnreadRow] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


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
    kind, places, width = form
    named = [f"c{place}" for place in range(width)]
    wanted = {column: f"c{place}" for column, place in places.items()}
    types = {name: pa.string() if column in _TEXTS else pa.float64() for column, name in wanted.items()}
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
    columns = {
        column: pc.utf8_trim_whitespace(sent[name]) if column in _TEXTS else sent[name]
        for column, name in wanted.items()
    }
    if kind is UDIFF:
        _refuse_other_segments(
            columns["segment"].unique().to_pylist(),
            columns["market"].unique().to_pylist() if "market" in columns else (),
        )
    columns, left_out = _shares(columns)
    days = columns["date"].unique().to_pylist() if columns else []
    if len(days) != 1 or not _is_clean(columns):
        return None
    try:
        day = read_day(days[0], month_first=_is_month_first(days, basename))
    except ValueError:
        return None
    _check_day(day, basename, today)
    columns["date"] = pa.repeat(pa.scalar(day, pa.date32()), len(columns["symbol"]))
    try:
        rows = _table(kind, columns)
    except pa.ArrowInvalid:
        # A count is not a whole number.
        return None
    return DailyRecord(kind, day, rows, left_out)


@lru_cache
def _headings(line: bytes) -> tuple[Kind, dict[str, int], int] | None:
    """The form of a file with this first line, the place of each column, and the number of columns."""
    if not line.isascii():
        return None
    headings = line.decode().split(",")
    for kind in DAILY_RECORDS:
        try:
            places = kind.columns(headings)
        except FileRefused:
            return None
        if all(column in places for column in kind.required):
            return kind, places, len(headings)
    return None


def _refuse_other_segments(segments: Sequence[str | None], markets: Sequence[str | None]) -> None:
    """Refuse a record without a row of the exchange's equity market."""
    if "BSE" in markets and "NSE" not in markets:
        raise FileRefused("is a daily record of the BSE, and not of the NSE; leave it out")
    named = [_SEGMENTS[segment] for segment in segments if segment in _SEGMENTS]
    if "CM" not in segments and named:
        raise FileRefused(f"is the daily record of {named[0]}, and not of equities; leave it out")


def _shares(columns: dict[str, pa.ChunkedArray]) -> tuple[dict[str, pa.ChunkedArray], list[UnreadRow]]:
    """The rows of shares, and the counts of the other rows; no columns if a row is not of the equity market."""
    if "instrument_type" not in columns:
        return columns, []
    if columns["segment"].unique().to_pylist() != ["CM"]:
        return {}, []
    if "market" in columns and columns["market"].unique().to_pylist() != ["NSE"]:
        return {}, []
    counts = {count["values"]: count["counts"] for count in columns["instrument_type"].value_counts().to_pylist()}
    if list(counts) == [_SHARE]:
        return columns, []
    if not all(_INSTRUMENT_TYPE.fullmatch(sort) for sort in counts):
        return {}, []
    is_share = pc.equal(columns["instrument_type"], _SHARE)
    others = [
        UnreadRow(f"{count} rows", None, f"they are of the instrument type {sort}, and of no share", count)
        for sort, count in counts.items()
        if sort != _SHARE
    ]
    return {name: column.filter(is_share) for name, column in columns.items()}, others


def _is_clean(columns: Mapping[str, pa.ChunkedArray]) -> bool:
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
        below = pc.less(column, float(_MOST)) if pa.types.is_int64(_COLUMNS.field(name).type) else pc.is_finite(column)
        if not (_all(above) and _all(below)):
            return False
    return _all(pc.greater_equal(columns["high"], columns["low"]))


def _all(mask: pa.ChunkedArray) -> bool:
    """Whether all values that are not null are true."""
    return pc.all(mask, min_count=0).as_py() is not False


def _table(kind: Kind, columns: Mapping[str, Any]) -> pa.Table:
    """The columns of the raw table: absent ones as nulls, the turnover in rupees, empty texts as null."""
    count = len(columns["symbol"])
    made = []
    for wanted in _COLUMNS:
        column = columns.get(wanted.name)
        if column is None:
            column = pa.nulls(count, wanted.type)
        elif wanted.name == "isin":
            column = pc.if_else(pc.equal(column, ""), None, column)
        elif wanted.name == "turnover" and _RUPEES[kind.name] != 1:
            # The file has hundredths of a lakh, which are whole thousands of rupees; the product is a float, so round.
            column = pc.round(pc.multiply(column.cast(pa.float64()), _RUPEES[kind.name]), 2)
        made.append(column.cast(wanted.type))
    return pa.table(made, schema=_COLUMNS)


@dataclass(frozen=True, slots=True)
class SentRow:
    """A row that could be read by itself.

    Attributes:
        place: its place in the file, such as ``line 3``.
        values: by column.
    """

    place: str
    values: dict[str, Any]

    def refused(self, reason: str) -> UnreadRow:
        """The row as a refused one: a comparison with other rows shows that it is wrong."""
        return UnreadRow(self.place, self.values["symbol"], reason)


def read_by_rows(
    kind: Kind,
    texts: Mapping[str, Sequence[str | None]],
    basename: str,
    today: date,
    read: Callable[[bool], tuple[list[SentRow], list[UnreadRow], list[UnreadRow]]],
) -> DailyRecord:
    """Read a file with faults, and name them.

    Args:
        kind: the file's form.
        texts: the cells of each column.
        basename: the file's name, which may contain its day.
        today: the exchange's date.
        read: reads each row by itself, given whether days have the month first; returns the rows, those left out, and
            those refused.

    Raises:
        FileRefused: it is a record of another segment or of another day, or has no row that can be taken.
    """
    if kind is UDIFF:
        segments, markets = ([(text or "").strip() for text in texts.get(name, ())] for name in ("segment", "market"))
        _refuse_other_segments(segments, markets)
    rows, left_out, refused = read(_is_month_first(list(texts["date"]), basename))
    days = Counter(row.values["date"] for row in rows)
    if not rows:
        raise FileRefused(f"has no row that can be taken: {'; '.join(map(str, refused[:3]))}")
    ((day, count),) = days.most_common(1)
    if len(rows) - count > _RARE * len(rows):
        named = ", ".join(map(str, sorted(days)[:3]))
        raise FileRefused(f"holds rows of {len(days)} sessions ({named}); give each a file of its own")
    _check_day(day, basename, today)
    refused = refused + [
        row.refused(f"its day {row.values['date']} is not {day}, that of the others")
        for row in rows
        if row.values["date"] != day
    ]
    of_share: dict[tuple[str, str], list[SentRow]] = defaultdict(list)
    for row in rows:
        if row.values["date"] == day:
            of_share[row.values["symbol"], row.values["series"]].append(row)
    bars = []
    for (_, series), (first, *others) in of_share.items():
        apart = [other for other in others if other.values != first.values]
        if apart:
            places = f"{first.place} and {apart[0].place}"
            reason = f"{places} tell its series {series} with different values"
            refused += [row.refused(reason) for row in (first, *others)]
            continue
        bars.append(first.values)
        left_out = left_out + [
            UnreadRow(row.place, row.values["symbol"], f"it repeats {first.place}") for row in others
        ]
    if not bars:
        raise FileRefused(f"has no row that can be taken: {'; '.join(map(str, refused[:3]))}")
    columns = {name: [bar.get(name) for bar in bars] for name in _COLUMNS.names}
    table = _table(kind, {name: pa.array(values, _COLUMNS.field(name).type) for name, values in columns.items()})
    return DailyRecord(kind, day, table, left_out, refused)


def _is_month_first(texts: Sequence[str | None], basename: str) -> bool:
    """Whether a day of three numbers has the month first. If both readings are possible, the file's name decides.

    Raises:
        FileRefused: both readings are possible, and the name does not decide.
    """
    readings = Counter((text or "").strip() for text in texts)
    text = readings.most_common(1)[0][0] if readings else ""
    found = {}
    for month_first in (False, True):
        try:
            found[month_first] = read_day(text, month_first=month_first)
        except ValueError:
            continue
    if len(set(found.values())) < 2:
        return False not in found and True in found
    named = days_in_name(basename)
    fitting = [month_first for month_first, day in found.items() if day in named]
    if len(fitting) != 1:
        both = " or ".join(str(day) for day in found.values())
        raise FileRefused(f"is of the day {text}, which may be {both}; put the right one into the file's name")
    return fitting[0]


def _check_day(day: date, basename: str, today: date) -> None:
    """Refuse a day that cannot be a session, or that differs from the file's name."""
    if day > today:
        raise FileRefused(f"is of {day}, which has not come yet; today is {today}")
    if day.year < FIRST_YEAR:
        raise FileRefused(f"is of {day}, before the exchange had opened, in {FIRST_YEAR}")
    named = days_in_name(basename)
    if named and day not in named:
        told = ", ".join(map(str, sorted(named)))
        raise FileRefused(f"has the rows of {day}, and its name tells {told}; rename it, or download the right one")


# Other files of the NSE and the BSE that people keep beside the record, each recognized by these headings.
_NEIGHBOURS: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"instrument", "expirydt", "openint"}), "a daily record of derivatives (F&O)"),
    (frozenset({"indexname", "closingindexvalue"}), "a daily record of indices"),
    (frozenset({"sccode", "scname"}), "a daily record of the BSE"),
    (frozenset({"security", "prevclpr"}), "a market summary of the exchange's PR zip"),
    (frozenset({"recordtype", "nameofsecurity"}), "a list of deliveries (MTO)"),
    (frozenset({"clientname", "buysell"}), "a list of bulk or block deals"),
    (frozenset({"symbol", "dateoflisting"}), "a list of the exchange's securities"),
)


def neighbour(headings: Sequence[str | None]) -> str | None:
    """The name of a known kind of file that is not taken, if its headings are these; else None."""
    plain = {plain_heading(heading or "") for heading in headings}
    return next((name for signs, name in _NEIGHBOURS if signs <= plain), None)
