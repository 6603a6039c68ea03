"""Read a record with faults row by row, and name them."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa

from extract.files.daily_record.forms import UDIFF
from extract.files.daily_record.session import (
    COLUMNS,
    DailyRecord,
    check_day,
    contradicted_turnovers,
    raw_rows,
    refuse_other_segments,
    what_stands_first,
)
from extract.files.days import First
from extract.files.kind import Kind
from extract.files.opened import FileRefused
from extract.files.shares import contradicted_isins
from extract.files.text import UnreadRow

# Up to this share of rows with another day counts as an error in those rows; more means that the file has two sessions.
_RARE = 0.01


@dataclass(frozen=True, slots=True)
class SentRow:
    """A row that could be read by itself.

    Attributes:
        place: its place in the file, such as ``line 3``.
        values: by column.
    """

    place: str
    values: dict[str, Any]

    def refused(self, reason: str, also: str | None = None) -> UnreadRow:
        """The row as a refused one: a comparison with other rows shows that it is wrong."""
        return UnreadRow(self.place, self.values["symbol"], reason, also=also)


def read_by_rows(
    kind: Kind,
    texts: Mapping[str, Sequence[str | None]],
    basename: str,
    today: date,
    read: Callable[[First | None], tuple[list[SentRow], list[UnreadRow], list[UnreadRow]]],
) -> DailyRecord:
    """Read a file with faults, and name them.

    Args:
        kind: the file's form.
        texts: the cells of each column.
        basename: the file's name, which may contain its day.
        today: the exchange's date.
        read: reads each row by itself, given what stands first in its day; returns the rows, those left out, and
            those refused.

    Raises:
        FileRefused: it is a record of another segment or of another day, or has no row that can be taken.
    """
    if kind is UDIFF:
        segments, markets = ([(text or "").strip() for text in texts.get(name, ())] for name in ("segment", "market"))
        refuse_other_segments(segments, markets)
    rows, left_out, refused = read(what_stands_first(list(texts["date"]), basename, today))
    days = Counter(row.values["date"] for row in rows)
    if not rows:
        raise FileRefused(f"has no row that can be taken: {'; '.join(map(str, refused[:3]))}")
    ((day, count),) = days.most_common(1)
    if len(rows) - count > _RARE * len(rows):
        named = ", ".join(map(str, sorted(days)[:3]))
        raise FileRefused(f"holds rows of {len(days)} sessions ({named}); give each a file of its own")
    check_day(day, basename, today)
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
        bars.append(first)
        left_out = left_out + [
            UnreadRow(row.place, row.values["symbol"], f"it repeats {first.place}") for row in others
        ]
    columns = ([bar.values[name] for bar in bars] for name in ("symbol", "isin", "series"))
    of_others = contradicted_isins(day, *columns)
    refused = refused + [bars[at].refused(str(told), told.also) for at, told in of_others.items()]
    bars = [bar for at, bar in enumerate(bars) if at not in of_others]
    if not bars:
        raise FileRefused(f"has no row that can be taken: {'; '.join(map(str, refused[:3]))}")
    apart_from_own = set(contradicted_turnovers(kind, _columns(bars)))
    refused = refused + [
        bars[at].refused("its turnover is not its volume at its prices; is one of them in paise?")
        for at in sorted(apart_from_own)
    ]
    table = raw_rows(kind, _columns([bar for at, bar in enumerate(bars) if at not in apart_from_own]))
    return DailyRecord(kind, day, table, left_out, refused)


def _columns(bars: Sequence[SentRow]) -> dict[str, pa.Array]:
    return {field.name: pa.array([bar.values.get(field.name) for bar in bars], field.type) for field in COLUMNS}
