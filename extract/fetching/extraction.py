"""Ask all providers at once, each at its own pace; archive what they send, append it to raw, and keep the ledger.

A run may die at any point. The next run loads what was archived and not loaded, and asks again for what was not
archived, because raw does not hold it.
"""

import logging
import queue
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import structlog

from extract.errors import PipelineError, SourceRefused, SourceUnavailable
from extract.fetching.plan import PlannedSource, by_source
from extract.fetching.received import Received
from extract.landing.archive import Archive, Batch
from extract.landing.raw import EXTRACT_REQUESTS, RAW_TABLES, RawTable
from extract.seeds import EXCHANGE_ZONE, Clock, exchange_date
from extract.sources import Answer, Request, Source
from extract.sources.pace import FIRST_WAIT, LONGEST_WAIT, attempts
from extract.warehouse.connection import Warehouse
from extract.warehouse.replay import Replay, replay

_log = structlog.get_logger()

# A source that stayed unavailable for so many symbols in a row is down: the rest of its symbols would cost minutes of
# waiting each. With a fifth of all requests failing at random that happens once in 10^17 runs.
_DOWN_AFTER = 5

# Answers are landed after so many seconds, which bounds what is lost if the process is killed, or so many rows, which
# bounds a load job.
_LANDING_SECONDS = 15.0
_LANDING_ROWS = 60_000

# How long a stopped run waits for the requests that are under way. Cloud Run kills ten seconds after it asks.
_STOP_SECONDS = 3.0

# From the best to the worst.
_OUTCOMES = ("ok", "empty", "skipped", "unavailable", "refused")

_EMPTY = "the answer was empty, over days with sessions"

# How far back to look for archived batches that were never loaded, because their run was killed before the load.
_UNLOADED_DAYS = 7


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One row of the ledger: what became of one symbol's request; see the source ``extract_requests``."""

    source_id: str
    raw_table: str
    symbol: str | None
    outcome: str
    error_class: str | None
    message: str | None
    attempts: int
    elapsed_ms: int
    row_count: int
    first_date: date | None
    last_date: date | None
    asked_from: date
    asked_to: date
    requested_at: datetime


@dataclass(slots=True)
class Extraction:
    """What a run asked for, and the results.

    Attributes:
        run_id: on every row, ledger entry and log line of the run.
        entries: the ledger, in the order of the answers.
        landed_rows: the number of rows that raw did not hold before, by raw table.
        stopped: the reason why a source was given up, by source.
        seconds: from a source's first request to its last answer, by source.
        parts: the number of batches written, by raw table.
        requests: the number of requests sent, by source; one may be for many symbols, and a symbol may need several.
        failed_requests: how many of these were refused or not answered.
    """

    run_id: str
    entries: list[LedgerEntry] = field(default_factory=list)
    landed_rows: Counter[str] = field(default_factory=Counter)
    stopped: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    parts: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)
    failed_requests: Counter[str] = field(default_factory=Counter)

    def served(self, due: date) -> set[str]:
        """The symbols for which some source sent the bar of the due session, or a later one."""
        return {entry.symbol for entry in self.entries if entry.symbol and _reaches(entry, due)}

    def outcomes(self) -> dict[str, Counter[str]]:
        """The number of symbols by source and outcome; if a symbol was requested several times, the worst counts."""
        worst: dict[tuple[str, str], str] = {}
        for entry in self.entries:
            if entry.symbol:
                outcomes = (entry.outcome, worst.get((entry.source_id, entry.symbol), entry.outcome))
                worst[entry.source_id, entry.symbol] = max(outcomes, key=_OUTCOMES.index)
        counted: dict[str, Counter[str]] = defaultdict(Counter)
        for (source_id, _), outcome in worst.items():
            counted[source_id][outcome] += 1
        return counted

    def failures(self) -> list[LedgerEntry]:
        """The entries of the requests that were not answered with rows."""
        return [entry for entry in self.entries if entry.outcome != "ok"]

    def late(self, due: date) -> dict[str, list[str]]:
        """The symbols for which a source answered, but without the bar of the due session, by source."""
        late: dict[str, list[str]] = defaultdict(list)
        for entry in self.entries:
            if entry.symbol and entry.outcome == "ok" and entry.asked_to >= due and not _reaches(entry, due):
                late[entry.source_id].append(entry.symbol)
        return late


def _reaches(entry: LedgerEntry, due: date) -> bool:
    return entry.outcome == "ok" and entry.last_date is not None and entry.last_date >= due


def load_unloaded(archive: Archive, warehouse: Warehouse, now: datetime) -> Replay:
    """Load what earlier runs archived and did not load; return what was loaded and what was refused.

    Raises:
        PipelineError: the archive or the warehouse failed.
    """
    since = now.astimezone(EXCHANGE_ZONE).date() - timedelta(days=_UNLOADED_DAYS)
    healed = replay(archive, warehouse, lambda *_: None, since=since)
    if healed.loaded:
        _log.warning("batches of an interrupted run loaded", batches=healed.loaded, rows=healed.rows)
    return healed


def extract(
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
        PipelineError: the archive or the warehouse failed. What was landed before stays; run it again for the rest.
        KeyboardInterrupt: the run was stopped; what had been answered is landed.
    """
    answers: queue.SimpleQueue[_Answered] = queue.SimpleQueue()
    threads: list[threading.Thread] = []
    for of_source in by_source(requests):
        asking = _Asking(sources[of_source.source_id], clock, stop, answers, extraction, first_wait)
        threads += asking.start(of_source)
    landing: _Landing | None = None
    waiting: list[_Answered] = []
    done = 0
    progress(0, len(requests))
    try:
        landing = _Landing(archive, warehouse(), extraction, requests)
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


@dataclass(frozen=True, slots=True)
class _Answered:
    """A request with its result: rows, or the error of the last attempt."""

    request: Request
    rows: Answer
    outcome: str
    error: Exception | None
    attempts: int
    elapsed_ms: int
    requested_at: datetime
    answered_at: datetime

    def entries(self) -> Iterator[LedgerEntry]:
        """The rows of the ledger: one for each symbol of the request, or one for a provider's own list."""
        table = self.request.table
        assert table.source_id is not None
        rows = self.rows.get(table.name)
        symbols: list[str | None] = [instrument.symbol for instrument in self.request.instruments]
        for symbol in symbols or [None]:
            own = rows
            if rows is not None and symbol is not None and len(self.request.instruments) > 1:
                own = rows.filter(pc.equal(rows["symbol"], symbol))
            dates = _trade_dates(own, table) if own is not None else []
            count = own.num_rows if own is not None else 0
            is_empty = self.outcome == "ok" and not count
            # What was left out of an answer is recorded even if the rest is good.
            left_out = " ".join(f"{sentence}." for sentence in self.rows.left_out) or None
            message = str(self.error) if self.error else left_out or (_EMPTY if is_empty else None)
            yield LedgerEntry(
                source_id=table.source_id,
                raw_table=table.name,
                symbol=symbol,
                outcome="empty" if is_empty else self.outcome,
                error_class=type(self.error).__name__ if self.error else None,
                message=message,
                attempts=self.attempts,
                elapsed_ms=self.elapsed_ms,
                row_count=count,
                first_date=min(dates, default=None),
                last_date=max(dates, default=None),
                asked_from=self.request.first,
                asked_to=self.request.last,
                requested_at=self.requested_at,
            )


def _trade_dates(rows: pa.Table, table: RawTable) -> list[date]:
    if not table.dates or not rows.num_rows:
        return []
    # A row without a price is not a bar: on some evenings, Yahoo's last row is such a row.
    bounds = pc.min_max(rows.filter(pc.is_valid(rows["close"]))[table.dates[-1]]).as_py().values()
    return [exchange_date(moment) for moment in bounds if moment]


class _Asking:
    """The threads that send requests to one source, and the state that they share."""

    def __init__(
        self,
        source: Source,
        clock: Clock,
        stop: threading.Event,
        answers: "queue.SimpleQueue[_Answered]",
        extraction: Extraction,
        first_wait: float,
    ) -> None:
        self._first_wait = first_wait
        self._source = source
        self._clock = clock
        self._stop = stop
        self._answers = answers
        self._extraction = extraction
        self._log = _log.bind(source=source.source_id)
        self._lock = threading.Lock()
        self._unavailable_in_a_row = 0
        self._stopped: Exception | None = None
        self._unreached: set[str] = set()

    def start(self, planned: PlannedSource) -> list[threading.Thread]:
        """Start the threads. They are daemons, so that a stopped run does not wait for a silent provider."""
        waiting: queue.SimpleQueue[Request] = queue.SimpleQueue()
        for request in planned.requests:
            waiting.put(request)
        first_is_over = threading.Event()
        began = time.monotonic()
        threads = [
            threading.Thread(
                target=self._work,
                args=(waiting, number == 0, first_is_over, began),
                daemon=True,
                name=planned.source_id,
            )
            for number in range(min(self._source.workers, len(planned.requests)))
        ]
        for thread in threads:
            thread.start()
        return threads

    def _work(
        self, waiting: "queue.SimpleQueue[Request]", is_first: bool, first_is_over: threading.Event, began: float
    ) -> None:
        # A provider's own list (Kite's instruments dump) is requested first and alone: the other requests need it.
        if not is_first:
            first_is_over.wait()
        try:
            while not self._stop.is_set():
                request = waiting.get_nowait()
                if request.instruments:
                    first_is_over.set()
                self._answers.put(self._ask(request))
                first_is_over.set()
                self._extraction.seconds[self._source.source_id] = time.monotonic() - began
        except queue.Empty:
            return
        finally:
            first_is_over.set()

    def _ask(self, request: Request) -> _Answered:
        requested_at = self._clock()
        began = time.monotonic()
        number = 0
        rows = Answer({})
        error: Exception | None = self._stopped
        outcome = "skipped"
        if error is None:
            try:
                for attempt in attempts(self._stop, self._first_wait):
                    with attempt:
                        number = attempt.retry_state.attempt_number
                        rows = self._fetch(request, number)
                outcome = "ok"
            except SourceRefused as refused:
                error, outcome = refused, "refused"
            except SourceUnavailable as unavailable:
                error, outcome = unavailable, "unavailable"
            except Exception as unforeseen:
                # A fault in our code; it must not cost the other symbols.
                error, outcome = unforeseen, "unavailable"
                self._log.exception("request failed in an unforeseen way", raw_table=request.table.name)
            elapsed_ms = round(1000 * (time.monotonic() - began))
            if isinstance(error, SourceRefused | SourceUnavailable):
                self._tell(error, outcome, number, elapsed_ms, request)
            self._judge(error, outcome)
        elapsed_ms = round(1000 * (time.monotonic() - began))
        return _Answered(request, rows, outcome, error, number, elapsed_ms, requested_at, self._clock())

    def _fetch(self, request: Request, attempt: int) -> Answer:
        began = time.monotonic()
        described = _described(request) | {"attempt": attempt}
        try:
            rows = self._source.fetch(request)
        except (SourceRefused, SourceUnavailable) as error:
            elapsed_ms = round(1000 * (time.monotonic() - began))
            outcome = "refused" if isinstance(error, SourceRefused) else "unavailable"
            self._log.info("attempt failed", **described, outcome=outcome, elapsed_ms=elapsed_ms, reason=str(error))
            if isinstance(error, SourceUnavailable) and error.is_rate_limit and not _is_too_long(error):
                self._source.hold(error.retry_after or 2 * self._first_wait)
            raise
        elapsed_ms = round(1000 * (time.monotonic() - began))
        count = sum(table.num_rows for table in rows.values())
        self._log.info("request answered", **described, outcome="ok", elapsed_ms=elapsed_ms, rows=count)
        for sentence in rows.left_out:
            self._log.warning("part of an answer left out", **described, reason=sentence)
        return rows

    def _tell(
        self,
        error: SourceRefused | SourceUnavailable,
        outcome: str,
        attempt_count: int,
        elapsed_ms: int,
        request: Request,
    ) -> None:
        """Log a request that has failed for good. If the provider cannot be reached at all, warn only once."""
        reason = str(error)
        with self._lock:
            is_told = reason in self._unreached
            if isinstance(error, SourceUnavailable) and error.is_unreached:
                self._unreached.add(reason)
        if error.stops_source:
            # The log line "source given up" has the same reason.
            return
        self._log.log(
            logging.INFO if is_told else logging.WARNING,
            "request failed",
            **_described(request),
            outcome=outcome,
            attempts=attempt_count,
            elapsed_ms=elapsed_ms,
            reason=reason,
        )

    def _judge(self, error: Exception | None, outcome: str) -> None:
        """Give the source up if its error says so, or if it is down."""
        with self._lock:
            self._unavailable_in_a_row = self._unavailable_in_a_row + 1 if outcome == "unavailable" else 0
            is_down = self._unavailable_in_a_row >= _DOWN_AFTER
            is_over = getattr(error, "stops_source", False) or _is_too_long(error)
            if self._stopped is None and (is_down or is_over):
                self._stopped = error
                self._extraction.stopped[self._source.source_id] = str(error)
                self._log.error("source given up", outcome=outcome, reason=str(error))


def _described(request: Request) -> dict[str, object]:
    """The fields of a request in a log line."""
    symbols = [instrument.symbol for instrument in request.instruments]
    return {
        "raw_table": request.table.name,
        "symbol": symbols[0] if len(symbols) == 1 else None,
        "symbols": len(symbols),
    }


def _is_too_long(error: Exception | None) -> bool:
    """Whether the provider asks for a longer wait than a run allows."""
    return isinstance(error, SourceUnavailable) and (error.retry_after or 0) > LONGEST_WAIT


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

    def is_due(self, waiting: Sequence[_Answered]) -> bool:
        """Whether enough rows have come, or enough time has passed, since the last landing."""
        rows = sum(table.num_rows for answered in waiting for table in answered.rows.values())
        return rows >= _LANDING_ROWS or (bool(waiting) and time.monotonic() - self._landed_at >= _LANDING_SECONDS)

    def land(self, waiting: Sequence[_Answered]) -> None:
        """Land the rows that raw lacks, and the ledger."""
        if not waiting:
            return
        # The batch gets the time of its earliest answer, so that no bar seems to have been received later than it was.
        extracted_at = min(answered.answered_at for answered in waiting)
        by_table: dict[str, list[pa.Table]] = defaultdict(list)
        entries: list[LedgerEntry] = []
        for answered in waiting:
            for name, rows in answered.rows.items():
                by_table[name].append(rows)
            entries += answered.entries()
        ledger = [asdict(entry) for entry in entries]
        by_table[EXTRACT_REQUESTS.name] = [pa.Table.from_pylist(ledger, EXTRACT_REQUESTS.provider_columns)]
        # Everything is archived before anything is loaded: if a load fails, the next run finds the batches.
        batches = []
        for name, tables in by_table.items():
            rows = pa.concat_tables(tables)
            if name in self._received:
                rows = self._received[name].new_rows(rows, extracted_at)
            if rows.num_rows:
                batches.append(self._archived(RAW_TABLES[name], rows, extracted_at))
        self._warehouse.note_landing(batches)
        for batch in batches:
            self._warehouse.load([batch])
            self._extraction.landed_rows[batch.table.name] += batch.rows.num_rows
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
