"""One module for each source of bars: it translates the source's answers and errors into ours, and does no more."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from extract.errors import SourceUnavailable
from extract.landing.raw_table import RawTable
from extract.network import shortened
from extract.seeds import EXCHANGE_ZONE, Instrument, exchange_date

# A message names at most this many of the rows that are left out.
_NAMED = 5

# No price, volume, dividend or ratio of a split is so large. Raw compares values as 64-bit numbers of ten-thousandths,
# so one of 10^15 would end every later run.
LARGEST = 1e12

# An answer is malformed as a whole if it has more bars that cannot be read than this many, and than this share of all;
# or if it has no other bars.
_FEW_UNREAD = 5
_SHARE_UNREAD = 0.1


class Answer(dict[str, pa.Table]):
    """What a provider sent, by raw table.

    Attributes:
        left_out: what was sent but left out of the rows, and why; a sentence each.
        unread: the days of bars that were sent and could not be read, so that none of them is taken for withdrawn; None
            for a bar whose day could not be read either.
    """

    def __init__(
        self, tables: Mapping[str, pa.Table], left_out: Iterable[str] = (), unread: Iterable[date | None] = ()
    ) -> None:
        """Hold the rows, and what was left out of them."""
        super().__init__(tables)
        self.left_out = list(left_out)
        self.unread = set(unread)


@dataclass(frozen=True, slots=True)
class Request:
    """A request to a provider.

    Attributes:
        table: the raw table for the answer.
        instruments: whose rows; one instrument, several only for quotes, and none for the provider's own list.
        first: the first trade date asked for.
        last: the last one.
        is_daily: whether it is the window of a daily run, which looks far back for what was rewritten, and does not ask
            for what the source may lack there.
    """

    table: RawTable
    instruments: tuple[Instrument, ...]
    first: date
    last: date
    is_daily: bool = field(default=False, compare=False)


class Source(Protocol):
    """A provider.

    Attributes:
        source_id: as in the seed ``source_precedence``.
        workers: how many requests may be under way at once, so that slow answers do not reduce the pace.
        requests_per_second: its limit for bars.
    """

    source_id: str
    workers: int
    requests_per_second: float

    def fetch(self, request: Request) -> Answer:
        """Make one attempt, and return the rows in the columns of their raw tables; an answer may have no rows.

        Raises:
            SourceRefused: asking again will not help.
            SourceUnavailable: asking again may help.
        """
        ...

    def hold(self, seconds: float) -> None:
        """Send nothing for some seconds."""
        ...


@dataclass(slots=True)
class Unread:
    """The bars of one answer that cannot be read. Each costs itself alone, unless they are many.

    Attributes:
        provider: its name, for the messages.
        sent: how many bars the answer has, readable or not.
        days: the day of each bar that cannot be read; None if its day cannot be read either.
        named: the same bars, each with the reason.
    """

    provider: str
    sent: int = 0
    days: list[date | None] = field(default_factory=list)
    named: list[str] = field(default_factory=list)

    def add(self, day: date | None, reason: str) -> None:
        """Note a bar that cannot be read."""
        self.days.append(day)
        self.named.append(f"{day or 'a bar without a day'} ({reason})")

    def fault(self) -> SourceUnavailable | None:
        """The error if so many bars cannot be read that the answer is malformed; else None."""
        count = len(self.days)
        if not count or (count <= max(_FEW_UNREAD, self.sent * _SHARE_UNREAD) and count < self.sent):
            return None
        return SourceUnavailable(
            f"{self.provider}'s answer is malformed: {count} of its {self.sent} bars cannot be read, such as"
            f" {self.named[0]}"
        )

    def told(self) -> list[str]:
        """A sentence about the bars that are left out; none if all could be read.

        Raises:
            SourceUnavailable: see ``fault``.
        """
        if error := self.fault():
            raise error
        if not self.days:
            return []
        return [
            f"{self.provider} sent {len(self.days)} bars that cannot be read, which are left out: {listed(self.named)}"
        ]


def is_number(value: object) -> bool:
    """Whether a value sent as JSON is a number that a price, a volume or a ratio can have."""
    # In Python, a boolean is an int too: hence type() and not isinstance(). NaN is not below any number.
    return type(value) in (int, float) and abs(value) < LARGEST  # type: ignore[arg-type]


def why(error: Exception) -> str:
    """Why a part of an answer cannot be read."""
    return f"it has no {error.args[0]}" if isinstance(error, KeyError) else shortened(str(error))


def as_table(table: RawTable, rows: list[dict[str, Any]]) -> pa.Table:
    """The rows in the provider's columns of a raw table; missing columns are null.

    Raises:
        SourceUnavailable: a value has another type than the provider documents.
    """
    try:
        return pa.Table.from_pylist(rows, table.provider_columns)
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        raise SourceUnavailable(f"the answer contains a value that does not fit {table.name}: {error}") from error


def bounded(
    provider: str, table: RawTable, rows: pa.Table, first: date, last: date, now: datetime
) -> tuple[pa.Table, list[str]]:
    """The rows of days that were asked for and are not in the future, one for each day; and what is left out.

    Args:
        provider: its name, for the messages.
        table: the raw table of the rows.
        rows: bars of one instrument, in the provider's columns.
        first: the first trade date asked for.
        last: the last one.
        now: a time with zone.

    Raises:
        SourceUnavailable: a day occurs twice, with different values.
    """
    end = min(last, exchange_date(now))
    kept: dict[date, int] = {}
    days = _days(rows["date"])
    for number, day in enumerate(days):
        if not first <= day <= end:
            continue
        if kept.setdefault(day, number) != number:
            values = (rows.select(list(table.values)).slice(place, 1) for place in (kept[day], number))
            if len({tuple(row.to_pylist()[0].values()) for row in values}) > 1:
                raise SourceUnavailable(f"{provider}'s answer is malformed: {day} comes twice, with different values")
    if len(kept) < len(days):
        rows = rows.take(pa.array(kept.values(), pa.int64()))
    return rows, outside(provider, days, first, last, now)


def outside(provider: str, days: Iterable[date], first: date, last: date, now: datetime) -> list[str]:
    """Sentences about days in an answer that were not asked for, or are in the future; see ``bounded``."""
    today = exchange_date(now)
    to_come = sorted(day for day in days if day > today)
    not_asked = sorted(day for day in days if day <= today and not first <= day <= last)
    return [
        f"{provider} sent {len(rows)} rows of days that {what}, which are left out: {listed(map(str, rows))}"
        for rows, what in ((to_come, "have not come"), (not_asked, "were not asked for"))
        if rows
    ]


def listed(names: Iterable[str]) -> str:
    """The first of some names; if there are more, how many there are."""
    every = list(names)
    return ", ".join(every[:_NAMED]) + (f", ... ({len(every)} in all)" if len(every) > _NAMED else "")


def exchange_dates(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """The exchange's date for each time of a column in UTC."""
    return pc.local_timestamp(times.cast(pa.timestamp("us", EXCHANGE_ZONE.key))).cast(pa.date32())


def _days(dates: pa.ChunkedArray) -> Sequence[date]:
    """The exchange's dates of a column of dates or of times."""
    days: list[date] = (exchange_dates(dates) if pa.types.is_timestamp(dates.type) else dates).to_pylist()
    return days
