"""Import files that a person downloaded: archive their rows, and report the result for each file."""

import hashlib
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path, PurePosixPath

import pyarrow as pa

from extract.files.daily_record.by_columns import read_by_columns
from extract.files.daily_record.forms import DAILY_RECORDS
from extract.files.daily_record.session import DailyRecord
from extract.files.days import days_in_name, unclear_days_in_name
from extract.files.kind import Download, Kind
from extract.files.opened import FileRefused, OpenedFile, listed, opened
from extract.files.outcome import HERE, REFUSED, TAKEN, FileReport, Held, row_count, unread_symbols
from extract.files.read import IdentifiedFile, ReadFile, identify
from extract.files.records import Records
from extract.landing.archive import Archive
from extract.landing.raw import NSE_FILES
from extract.seeds import EXCHANGE_ZONE

# All lists of a day get this time of receipt, so that the same file makes the same batch all day.
_DAY_BEGINS = time(8, 30)


def take_files(
    archive: Archive,
    paths: Sequence[Path],
    today: date,
    progress: Callable[[int, int], None],
    *,
    as_of: date | None = None,
    index: str | None = None,
    received_at: datetime | None = None,
    is_dry: bool = False,
) -> list[FileReport]:
    """Archive the rows of files, and return the result for each. A bad file does not affect the others.

    A list makes a batch of its own; many daily records make one batch together. A batch is named after its content, so
    the same content makes no second batch. Each file also gets a row of ``nse_files``, by which the same file is
    recognized again, and which has the days that it covers.

    Args:
        archive: where the batches go.
        paths: files, folders and zips.
        today: the exchange's date.
        progress: called with the number of files done, and of all; a zip counts as one.
        as_of: the day of the lists; by default the date in a file's name, or today. A daily record has its day in
            its rows.
        index: the index of the one list among the files whose name does not say it.
        received_at: when the daily records came, a time with zone; by default, when today began.
        is_dry: archive nothing.

    Raises:
        PipelineError: the archive failed. What was taken before stays; take the files again for the rest.
    """
    held = Held(archive)
    received_at = received_at or datetime.combine(today, _DAY_BEGINS, EXCHANGE_ZONE)
    records = Records(archive, held, received_at, is_dry=is_dry)
    taking = _Taking(archive, held, records, today, as_of, index, is_dry)
    files = listed(paths)
    reports: list[FileReport] = []
    progress(0, len(files))
    for done, path in enumerate(files, 1):
        reports += [taking.take(file) for file in opened(path)]
        progress(done, len(files))
    records.finish()
    return reports


class _Taking:
    """One import: its arguments and its state."""

    def __init__(
        self,
        archive: Archive,
        held: Held,
        records: Records,
        today: date,
        as_of: date | None,
        index: str | None,
        is_dry: bool,
    ) -> None:
        self._archive = archive
        self._held = held.of
        self._records = records
        self._today = today
        self._as_of = as_of
        self._index = index
        self._is_dry = is_dry
        self._index_is_of: str | None = None

    def take(self, file: OpenedFile) -> FileReport:
        report = FileReport(file.name, REFUSED)
        try:
            if file.refusal:
                raise file.refusal
            self._take(file, report)
            report.received_on = report.received_on or report.as_of
        except FileRefused as refusal:
            report.outcome, report.reason, report.is_usage = REFUSED, str(refusal), refusal.is_usage
        return report

    def _take(self, file: OpenedFile, report: FileReport) -> None:
        basename = PurePosixPath(file.kept_name).name
        known_by = hashlib.sha256(file.body)
        sha256 = known_by.hexdigest()
        if self._records.is_here(sha256, report):
            return
        if record := read_by_columns(file.body, basename, self._today):
            self._take_record(file, sha256, record, report)
            return
        identified = identify(file.body)
        if identified.kind in DAILY_RECORDS:
            self._take_record(file, sha256, identified.read_record(basename, self._today), report)
            return
        dated = self._day_of(basename, identified.kind)
        download = Download(basename, dated or self._today, self._index)
        report.kind, report.as_of = identified.kind.name, download.as_of
        common = identified.kind.of_file(download)
        self._note_index(identified, download, file.name)
        # The same list for another index is different content.
        known_by.update(repr([value for value in common.values() if not isinstance(value, date)]).encode())
        digest = known_by.hexdigest()[:16]
        held = sorted(name[7:15] for name in self._held(NSE_FILES) if name.endswith(f"-{digest}-0000.parquet"))
        if held and (dated is None or f"{dated:%Y%m%d}" in held):
            day = download.as_of if dated else date.fromisoformat(held[-1])
            report.outcome, report.reason = HERE, f"it was taken as of {day}"
            if dated is None and day != self._today:
                report.as_of = day
                report.reason += f"; if it is also the exchange's list of today, give --as-of {self._today}"
            return
        self._archive_rows(identified, identified.read(download), download, file, digest, report)

    def _take_record(self, file: OpenedFile, sha256: str, record: DailyRecord, report: FileReport) -> None:
        for zip_name in file.kept_name.split(": ")[:-1]:
            days = days_in_name(zip_name)
            if len(days) == 1 and record.day not in days:
                record.remarks.append(f"is of {record.day}, and the name of its zip tells {min(days)}")
        self._records.take(file.kept_name, sha256, record, report)

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
        # A digest of the rows and not of the bytes, so that the same list in another format makes no second batch.
        content = hashlib.sha256(repr(rows.to_pylist()).encode()).hexdigest()[:12]
        run_id = f"import-{download.as_of:%Y%m%d}-{content}"
        is_here = f"{run_id}-0000.parquet" in self._held(table)
        report.outcome = HERE if is_here else TAKEN
        report.reason = f"another file of {download.as_of} has the same records" if is_here else None
        report.row_count, report.left_out, report.refused = rows.num_rows, read.left_out, read.refused
        report.remarks = read.remarks
        if table.dates:
            days = [row[table.dates[0]] for row in read.rows]
            report.first_date, report.last_date = min(days), max(days)
        received_at = datetime.combine(download.as_of, _DAY_BEGINS, EXCHANGE_ZONE)
        if identified.kind.is_replaced:
            # One second later for each earlier list of the same day, so that the latest one counts.
            of_day = f"import-{download.as_of:%Y%m%d}-"
            received_at += timedelta(seconds=sum(name.startswith(of_day) for name in self._held(table)))
        # A file with refused records is read again when it comes again, because a newer release may read them.
        known_by = f"{digest}-{content}" if read.refused else digest
        kept_run_id = f"import-{download.as_of:%Y%m%d}-{known_by}"
        if self._is_dry:
            self._held(table)[f"{run_id}-0000.parquet"] = self._held(NSE_FILES)[f"{kept_run_id}-0000.parquet"] = ""
        else:
            path = self._held(table).get(f"{run_id}-0000.parquet")
            path = path or self._archive.write(table, rows, run_id, 0, received_at)
            kept = {
                "file_name": file.kept_name,
                "sha256": hashlib.sha256(file.body).hexdigest(),
                "file_kind": identified.kind.name,
                "raw_table": table.name,
                "batch_path": path,
                "unread_symbols": unread_symbols(read.refused),
                "row_count": rows.num_rows,
                "left_out_row_count": row_count(read.left_out),
                "refused_row_count": row_count(read.refused),
                "covers_from": read.covers[0],
                "covers_to": read.covers[1],
            }
            report.paths = [path]
            if f"{kept_run_id}-0000.parquet" not in self._held(NSE_FILES):
                kept_rows = pa.Table.from_pylist([kept], NSE_FILES.provider_columns)
                report.paths.append(self._archive.write(NSE_FILES, kept_rows, kept_run_id, 0, received_at))
            self._held(table)[f"{run_id}-0000.parquet"] = path
            self._held(NSE_FILES)[f"{kept_run_id}-0000.parquet"] = report.paths[-1]

    def _day_of(self, basename: str, kind: Kind) -> date | None:
        """The day of a list: as the command says, else the only day in its name, besides the period that it covers.

        Raises:
            FileRefused: the name tells another day than the command, or one that has not come; or what the list says
                is true of one day, and the name does not tell it for certain.
        """
        first, last = kind.covers(basename)
        name = basename.replace(f"{first:%d-%m-%Y}-to-{last:%d-%m-%Y}", "") if first and last else basename
        days = days_in_name(name)
        named = min(days) if len(days) == 1 else None
        if self._as_of:
            if named and named != self._as_of and named <= self._today:
                reason = f"is by its name of {named}, and --as-of says {self._as_of}"
                raise FileRefused(f"{reason}; rename it, or leave --as-of out", is_usage=True)
            return self._as_of
        if named and named > self._today:
            raise FileRefused(f"is by its name of {named}, which has not come yet; give --as-of", is_usage=True)
        unclear = [*([] if named else map(str, sorted(days))), *unclear_days_in_name(name)]
        if kind.is_of_one_day and unclear:
            reason = f"has a name that does not tell its day for certain ({', '.join(unclear)})"
            raise FileRefused(f"{reason}; give --as-of, as the list was on that day", is_usage=True)
        return named

    def _note_index(self, identified: IdentifiedFile, download: Download, name: str) -> None:
        """Allow ``--index`` for one list only: two lists cannot both be of that index."""
        if self._index is None or "index_name" not in identified.kind.table.schema.names:
            return
        try:
            identified.kind.of_file(Download(download.basename, download.as_of))
        except FileRefused:
            if self._index_is_of:
                reason = f"is a second list whose name does not tell of which index, beside {self._index_is_of}"
                raise FileRefused(f"{reason}; import it by itself, with its own --index", is_usage=True) from None
            self._index_is_of = name
