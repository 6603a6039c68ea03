"""Take in files that a person downloaded: archive what they hold, and tell of each what became of it."""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from pathlib import Path, PurePosixPath

import pyarrow as pa

from extract.archive import Archive
from extract.files.kind import Download, is_symbol
from extract.files.opened import FileRefused, OpenedFile, listed, opened
from extract.files.read import IdentifiedFile, ReadFile, UnreadRow, identify
from extract.raw import NSE_FILES, RawTable
from extract.seeds import EXCHANGE_ZONE

TAKEN, HERE, REFUSED = "taken", "already here", "refused"

# A day's files are dated from when the exchange's day begins, so that the same file makes the same batch all day.
_DAY_BEGINS = time(8, 30)

_DATE_IN_NAME = re.compile(r"(?<!\d)(\d{4}-\d{2}-\d{2})(?!\d)")


@dataclass(slots=True)
class FileReport:
    """What became of a file.

    Attributes:
        name: as the person knows it; in a zip, with its place there.
        outcome: ``taken``, ``already here`` or ``refused``.
        reason: why it was not taken.
        kind: what it is; None where that was not told.
        as_of: the day that it is of.
        row_count: records taken.
        first_date: of these records; None where they have none.
        last_date: the same.
        left_out: records that say nothing.
        refused: records that cannot be read.
        is_usage: what is wrong is the command line, and not what the file holds.
        paths: of the batches that it is in.
    """

    name: str
    outcome: str
    reason: str | None = None
    kind: str | None = None
    as_of: date | None = None
    row_count: int = 0
    first_date: date | None = None
    last_date: date | None = None
    left_out: list[UnreadRow] = field(default_factory=list)
    refused: list[UnreadRow] = field(default_factory=list)
    is_usage: bool = False
    paths: list[str] = field(default_factory=list)

    @property
    def shortfalls(self) -> list[str]:
        """What was refused, a sentence each."""
        if self.outcome == REFUSED:
            return [f"{self.name} {self.reason}"]
        return [f"{self.name}, {row}" for row in self.refused]


def take_files(
    archive: Archive,
    paths: Sequence[Path],
    today: date,
    progress: Callable[[int, int], None],
    *,
    as_of: date | None = None,
    index: str | None = None,
    is_dry: bool = False,
) -> list[FileReport]:
    """Archive what files hold, each as a batch, and tell what became of each. A bad file costs itself alone.

    A batch is named after what is in it: the same again makes no other. Beside it goes a row of ``nse_files``, by which
    the same file is known again, and what its list reaches over.

    Args:
        archive: where the batches go.
        paths: files, folders and zips.
        today: the exchange's date.
        progress: is told how many files are done, and how many there are; a zip is one.
        as_of: the day that the files are of; by default the date in a file's name, or today.
        index: whose constituents the one list among them holds whose name does not tell.
        is_dry: archive nothing.

    Raises:
        PipelineError: the archive failed. What was taken before stays; take the files again for the rest.
    """
    taking = _Taking(archive, today, as_of, index, is_dry)
    files = listed(paths)
    reports: list[FileReport] = []
    progress(0, len(files))
    for done, path in enumerate(files, 1):
        reports += [taking.take(file) for file in opened(path)]
        progress(done, len(files))
    return reports


class _Taking:
    """One import: what it was told, and what it has seen."""

    def __init__(self, archive: Archive, today: date, as_of: date | None, index: str | None, is_dry: bool) -> None:
        self._archive = archive
        self._today = today
        self._as_of = as_of
        self._index = index
        self._is_dry = is_dry
        self._index_is_of: str | None = None
        self._names: dict[str, set[str]] = {}

    def take(self, file: OpenedFile) -> FileReport:
        report = FileReport(file.name, REFUSED)
        try:
            if file.refusal:
                raise file.refusal
            self._take(file, report)
        except FileRefused as refusal:
            report.outcome, report.reason, report.is_usage = REFUSED, str(refusal), refusal.is_usage
        return report

    def _take(self, file: OpenedFile, report: FileReport) -> None:
        identified = identify(file.body)
        basename = PurePosixPath(file.kept_name).name
        dated = self._as_of or self._day_in(basename)
        download = Download(basename, dated or self._today, self._index)
        report.kind, report.as_of = identified.kind.name, download.as_of
        common = identified.kind.of_file(download)
        self._note_index(identified, download, file.name)
        known_by = hashlib.sha256(file.body)
        # The same list under the name of another index says something else.
        known_by.update(repr([value for value in common.values() if not isinstance(value, date)]).encode())
        digest = known_by.hexdigest()[:16]
        held = sorted(name[7:15] for name in self._held(NSE_FILES) if name.endswith(f"-{digest}-0000.parquet"))
        if held and (dated is None or f"{dated:%Y%m%d}" in held):
            day = download.as_of if dated else date.fromisoformat(held[-1])
            report.outcome, report.reason = HERE, f"it was taken as of {day}"
            if dated is None and day != self._today:
                report.as_of = day
                report.reason += f"; where the exchange says the same today, give --as-of {self._today}"
            return
        self._archive_rows(identified, identified.read(download), download, file, digest, report)

    def _archive_rows(
        self,
        identified: IdentifiedFile,
        read: ReadFile,
        download: Download,
        file: OpenedFile,
        digest: str,
        report: FileReport,
    ) -> None:
        table = identified.kind.table
        rows = pa.Table.from_pylist(read.rows, table.provider_columns)
        # Of what the rows say, so that another spelling of the same file makes no other batch.
        content = hashlib.sha256(repr(rows.to_pylist()).encode()).hexdigest()[:12]
        run_id = f"import-{download.as_of:%Y%m%d}-{content}"
        is_here = f"{run_id}-0000.parquet" in self._held(table)
        report.outcome = HERE if is_here else TAKEN
        report.reason = f"another file of {download.as_of} has the same records" if is_here else None
        report.row_count, report.left_out, report.refused = rows.num_rows, read.left_out, read.refused
        if table.dates:
            days = [row[table.dates[0]] for row in read.rows]
            report.first_date, report.last_date = min(days), max(days)
        received_at = datetime.combine(download.as_of, _DAY_BEGINS, EXCHANGE_ZONE)
        # A file of which a record was refused is read again when it comes again: we may have learnt to.
        known_by = f"{digest}-{content}" if read.refused else digest
        kept_run_id = f"import-{download.as_of:%Y%m%d}-{known_by}"
        if not self._is_dry:
            path = self._archive.write(table, rows, run_id, 0, received_at)
            kept = {
                "file_name": file.kept_name,
                "sha256": hashlib.sha256(file.body).hexdigest(),
                "raw_table": table.name,
                "batch_path": path,
                "unread_symbols": ",".join(sorted({_listed_symbol(row) for row in read.refused})) or None,
                "row_count": rows.num_rows,
                "left_out_row_count": len(read.left_out),
                "refused_row_count": len(read.refused),
                "covers_from": read.covers[0],
                "covers_to": read.covers[1],
            }
            report.paths = [path]
            if f"{kept_run_id}-0000.parquet" not in self._held(NSE_FILES):
                kept_rows = pa.Table.from_pylist([kept], NSE_FILES.provider_columns)
                report.paths.append(self._archive.write(NSE_FILES, kept_rows, kept_run_id, 0, received_at))
        self._held(table).add(f"{run_id}-0000.parquet")
        self._held(NSE_FILES).add(f"{kept_run_id}-0000.parquet")

    def _day_in(self, basename: str) -> date | None:
        """The one date in a name, where the file can be of that day."""
        found = set(_DATE_IN_NAME.findall(basename))
        try:
            (day,) = map(date.fromisoformat, found)
        except ValueError:
            return None
        return day if day.year >= 1994 and day <= self._today else None

    def _note_index(self, identified: IdentifiedFile, download: Download, name: str) -> None:
        """Let ``--index`` speak of one list alone: two lists cannot both be that index's."""
        if self._index is None or "index_name" not in identified.kind.table.schema.names:
            return
        try:
            identified.kind.of_file(Download(download.basename, download.as_of))
        except FileRefused:
            if self._index_is_of:
                reason = f"is a second list whose name does not tell of which index, beside {self._index_is_of}"
                raise FileRefused(f"{reason}; import it by itself, with its own --index", is_usage=True) from None
            self._index_is_of = name

    def _held(self, table: RawTable) -> set[str]:
        """The names of a table's batches that imports have made."""
        if table.name not in self._names:
            paths = self._archive.listed(prefix=f"{table.name}/")
            self._names[table.name] = {PurePosixPath(path).name for path in paths if "/import-" in path}
        return self._names[table.name]


def _listed_symbol(row: UnreadRow) -> str:
    symbol = (row.symbol or "").upper()
    return symbol if is_symbol(symbol) else "?"
