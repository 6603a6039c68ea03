"""Ask all providers at once, each at its own pace; archive what they send, append it to raw, and keep the ledger.

A run may die at any point. The next run loads what was archived and not loaded, and asks again for what was not
archived, because raw does not hold it.
"""

import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import structlog

from extract.errors import PipelineError
from extract.fetching.asking import Answered, Asking
from extract.fetching.ledger import Extraction, LedgerEntry
from extract.fetching.plan import by_source
from extract.fetching.received import Received
from extract.landing.archive import Archive
from extract.landing.batch import Batch
from extract.landing.raw import EXTRACT_REQUESTS, RAW_TABLES
from extract.landing.raw_table import RawTable
from extract.seeds import EXCHANGE_ZONE, Clock
from extract.sources import Request, Source
from extract.sources.pace import FIRST_WAIT
from extract.warehouse.connection import Warehouse
from extract.warehouse.loading import load
from extract.warehouse.notes import note_landing
from extract.warehouse.replay import Replay, replay

_log = structlog.get_logger()

# Answers are landed after so many seconds, which bounds what is lost if the process is killed, or so many rows, which
# bounds the memory that they take. Each landing makes an object and a load job for each raw table, and every object is
# read again by a replay. At the providers' limits 80,000 rows come in 15 seconds, most of them known; a landing after
# each 20,000 made twice as many objects a day.
_LANDING_SECONDS = 15.0
_LANDING_ROWS = 100_000

# How long a stopped run waits for the requests that are under way. Cloud Run kills ten seconds after it asks.
_STOP_SECONDS = 3.0

# No run lasts so long: what it archived and did not load came at most this long before its last request.
_LONGEST_RUN = timedelta(days=7)

# If the last daily run is older than this, the whole archive is searched for batches that were not loaded.
_LONGEST_PAUSE = timedelta(days=90)

# The clocks of two machines may differ by this.
_CLOCKS_APART = timedelta(minutes=10)


def load_unloaded(archive: Archive, warehouse: Warehouse, now: datetime) -> Replay:
    """Load what earlier runs archived and did not load, however long ago; return what was loaded and what was refused.

    The last daily run has looked before it fetched, so only what came since then, or while it ran, can be missing.
    Where raw has no such run of the last months, the whole archive is looked through.

    Raises:
        PipelineError: the archive or the warehouse failed.
    """
    (row,) = warehouse.query(
        f"""
        select max(_extracted_at) as looked_at
        from `{warehouse.raw}.{EXTRACT_REQUESTS.name}`
        where is_daily and _extracted_at >= timestamp('{(now - _LONGEST_PAUSE).isoformat()}')
        """
    )
    looked_at: datetime | None = row["looked_at"]
    since = None if looked_at is None else (min(looked_at, now) - _LONGEST_RUN).astimezone(UTC).date()
    healed = replay(archive, warehouse, lambda *_: None, since=since)
    if healed.loaded:
        _log.warning("batches of an interrupted run loaded", batches=healed.loaded, rows=healed.rows)
    return healed


def _check_clock(archive: Archive, warehouse: Warehouse, now: datetime) -> None:
    """Refuse a clock that is behind what raw has received: of two versions of a bar, the one received later counts.

    Raises:
        PipelineError: the clock is wrong, or was wrong when raw received something.
    """
    (row,) = warehouse.query(
        f"""
        select max(_extracted_at) as received_at
        from `{warehouse.raw}.{EXTRACT_REQUESTS.name}`
        where _extracted_at >= timestamp('{(now + _CLOCKS_APART).isoformat()}')
        """
    )
    if row["received_at"] is not None:
        # Nobody can delete from a bucket whose retention is locked.
        without = (
            "move the batches of later days out of the archive"
            if archive.folder
            else "copy the archive without the batches of later days to another bucket, set ARCHIVE_URI to that"
        )
        raise PipelineError(
            f"this machine's clock says {_said(now)}, but raw has what was received at {_said(row['received_at'])}."
            f" Correct the clock, and run the same command again. If it is right, it was wrong then: {without},"
            " delete raw, and run `trading-data replay`"
        )


def _said(moment: datetime) -> str:
    return f"{moment.astimezone(EXCHANGE_ZONE):%Y-%m-%d %H:%M} IST"


def extract(  # noqa: C901 One loop that must also end well when it is interrupted.
    requests: Sequence[Request],
    sources: Mapping[str, Source],
    archive: Archive,
    warehouse: Callable[[], Warehouse],
    extraction: Extraction,
    clock: Clock,
    stop: threading.Event,
    progress: Callable[[int, int], None],
    first_wait: float = FIRST_WAIT,
) -> None:
    """Send all requests, and return when they are answered and landed.

    Args:
        requests: what to ask for.
        sources: the providers, by id.
        archive: where each batch is written before it is loaded into raw.
        warehouse: returns the warehouse; called when the first answers have come, so that requests begin while it
            starts.
        extraction: collects the results; a run may call this several times with it.
        clock: the time, with zone.
        stop: if it is set, no further request is sent.
        progress: called after each answer with the number of requests done, and of all.
        first_wait: seconds before a second attempt, at most.

    Raises:
        PipelineError: the archive or the warehouse failed, or the clock is wrong. What was landed before stays; run it
            again for the rest.
        KeyboardInterrupt: the run was stopped; what had been answered is landed.
    """
    answers: queue.SimpleQueue[Answered] = queue.SimpleQueue()
    threads: list[threading.Thread] = []
    for of_source in by_source(requests):
        asking = Asking(sources[of_source.source_id], clock, stop, answers, extraction, first_wait)
        threads += asking.start(of_source)
    landing: _Landing | None = None
    waiting: list[Answered] = []
    done = 0
    progress(0, len(requests))
    try:
        opened = warehouse()
        _check_clock(archive, opened, clock())
        landing = _Landing(archive, opened, extraction, requests)
        _log.info("read what raw holds", days_of_symbols=landing.held())
        while done < len(requests):
            try:
                waiting.append(answers.get(timeout=1.0))
                done += 1
                progress(done, len(requests))
            except queue.Empty:
                if answers.empty() and not any(thread.is_alive() for thread in threads):
                    raise PipelineError(
                        f"{len(requests) - done} requests were given up without an answer; run it again for the rest"
                    ) from None
            if landing.is_due(waiting):
                # Taken off the list first, so that it is not landed twice after an error. What fails while it lands is
                # found in the archive, or requested again, by the next run.
                landed, waiting = waiting, []
                landing.land(landed)
    except KeyboardInterrupt:
        stop.set()
        deadline = time.monotonic() + _STOP_SECONDS
        while done < len(requests) and time.monotonic() < deadline and any(thread.is_alive() for thread in threads):
            try:
                waiting.append(answers.get(timeout=0.1))
                done += 1
            except queue.Empty:
                pass
        if landing is not None:
            landing.land(waiting)
        raise
    except BaseException:
        stop.set()
        raise
    landing.land(waiting)


class _Landing:
    """Archives and loads answers, one batch for each raw table at a time."""

    def __init__(
        self, archive: Archive, warehouse: Warehouse, extraction: Extraction, requests: Sequence[Request]
    ) -> None:
        self._archive = archive
        self._warehouse = warehouse
        self._extraction = extraction
        self._received = _received(warehouse, requests)
        self._landed_at = time.monotonic()

    def held(self) -> dict[str, int]:
        """The number of bars (symbol and day) that raw already holds of what is asked for, by raw table."""
        return {name: received.day_count for name, received in self._received.items()}

    def is_due(self, waiting: Sequence[Answered]) -> bool:
        """Whether enough rows have come, or enough time has passed, since the last landing."""
        rows = sum(table.num_rows for answered in waiting for table in answered.rows.values())
        return rows >= _LANDING_ROWS or (bool(waiting) and time.monotonic() - self._landed_at >= _LANDING_SECONDS)

    def land(self, waiting: Sequence[Answered]) -> None:
        """Land the rows that raw lacks, and the ledger."""
        if not waiting:
            return
        # The batch gets the time of its earliest answer, so that no bar seems to have been received later than it was.
        extracted_at = min(answered.answered_at for answered in waiting)
        by_table: dict[str, list[pa.Table]] = defaultdict(list)
        entries: list[LedgerEntry] = []
        for answered in waiting:
            for name, rows in answered.rows.items():
                received = self._received.get(name)
                # Each answer by itself: between two answers about one symbol are days that nobody asked for.
                unread = answered.rows.unread
                by_table[name].append(received.new_rows(rows, extracted_at, unread) if received else rows)
            entries += answered.entries()
        ledger = [asdict(entry) for entry in entries]
        by_table[EXTRACT_REQUESTS.name] = [pa.Table.from_pylist(ledger, EXTRACT_REQUESTS.provider_columns)]
        # Everything is archived before anything is loaded: if a load fails, the next run finds the batches.
        batches = []
        for name, tables in by_table.items():
            rows = pa.concat_tables(tables)
            if rows.num_rows:
                batches.append(self._archived(RAW_TABLES[name], rows, extracted_at))
        note_landing(self._warehouse, batches)
        for batch in batches:
            load(self._warehouse, [batch])
            self._extraction.landed_rows[batch.table.name] += batch.rows.num_rows
            if "is_withdrawn" in batch.rows.schema.names:
                self._extraction.withdrawn_bars += pc.sum(batch.rows["is_withdrawn"], min_count=0).as_py()
            _log.info("batch landed", raw_table=batch.table.name, rows=batch.rows.num_rows, path=batch.path)
        self._extraction.entries += entries
        for answered in waiting:
            source_id = str(answered.request.table.source_id)
            self._extraction.requests[source_id] += answered.attempts > 0
            self._extraction.failed_requests[source_id] += answered.attempts > 0 and answered.error is not None
        self._landed_at = time.monotonic()

    def _archived(self, table: RawTable, rows: pa.Table, extracted_at: datetime) -> Batch:
        part = self._extraction.parts[table.name]
        # The number is taken before the write, so that a run that is stopped here never writes another batch under it.
        self._extraction.parts[table.name] = part + 1
        path = self._archive.write(table, rows, self._extraction.run_id, part, extracted_at)
        return self._archive.read(path)


def _received(warehouse: Warehouse, requests: Sequence[Request]) -> dict[str, Received]:
    """What raw already holds of what is asked for, by raw table."""
    asked: dict[str, list[Request]] = defaultdict(list)
    for request in requests:
        for table in _answering_tables(request.table):
            asked[table].append(request)
    return {
        name: Received.read(
            warehouse,
            RAW_TABLES[name],
            {instrument.symbol for request in of_table for instrument in request.instruments},
            min(request.first for request in of_table),
            max(request.last for request in of_table),
        )
        for name, of_table in asked.items()
    }


def _answering_tables(table: RawTable) -> list[str]:
    """The raw tables that an answer to a request for this table fills, if received rows are compared with new ones."""
    names = {"yahoo_daily_bars": ["yahoo_daily_bars", "yahoo_corporate_actions"]}.get(table.name, [table.name])
    return [name for name in names if RAW_TABLES[name].values]
