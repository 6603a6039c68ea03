"""Send the requests to a source at its own pace: try again, hold back, or give the source up."""

import logging
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime

import pyarrow as pa
import pyarrow.compute as pc
import structlog

from extract.errors import SourceRefused, SourceUnavailable
from extract.fetching.ledger import Extraction, LedgerEntry
from extract.fetching.plan import PlannedSource
from extract.landing.raw_table import RawTable
from extract.seeds import Clock, exchange_date
from extract.sources import Answer, Request, Source
from extract.sources.pace import LONGEST_WAIT, attempts

_log = structlog.get_logger()

# A source that stayed unavailable for so many symbols in a row is down: the rest of its symbols would cost minutes of
# waiting each. With a fifth of all requests failing at random that happens once in 10^17 runs.
_DOWN_AFTER = 5

_EMPTY = "the answer was empty, over days with sessions"


@dataclass(frozen=True, slots=True)
class Answered:
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
                is_daily=self.request.is_daily,
                requested_at=self.requested_at,
            )


def _trade_dates(rows: pa.Table, table: RawTable) -> list[date]:
    if not table.dates or not rows.num_rows:
        return []
    # A row without a price is not a bar: on some evenings, Yahoo's last row is such a row.
    bounds = pc.min_max(rows.filter(pc.is_valid(rows["close"]))[table.dates[-1]]).as_py().values()
    return [exchange_date(moment) for moment in bounds if moment]


class Asking:
    """The threads that send requests to one source, and the state that they share."""

    def __init__(
        self,
        source: Source,
        clock: Clock,
        stop: threading.Event,
        answers: "queue.SimpleQueue[Answered]",
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

    def _ask(self, request: Request) -> Answered:
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
        return Answered(request, rows, outcome, error, number, elapsed_ms, requested_at, self._clock())

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
