"""Turn a file's bytes into rows of its raw table: its columns tell the kind, and each record is read by itself."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from typing import Any

from extract.files.calendar_days import HOLIDAY_LISTS, SPECIAL_SESSIONS
from extract.files.corporate_actions import CORPORATE_ACTIONS
from extract.files.daily_record.by_rows import SentRow, read_by_rows
from extract.files.daily_record.forms import DAILY_RECORDS
from extract.files.daily_record.session import DailyRecord
from extract.files.days import FIRST_YEAR, find_first
from extract.files.index_lists import INDEX_LISTS
from extract.files.kind import Download, Kind, Reading, SaysNothing, plain_heading
from extract.files.neighbours import neighbour
from extract.files.opened import FileRefused
from extract.files.shares import OfAnotherShare
from extract.files.text import Row, UnreadRow, csv_rows, decoded, is_json, json_rows

KINDS = (CORPORATE_ACTIONS, INDEX_LISTS, HOLIDAY_LISTS, SPECIAL_SESSIONS, *DAILY_RECORDS)

_DELIMITERS = ",;\t|"

# Above the headings there may be a title, a date, and blank lines.
_ROWS_TO_HEADINGS = 20

_LINE_END = re.compile(r"\r\n?|\n")

# What people and programs write below the last record.
_FOOTER = re.compile(
    r"(?:grand |sub ?)?total|sum\b|count|rows?\b|records?\b|source|notes?\b|disclaimer|end of"
    r"|muhurat trading|the exchange may|the holidays|\*|©|#|--",
    re.I,
)


@dataclass(frozen=True, slots=True)
class ReadFile:
    """What was read from a file.

    Attributes:
        rows: in the columns of the kind's table.
        left_out: records that have nothing to keep, and lines that are not records.
        refused: records that cannot be read.
        covers: the first and last day that the list covers, from the file's name.
        remarks: what is odd about the file as a whole, as the end of a sentence about it.
    """

    rows: list[dict[str, Any]]
    left_out: list[UnreadRow] = field(default_factory=list)
    refused: list[UnreadRow] = field(default_factory=list)
    covers: tuple[date | None, date | None] = (None, None)
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class IdentifiedFile:
    """A file of a known kind, its headings found.

    Attributes:
        kind: the kind of file.
        columns: the place of each column of the table in a row.
        headings: the row of headings.
        width: the number of cells up to the last one with a heading.
        widest: how many cells a row may have; those beyond ``width`` must be blank.
        records: the rows below the headings that are not blank.
        ends_in_line: whether the text ends with a line end, or is JSON.
        ends_whole: whether its last value is whole, as a line end or a quote follows it, or it is JSON.
    """

    kind: Kind
    columns: dict[str, int]
    headings: Row
    width: int
    widest: int
    records: list[Row]
    ends_in_line: bool
    ends_whole: bool

    def read(self, download: Download) -> ReadFile:
        """Read each record.

        Raises:
            FileRefused: no record can be taken; or the file was cut, so that an unknown part is missing; or it fails
                the check of its kind.
        """
        common = self.kind.of_file(download)
        covers = self.kind.covers(download.basename)
        first = find_first(self._days(covers, download.as_of))
        rows, left_out, refused = self._read_each(Reading(download.as_of, first))
        if cut := self._cut_last(rows):
            # Without its symbol, because records after it may be missing too: the list must withdraw nothing.
            told = f"the file ends in {self._symbol(self.records[-1])} without a line end, so its last value may be cut"
            refused.append(UnreadRow(cut.place, None, f"{told}; compare it with the exchange's, and end the line"))
            if not rows:
                raise FileRefused(f"has no record that can be taken: {refused[-1]}")
        records = [row.values | common for row in rows]
        self.kind.check(records, refused, download)
        return ReadFile(records, left_out, refused, covers, self.kind.remarks(records, download))

    def read_record(self, basename: str, today: date) -> DailyRecord:
        """Read a daily record row by row; see ``read_by_rows``."""
        texts = {
            column: [row.cells[place] for row in self.records if place < len(row.cells)]
            for column, place in self.columns.items()
        }
        read = read_by_rows(self.kind, texts, basename, today, lambda first: self._read_whole(Reading(today, first)))
        if not self.ends_in_line:
            read.remarks.append("does not end with a line end: it may be cut off; compare it with the exchange's")
        return read

    def _read_whole(self, reading: Reading) -> tuple[list[SentRow], list[UnreadRow], list[UnreadRow]]:
        """Read each record; refuse the last one if its last number may have been cut."""
        rows, left_out, refused = self._read_each(reading)
        if cut := self._cut_last(rows):
            refused.append(cut.refused("the file ends in it without a line end, so its last value may be cut"))
        return rows, left_out, refused

    def _cut_last(self, rows: list[SentRow]) -> SentRow | None:
        """Remove the last record, and return it, if the file may have been cut in a value that decides."""
        last = self.records[-1]
        if self.ends_whole or rows[-1].place != last.place:
            return None
        deciding = self.columns if self.kind.deciding is None else self.kind.deciding
        return rows.pop() if len(last.cells) - 1 in {self.columns[column] for column in deciding} else None

    def _read_each(self, reading: Reading) -> tuple[list[SentRow], list[UnreadRow], list[UnreadRow]]:
        """The rows that can be read, those that are left out, and those that are refused; at least one of the first."""
        if not self.records:
            raise FileRefused("is empty but for its headings; download it again")
        rows: list[SentRow] = []
        left_out: list[UnreadRow] = []
        refused: list[UnreadRow] = []
        last = self.records[-1]
        for row in self.records:
            symbol = self._symbol(row)
            try:
                rows.append(SentRow(row.place, self._read(row, reading)))
            except SaysNothing as nothing:
                left_out.append(UnreadRow(row.place, symbol, str(nothing)))
            except ValueError as error:
                is_faulty_end = self._is_short(row) or row.problem or not self.ends_in_line
                if row is last and is_faulty_end and not row.is_closed:
                    reason = f"ends in the middle of a record ({UnreadRow(row.place, symbol, str(error))})"
                    raise FileRefused(f"{reason}: it is damaged; download it again") from None
                also = error.also if isinstance(error, OfAnotherShare) else None
                refused.append(UnreadRow(row.place, symbol, str(error), also=also))
        if not rows:
            unread = [*refused, *left_out]
            more = f"; and {len(unread) - 3} more" if len(unread) > 3 else ""
            raise FileRefused(f"has no record that can be taken: {'; '.join(map(str, unread[:3]))}{more}")
        return rows, left_out, refused

    def _read(self, row: Row, reading: Reading) -> dict[str, Any]:
        try:
            return self._record(row, reading)
        except SaysNothing:
            raise
        except ValueError:
            if not row.problem and self._is_no_record(row):
                raise SaysNothing("it is not a record") from None
            self._refuse_other_headings(row)
            raise

    def _record(self, row: Row, reading: Reading) -> dict[str, Any]:
        if row.problem:
            raise ValueError(row.problem)
        if self._is_short(row):
            raise ValueError(f"it has {len(row.cells)} of {self.width} cells")
        if len(row.cells) > self.widest or any((cell or "").strip() for cell in row.cells[self.width :]):
            raise ValueError(f"it has {len(row.cells)} cells for {self.width} headings: a value may need quotes")
        if len(row.filled) <= 1:
            raise SaysNothing("it is not a record")
        for column, place in self.columns.items():
            # As a text, true would be the symbol TRUE.
            if place in row.no_texts and column not in self.kind.flags:
                raise ValueError(f"its {self.headings.cells[place]} is neither a text nor a number")
        cells = {column: row.cells[place] if place < len(row.cells) else "" for column, place in self.columns.items()}
        return self.kind.read(cells, reading)

    def _is_no_record(self, row: Row) -> bool:
        """Whether a row that cannot be read is a footer, or repeats the headings."""
        filled = row.filled
        is_footer = bool(filled and _FOOTER.match(filled[0])) and len(filled) <= min(3, len(self.columns) - 1)
        plain = _plain(row)
        return is_footer or not any(plain) or plain == _plain(self.headings)

    def _refuse_other_headings(self, row: Row) -> None:
        """Refuse a file that has other headings in its middle, so that the rows below them mean something else."""
        found = self.kind.columns(row.cells)
        if all(column in found for column in self.kind.required):
            raise FileRefused(f"has other headings in {row.place}: it is two files in one; give each a file of its own")

    def _is_short(self, row: Row) -> bool:
        return len(row.cells) < self.width

    def _symbol(self, row: Row) -> str | None:
        place = self.columns[self.kind.table.symbol]
        symbol = (row.cells[place] or "").strip() if place < len(row.cells) else ""
        return symbol[:30] or None

    def _days(
        self, covers: tuple[date | None, date | None], as_of: date
    ) -> Iterator[tuple[str | None, tuple[date, date]]]:
        """The texts of days, each with the first and last day that it may be."""
        # Nothing is announced two years ahead.
        widest = date(FIRST_YEAR, 1, 1), date(as_of.year + 1, 12, 31)
        for column in self.kind.days:
            span = (covers[0] or widest[0], covers[1] or widest[1]) if column == self.kind.days[0] else widest
            place = self.columns.get(column)
            if place is not None:
                yield from ((row.cells[place], span) for row in self.records if place < len(row.cells))


def _plain(row: Row) -> list[str]:
    """The cells as ``plain_heading`` writes them, without the blank ones."""
    return [plain_heading(cell) for cell in row.filled]


def identify(body: bytes) -> IdentifiedFile:
    """Find out the kind of a file by its columns, in any order.

    Raises:
        FileRefused: it is not a text, or not of a kind that we know.
    """
    text = decoded(body)
    if is_json(text):
        rows = json_rows(text)
        headings, kind, columns = _headings([rows]) or _unknown([rows])
        width = len(headings.cells)
        return IdentifiedFile(kind, columns, headings, width, width, rows[1:], ends_in_line=True, ends_whole=True)
    tops = [list(islice(csv_rows(text, delimiter), _ROWS_TO_HEADINGS)) for delimiter in _DELIMITERS]
    headings, kind, columns = _headings(tops) or _unknown(tops)
    delimiter = next(d for d, top in zip(_DELIMITERS, tops, strict=True) if any(row is headings for row in top))
    rows = list(csv_rows(text, delimiter))
    start = next(number for number, row in enumerate(rows) if row.place == headings.place)
    # A comma at the end of the headings makes a column without a name, which the rows may lack.
    width = max(number for number, cell in enumerate(headings.cells, 1) if (cell or "").strip())
    records = [_unswallowed(row, delimiter, width) for row in rows[start + 1 :] if row.filled]
    # If all rows end with a comma and the headings do not, the extra cell does not mean that a value lacks its quotes.
    widest = max(len(headings.cells), min((len(row.cells) for row in records if not row.problem), default=0))
    return IdentifiedFile(
        kind,
        columns,
        headings,
        width,
        widest,
        records,
        ends_in_line=text.endswith(("\n", "\r")),
        ends_whole=text.endswith(("\n", "\r", '"')),
    )


def _unswallowed(row: Row, delimiter: str, width: int) -> Row:
    """The row; or that it is several, if a quote that was not closed has made one cell of a record and more."""
    line_ends = [len(_LINE_END.findall(cell)) for cell in row.cells if cell]
    swallowing = any(cell and _LINE_END.search(cell) and cell.count(delimiter) >= width - 1 for cell in row.cells)
    if row.problem or not swallowing or _FOOTER.match(row.filled[0]):
        return row
    first = int(row.place.removeprefix("line "))
    lines = f"lines {first} to {first + sum(line_ends)}"
    return Row(lines, [], "a quote makes one record of them; close it where its value ends", is_closed=True)


def _headings(tops: list[list[Row]]) -> tuple[Row, Kind, dict[str, int]] | None:
    """The row of headings that has the most known columns."""
    found = []
    for top in tops:
        for row in top:
            for kind in KINDS:
                columns = kind.columns(row.cells)
                if all(column in columns for column in kind.required):
                    found.append((row, kind, columns))
    return max(found, key=lambda each: len(each[2]), default=None)


def _unknown(tops: list[list[Row]]) -> tuple[Row, Kind, dict[str, int]]:
    rows = [row for top in tops for row in top if row.filled]
    if known := next(filter(None, (neighbour(row.cells) for row in rows)), None):
        raise FileRefused(f"is {known}, which `import` cannot use; leave it out")
    nearest = max(
        ((kind, kind.columns(row.cells)) for row in rows for kind in KINDS), key=lambda each: len(each[1]), default=None
    )
    if nearest and len(nearest[1]) >= 2:
        kind, columns = nearest
        lacking = [column for column in kind.required if column not in columns]
        missing = [f"{column} ({', '.join(kind.headings[column])})" for column in lacking]
        raise FileRefused(f"looks like {kind.name}, but has no column for {'; nor for '.join(missing)}")
    first = " ".join(" ".join(filter(None, rows[0].cells)).split())[:80] if rows else ""
    known = "; or ".join(
        kind.name if kind in DAILY_RECORDS else f"{kind.name} ({', '.join(kind.required)})" for kind in KINDS
    )
    raise FileRefused(
        f"is not a known kind of file: it begins with {first!r}, and does not have the columns of {known}"
    )
