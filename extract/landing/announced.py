"""The exchange's announcements about its sessions, read from the archive: this needs no open warehouse."""

from collections import defaultdict
from datetime import date, time
from typing import Any

import structlog

from extract.landing.archive import Archive
from extract.landing.batch import BatchRefused
from extract.landing.raw import NSE_CALENDAR_DAYS
from extract.seeds import LATEST_CLOSE, Announcements, HolidayList, exchange_date

_log = structlog.get_logger()


def read_announcements(archive: Archive) -> Announcements:
    """The latest list of each year, and the special sessions of all files, as in the model int_calendar_days.

    There are only a few small batches a year. A damaged batch is left out; a replay reports it.

    Raises:
        PipelineError: the archive cannot be read.
    """
    lists: dict[int, list[dict[str, Any]]] = {}
    sessions: dict[date, dict[str, Any]] = {}
    batches = []
    for path in archive.listed(prefix=f"{NSE_CALENDAR_DAYS.name}/"):
        try:
            batches.append(archive.read(path).rows.to_pylist())
        except BatchRefused as refusal:
            _log.error("batch refused", path=refusal.path, reason=refusal.reason)
    # In order of receipt, so that a later list replaces an earlier one.
    for rows in sorted(batches, key=lambda rows: (rows[0]["_extracted_at"], rows[0]["_archive_path"])):
        years: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for row in rows:
            if row["list_year"] is None:
                sessions[row["trade_date"]] = row
            else:
                years[row["list_year"]].append(row)
        lists |= years
    listed = {row["trade_date"]: row for rows in lists.values() for row in rows if row["kind"] != "holiday"}
    return Announcements(
        {
            year: HolidayList(
                exchange_date(rows[0]["_extracted_at"]),
                frozenset(row["trade_date"] for row in rows if row["kind"] == "holiday"),
            )
            for year, rows in lists.items()
        },
        {day: (_closes_at(row), row["is_short"] != "false") for day, row in (listed | sessions).items()},
    )


def _closes_at(row: dict[str, Any]) -> time:
    return time.fromisoformat(row["closes_at_ist"]) if row["closes_at_ist"] else LATEST_CLOSE
