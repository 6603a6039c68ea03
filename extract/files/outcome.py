"""What an import knows of each file that it was given, and of what the archive holds of earlier ones."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import PurePosixPath

from extract.files.kind import is_symbol
from extract.files.text import UnreadRow
from extract.landing.archive import Archive
from extract.landing.raw import RawTable

TAKEN, HERE, REFUSED = "taken", "already here", "refused"


@dataclass(slots=True)
class FileReport:
    """What became of a file.

    Attributes:
        name: as the person knows it; in a zip, with its place there.
        outcome: ``taken``, ``already here`` or ``refused``.
        reason: why it was not taken.
        kind: what it is; None where that was not told.
        as_of: the day that it is of; of a daily record, its session.
        received_on: the day (UTC) of its batch in the archive; None where it was refused.
        row_count: records taken.
        first_date: of these records; None where they have none.
        last_date: the same.
        left_out: records that say nothing.
        refused: records that cannot be read.
        remarks: what is odd about the file as a whole, though it was taken.
        is_usage: what is wrong is the command line, and not what the file holds.
        paths: of the batches that it is in.
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
        """What was refused or is odd, a sentence each."""
        if self.outcome == REFUSED:
            return [f"{self.name} {self.reason}"]
        return [*(f"{self.name}, {row}" for row in self.refused), *(f"{self.name} {remark}" for remark in self.remarks)]


class Held:
    """The batches that imports have made; a table's are listed once."""

    def __init__(self, archive: Archive) -> None:
        """Look into an archive."""
        self._archive = archive
        self._paths: dict[str, dict[str, str]] = {}

    def of(self, table: RawTable) -> dict[str, str]:
        """The paths of a table's batches, by name; what is made meanwhile is added here."""
        if table.name not in self._paths:
            paths = self._archive.listed(prefix=f"{table.name}/")
            self._paths[table.name] = {PurePosixPath(path).name: path for path in paths if "/import-" in path}
        return self._paths[table.name]


def row_count(rows: Sequence[UnreadRow]) -> int:
    """How many records these are."""
    return sum(row.count for row in rows)


def unread_symbols(refused: Sequence[UnreadRow]) -> str | None:
    """The symbols of the records that were refused, for ``nse_files``; ``?`` for one that cannot be told."""
    symbols = ((row.symbol or "").upper() for row in refused)
    return ",".join(sorted({symbol if is_symbol(symbol) else "?" for symbol in symbols})) or None
