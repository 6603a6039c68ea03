"""Archive daily records: many sessions in a batch, and a row of ``nse_files`` for each file, to recognize it again."""

import hashlib
import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from statistics import median
from typing import Any

import pyarrow as pa

from extract.files.daily_record.session import DailyRecord
from extract.files.outcome import HERE, TAKEN, FileReport, Held, row_count, unread_symbols
from extract.landing.archive import Archive
from extract.landing.batch import BatchRefused
from extract.landing.raw import NSE_DAILY_BARS, NSE_FILES
from extract.seeds import trading_sessions

# One load job can take a batch of this size (extract/warehouse/replay.py): eighty sessions of today's size.
_ROWS_PER_BATCH = 240_000

# The names of the batches of nse_files: `record` for one file without refused rows, with its digest; else `records`.
_OF_FILES = re.compile(r"import-(?P<day>\d{8})-(?P<number>record|records)-(?P<digest>[0-9a-f]+)-0000\.parquet")

# A session is compared with those within this many days. With less than this share of their median number of rows, it
# is odd, because nearly all shares are traded each day. In a short session and on a weekend, fewer are; and of
# a few rows, one or two are a large share.
_NEAR = timedelta(days=30)
_FEW, _FEW_IN_SHORT, _A_FEW_ROWS = 0.9, 0.6, 50
_FEWEST_NEIGHBOURS = 3
# This many of the latest files that were taken one by one are read, to compare with.
_LATEST_READ = 5


class Records:
    """The daily records of one import.

    A batch is archived when it is full, and after it the rows of ``nse_files`` for its files. So a process may die at
    any point: a file without its row of ``nse_files`` is read again, makes the same batch, and lands once.
    """

    def __init__(self, archive: Archive, held: Held, received_at: datetime, *, is_dry: bool) -> None:
        """Begin an import.

        Args:
            archive: where the batches go.
            held: the batches in it.
            received_at: when the files came; a time with zone.
            is_dry: archive nothing.
        """
        self._archive = archive
        self._held = held
        self._received_at = received_at
        self._is_dry = is_dry
        self._known: dict[str, tuple[date, tuple[object, ...] | None]] = {}
        self._is_known_read = False
        self._sessions: dict[str, list[tuple[date, int]]] = defaultdict(list)
        self._pending: list[tuple[dict[str, Any], DailyRecord, FileReport]] = []
        self._taken: list[FileReport] = []

    def is_here(self, sha256: str, report: FileReport) -> bool:
        """Whether a file with these bytes was already taken without refused rows; if so, note that in the report."""
        self._read_known()
        day, read = self._known.get(sha256[:16], (None, None))
        if day is None or read is not None:
            return False
        self._say_here(day, report)
        return True

    def take(self, file_name: str, sha256: str, record: DailyRecord, report: FileReport) -> None:
        """Take a record, and note that in the report; it is archived when its batch is full."""
        report.kind, report.as_of = record.kind.name, record.day
        report.first_date = report.last_date = record.day
        report.row_count = record.rows.num_rows
        report.left_out, report.refused, report.remarks = record.left_out, record.refused, record.remarks
        self._read_known()
        day, read = self._known.get(sha256[:16], (None, None))
        if day and read == _read(record):
            # A file with refused rows is read again when it comes again, because a newer release may read them. Here,
            # the result is the same as before.
            self._say_here(day, report)
            return
        report.outcome = TAKEN
        report.received_on = self._received_at.astimezone(UTC).date()
        self._known[sha256[:16]] = report.received_on, _read(record)
        is_corrected = any(
            (other.kind.name, other.day) == (record.kind.name, record.day) for _, other, _ in self._pending
        )
        rows = sum(other.rows.num_rows for _, other, _ in self._pending) + record.rows.num_rows
        if is_corrected or rows > _ROWS_PER_BATCH:
            self.archive_pending()
        self._pending.append((_kept(file_name, sha256, record), record, report))
        self._sessions[record.kind.name].append((record.day, record.rows.num_rows))
        self._taken.append(report)

    def archive_pending(self) -> None:
        """Archive the records that are not in a batch yet.

        Raises:
            PipelineError: the archive failed.
        """
        pending, self._pending = self._pending, []
        if not pending:
            return
        # Each batch gets a later time: if two files are of one session, the one that comes later on the command line
        # counts.
        received_at, self._received_at = self._received_at, self._received_at + timedelta(microseconds=1)
        if self._is_dry:
            return
        kept = [kept for kept, _, _ in pending]
        content = [(file["sha256"], file["row_count"]) for file in kept]
        digest = hashlib.sha256(repr(content).encode()).hexdigest()[:12]
        of_bars = self._held.of(NSE_DAILY_BARS)
        path = next((path for name, path in of_bars.items() if name.endswith(f"-{digest}-0000.parquet")), None)
        if path is None:
            rows = pa.concat_tables([record.rows for _, record, _ in pending])
            run_id = f"import-{received_at:%Y%m%d}-{digest}"
            path = self._archive.write(NSE_DAILY_BARS, rows, run_id, 0, received_at)
            of_bars[f"{run_id}-0000.parquet"] = path
        for file in kept:
            file["batch_path"] = path
        run_id = f"import-{received_at:%Y%m%d}-records-{digest}"
        if len(pending) == 1 and not pending[0][1].refused:
            run_id = f"import-{received_at:%Y%m%d}-record-{kept[0]['sha256'][:16]}"
        rows = pa.Table.from_pylist(kept, NSE_FILES.provider_columns)
        paths = [path, self._archive.write(NSE_FILES, rows, run_id, 0, received_at)]
        for _, _, report in pending:
            report.paths = paths

    def finish(self) -> None:
        """Archive the rest, and add a remark to each session that has far fewer rows than those near it."""
        self.archive_pending()
        self._read_latest()
        days = {report.as_of for report in self._taken if report.as_of}
        short = _short_sessions(days) if days else set()
        sessions = {kind: sorted(told) for kind, told in self._sessions.items()}
        for report in self._taken:
            assert report.kind
            assert report.as_of
            told = sessions[report.kind]
            first = bisect_left(told, (report.as_of - _NEAR, 0))
            last = bisect_right(told, (report.as_of + _NEAR, 0))
            near = [count for day, count in told[first:last] if day != report.as_of]
            if len(near) >= _FEWEST_NEIGHBOURS and report.row_count < _few_rows(
                median(near), is_short=report.as_of in short
            ):
                report.remarks.append(
                    f"has {report.row_count:,} rows, and the sessions about it have {median(near):,.0f}:"
                    " it may be cut; compare it with the exchange's"
                )

    def _say_here(self, day: date, report: FileReport) -> None:
        report.outcome, report.reason = HERE, f"it was taken on {day}"
        report.received_on = day

    def _read_known(self) -> None:
        """Read which files earlier imports have taken; the digest of a file that came alone is in its batch's name."""
        if self._is_known_read:
            return
        self._is_known_read = True
        for name, path in self._held.of(NSE_FILES).items():
            found = _OF_FILES.fullmatch(name)
            if found and found["number"] == "record":
                self._known[found["digest"]] = _day_of(path), None
            elif found:
                for row in self._kept(path):
                    read = (row["row_count"], row["refused_row_count"], row["unread_symbols"])
                    self._known[row["sha256"][:16]] = _day_of(path), read if row["refused_row_count"] else None

    def _read_latest(self) -> None:
        """If this import is small, read how many rows the sessions of the last files had, to compare with."""
        if not self._taken or len(self._taken) > _FEWEST_NEIGHBOURS:
            return
        alone = sorted((name, path) for name, path in self._held.of(NSE_FILES).items() if "-record-" in name)
        for _, path in alone[-_LATEST_READ:]:
            self._kept(path)

    def _kept(self, path: str) -> list[dict[str, Any]]:
        """The rows of ``nse_files`` in a batch; empty if the batch is damaged, which a replay reports."""
        rows: list[dict[str, Any]] = []
        with suppress(BatchRefused):
            rows = self._archive.read(path).rows.to_pylist()
        for row in rows:
            self._sessions[row["file_kind"]].append((row["covers_from"], row["row_count"]))
        return rows


def _few_rows(usual: float, *, is_short: bool) -> float:
    """The number of rows below which a session is odd, if those about it have usually so many."""
    return usual * (_FEW_IN_SHORT if is_short or usual < _A_FEW_ROWS else _FEW)


def _short_sessions(days: Collection[date]) -> set[date]:
    """Those of these days on which the session was short, or on a weekend."""
    short = {session.trade_date for session in trading_sessions(min(days), max(days)) if session.is_short}
    return {day for day in days if day in short or day.weekday() >= 5}


def _day_of(path: str) -> date:
    return date.fromisoformat(path.partition("extracted_on=")[2][:10])


def _read(record: DailyRecord) -> tuple[object, ...] | None:
    """What was read from a record with refused rows, to compare with a later reading; None for a whole record."""
    if not record.refused:
        return None
    return record.rows.num_rows, row_count(record.refused), unread_symbols(record.refused)


def _kept(file_name: str, sha256: str, record: DailyRecord) -> dict[str, Any]:
    """A file's row of ``nse_files``, without the path of its batch."""
    return {
        "file_name": file_name,
        "sha256": sha256,
        "file_kind": record.kind.name,
        "raw_table": NSE_DAILY_BARS.name,
        "unread_symbols": unread_symbols(record.refused),
        "row_count": record.rows.num_rows,
        "left_out_row_count": row_count(record.left_out),
        "refused_row_count": row_count(record.refused),
        "covers_from": record.day,
        "covers_to": record.day,
    }
