"""A daily record as a whole: check its one day and its market, and convert its rows to those of the raw table."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from extract.files.daily_record.forms import RUPEES_PER_UNIT, SEGMENTS
from extract.files.days import FIRST_YEAR, First, day_readings, days_in_name
from extract.files.kind import Kind
from extract.files.opened import FileRefused
from extract.files.text import UnreadRow
from extract.landing.raw import NSE_DAILY_BARS

# A turnover divided by its volume is the average price of the session. It is compared with the high and the low where a
# file has enough rows to tell its unit, and most of them agree. A price in paise is apart by a factor of 100.
_LEAST_AGREEING, _RARELY_APART, _FACTOR_APART = 20, 0.1, 20.0

COLUMNS = NSE_DAILY_BARS.provider_columns


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


def refuse_other_segments(segments: Sequence[str | None], markets: Sequence[str | None]) -> None:
    """Refuse a record without a row of the exchange's equity market."""
    if "BSE" in markets and "NSE" not in markets:
        raise FileRefused("is a daily record of the BSE, and not of the NSE; leave it out")
    named = [SEGMENTS[segment] for segment in segments if segment in SEGMENTS]
    if "CM" not in segments and named:
        raise FileRefused(f"is the daily record of {named[0]}, and not of equities; leave it out")


def what_stands_first(texts: Sequence[str | None], basename: str, today: date) -> First | None:
    """What stands first in a day of three numbers. If several readings are possible, the file's name decides.

    Raises:
        FileRefused: several readings are possible, and the name does not decide.
    """
    counts = Counter((text or "").strip() for text in texts)
    text = counts.most_common(1)[0][0] if counts else ""
    readings = day_readings(text)
    past = {first: day for first, day in readings.items() if day.year >= FIRST_YEAR and day <= today} or readings
    named = days_in_name(basename)
    if len(set(past.values())) > 1:
        past, found = {first: day for first, day in past.items() if day in named}, past
        if len(set(past.values())) != 1:
            both = " or ".join(str(day) for day in dict.fromkeys(found.values()))
            raise FileRefused(f"is of the day {text}, which may be {both}; write the right day into the file's name")
    return next(iter(past), "day")


def check_day(day: date, basename: str, today: date) -> None:
    """Refuse a day that cannot be a session, or that differs from the file's name."""
    if day > today:
        raise FileRefused(f"is of {day}, which has not come yet; today is {today}")
    if day.year < FIRST_YEAR:
        raise FileRefused(f"is of {day}, before the exchange had opened, in {FIRST_YEAR}")
    named = days_in_name(basename)
    if named and day not in named:
        told = ", ".join(map(str, sorted(named)))
        raise FileRefused(f"has the rows of {day}, and its name tells {told}; rename it, or download the right one")


def contradicted_turnovers(kind: Kind, columns: Mapping[str, Any]) -> list[int]:
    """The rows whose turnover contradicts their own prices, as where one of them is in paise; none if many do.

    Args:
        kind: the file's form.
        columns: at least ``high``, ``low`` and ``volume``; ``turnover`` is in the file's own unit.
    """
    if "turnover" not in columns:
        return []
    volume, turnover, high, low = (columns[name].cast(pa.float64()) for name in ("volume", "turnover", "high", "low"))
    volume = pc.if_else(pc.greater(volume, 0.0), volume, None)
    turnover = pc.if_else(pc.greater(turnover, 0.0), turnover, None)
    unit = RUPEES_PER_UNIT[kind.name]
    # The exchange writes hundredths of its unit. A person's program may have written whole ones.
    is_whole = pc.all(pc.equal(pc.round(turnover), turnover), min_count=0).as_py()
    rounding = pc.divide((1.0 if is_whole else 0.01) * unit, volume)
    average = pc.divide(pc.multiply(turnover, unit), volume)
    is_apart = pc.or_(
        pc.greater(pc.subtract(average, rounding), pc.multiply(high, _FACTOR_APART)),
        pc.less(pc.multiply(pc.add(average, rounding), _FACTOR_APART), low),
    )
    apart = pc.sum(is_apart, min_count=0).as_py()
    agreeing = pc.count(is_apart).as_py() - apart
    if not apart or agreeing < _LEAST_AGREEING or apart > _RARELY_APART * agreeing:
        return []
    return [row for row, is_so in enumerate(is_apart.to_pylist()) if is_so]


def raw_rows(kind: Kind, columns: Mapping[str, Any]) -> pa.Table:
    """The columns of the raw table: absent ones as nulls, the turnover in rupees, empty texts as null."""
    count = len(columns["symbol"])
    made = []
    for wanted in COLUMNS:
        column = columns.get(wanted.name)
        if column is None:
            column = pa.nulls(count, wanted.type)
        elif wanted.name == "isin":
            column = pc.if_else(pc.equal(column, ""), None, column)
        elif wanted.name == "turnover" and RUPEES_PER_UNIT[kind.name] != 1:
            # The file has hundredths of a lakh, which are whole thousands of rupees; the product is a float, so round.
            column = pc.round(pc.multiply(column.cast(pa.float64()), RUPEES_PER_UNIT[kind.name]), 2)
        made.append(column.cast(wanted.type))
    return pa.table(made, schema=COLUMNS)
