"""The result of an import for each file, and the batches of earlier imports in the archive."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import PurePosixPath

from extract.files.kind import is_symbol
from extract.files.text import UnreadRow
from extract.landing.archive import Archive
from extract.landing.raw_table import RawTable

TAKEN, HERE, REFUSED = "taken", "already here", "refused"


@dataclass(slots=True)
class FileReport:
    """The result for one file.

    Attributes:
        name: its path; in a zip, the zip's path and the path within.
        outcome: ``taken``, ``already here`` or ``refused``.
        reason: why it was not taken.
        kind: the kind of file; None if it was not recognized.
        as_of: the day of the file; for a daily record, its session.
        received_on: the day (UTC) of its batch in the archive; None if it was refused.
        row_count: the number of records taken.
        first_date: the first day of these records; None if they have no days.
        last_date: the last such day.
        left_out: records that have nothing to keep.
        refused: records that cannot be read.
        remarks: what is odd about the file as a whole, although it was taken.
        is_usage: the command line is wrong, and not the file's content.
        paths: the paths of the batches that hold it.
    """

    name: str
    outcome: str
    reason: str | None = None
    kind: str | None = None
    as_of: date | None = None
    received_on: date | None = None
    row_count: int = 0
    first_date: date | None = None
    last_date: date | None = None
    left_out: list[UnreadRow] = field(default_factory=list)
    refused: list[UnreadRow] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    is_usage: bool = False
    paths: list[str] = field(default_factory=list)

    @property
    def shortfalls(self) -> list[str]:
        """What was refused, and what is odd, a sentence each."""
        if self.outcome == REFUSED:
            return [f"{self.name} {self.reason}"]
        return [*(f"{self.name}, {row}" for row in self.refused), *(f"{self.name} {remark}" for remark in self.remarks)]


class Held:
    """The batches that imports have archived; the archive is listed once for each table."""

    def __init__(self, archive: Archive) -> None:
        """Use an archive; nothing is listed yet."""
        self._archive = archive
        self._paths: dict[str, dict[str, str]] = {}

    def of(self, table: RawTable) -> dict[str, str]:
        """The paths of a table's batches, by name; the import adds its own batches to it."""
        if table.name not in self._paths:
            paths = self._archive.listed(prefix=f"{table.name}/")
            self._paths[table.name] = {PurePosixPath(path).name: path for path in paths if "/import-" in path}
        return self._paths[table.name]


def row_count(rows: Sequence[UnreadRow]) -> int:
    """The number of records."""
    return sum(row.count for row in rows)


def unread_symbols(refused: Sequence[UnreadRow]) -> str | None:
    """The symbols that refused records may be of, for ``nse_files``; ``?`` for one that cannot be read."""
    symbols = {(row.symbol or "").upper() for row in refused} | {row.also for row in refused if row.also}
    return ",".join(sorted({symbol if is_symbol(symbol) else "?" for symbol in symbols})) or None
