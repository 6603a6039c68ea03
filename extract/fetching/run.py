"""The scheduled job's steps: connect to the providers, ask for what is missing, and say how it went."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import structlog

from extract.errors import ConfigurationError, SourceRefused
from extract.fetching.extraction import extract, load_unloaded
from extract.fetching.holes import read_holes, told
from extract.fetching.ledger import Extraction, LedgerEntry
from extract.fetching.plan import (
    DAILY_BARS,
    by_source,
    daily_requests,
    deep_window,
    next_month,
    quote_requests,
    range_requests,
    third_opinion_requests,
)
from extract.fetching.received import restated_histories
from extract.landing.archive import Archive
from extract.landing.raw import KITE_QUOTES
from extract.seeds import EXCHANGE_ZONE, FIRST_DAY, Clock, Instrument, calendar_ends_on, source_order
from extract.settings import Settings
from extract.sources import Answer, Request, Source
from extract.sources.kite_session import access_token
from extract.sources.pace import FIRST_WAIT
from extract.warehouse.build import Build, build
from extract.warehouse.connection import Warehouse

_log = structlog.get_logger()

type Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Job:
    """A run and its state.

    Attributes:
        settings: of the command.
        instruments: whose bars are asked for.
        due: the last session that had closed when it began.
        calendar_ends_on: the last day for which it is known whether it is a session.
        run_id: on every row, ledger entry and log line of the run.
        archive: where each batch is written before it is loaded into raw.
        warehouse: returns the warehouse, with its raw tables; it may start while the first requests are under way.
        clock: the time, with zone.
        progress: called after each answer with the number of requests done, and of all.
        first_wait: seconds before a second attempt, at most.
        is_dry: nothing is fetched or loaded.
        extraction: what has come so far.
        builds: the builds so far.
        refused: the reason why raw cannot take an archived batch of the last days, by the batch's path.
    """

    settings: Settings
    instruments: Sequence[Instrument]
    due: date
    run_id: str
    archive: Archive
    warehouse: Callable[[], Warehouse]
    clock: Clock
    progress: Progress
    first_wait: float = FIRST_WAIT
    is_dry: bool = False
    calendar_ends_on: date = field(default_factory=calendar_ends_on)
    extraction: Extraction = field(init=False)
    builds: list[Build] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin with an empty extraction."""
        object.__setattr__(self, "extraction", Extraction(self.run_id))

    @property
    def today(self) -> date:
        """The exchange's date."""
        return self.clock().astimezone(EXCHANGE_ZONE).date()

    def prepared_warehouse(self) -> Warehouse:
        """The warehouse, after loading what an interrupted run archived and did not load."""
        warehouse = self.warehouse()
        if not self.is_dry:
            healed = load_unloaded(self.archive, warehouse, self.clock())
            self.refused.update(healed.refused)
        return warehouse


@dataclass(slots=True)
class Refusing:
    """Stands for a provider that cannot be asked until we correct something; it refuses each request with the reason.

    An example is Kite without a session.
    """

    source_id: str
    reason: SourceRefused
    workers: int = 1
    requests_per_second: float = 1.0

    def fetch(self, request: Request) -> Answer:  # noqa: ARG002
        """Refuse; see ``Source``."""
        raise self.reason

    def hold(self, seconds: float) -> None:
        """Do nothing: this source sends no requests."""


@contextmanager
def connected(
    settings: Settings, source_ids: Sequence[str], clock: Clock, stop: threading.Event
) -> Iterator[dict[str, Source]]:
    """Yield the sources by id. A source that cannot be asked refuses each request, so that the others still serve.

    Args:
        settings: addresses, keys and paces.
        source_ids: which sources; the clients of others are not imported.
        clock: the time, with zone.
        stop: if it is set, no source waits for its pace any more.
    """
    sources: dict[str, Source] = {}
    with ExitStack() as leave:
        if "kite" in source_ids:
            sources["kite"] = _kite(settings, clock, stop)
        if "yahoo" in source_ids:
            from extract.sources.yahoo import Yahoo

            yahoo = Yahoo(
                base_url=settings.yahoo.base_url,
                requests_per_second=settings.yahoo.requests_per_second,
                clock=clock,
                sleep=stop.wait,
            )
            leave.callback(yahoo.close)
            sources["yahoo"] = yahoo
        if "alpha_vantage" in source_ids:
            from extract.sources.alpha_vantage import AlphaVantage

            if settings.alpha_vantage.api_key:
                third = AlphaVantage(
                    settings.alpha_vantage.api_key,
                    base_url=settings.alpha_vantage.base_url,
                    clock=clock,
                    sleep=stop.wait,
                )
                leave.callback(third.close)
                sources["alpha_vantage"] = third
            else:
                reason = SourceRefused("Alpha Vantage is not configured: set ALPHA_VANTAGE_API_KEY", stops_source=True)
                sources["alpha_vantage"] = Refusing("alpha_vantage", reason)
        yield sources


def _kite(settings: Settings, clock: Clock, stop: threading.Event) -> Source:
    from extract.sources.kite import Kite

    try:
        token = access_token(settings.kite, clock())
    except SourceRefused as refused:
        return Refusing("kite", refused)
    except ConfigurationError as unusable:
        # The next source serves the day, and the report says why Kite did not.
        return Refusing("kite", SourceRefused(str(unusable), stops_source=True))
    assert settings.kite.api_key is not None
    return Kite(
        settings.kite.api_key,
        token,
        base_url=settings.kite.base_url,
        requests_per_second=settings.kite.requests_per_second,
        clock=clock,
        sleep=stop.wait,
    )


def expected_sources(settings: Settings) -> list[str]:
    """The sources that are asked for bars, the first choice first; without Kite if it has no key."""
    return [source_id for source_id in source_order() if source_id != "kite" or settings.kite.is_configured]


def daily_plan(job: Job, source: str = "auto") -> list[Request]:
    """Requests for what is new: to each source that serves bars, and to the third opinion within its budget.

    Raises:
        PipelineError: the warehouse failed.
    """
    warehouse = job.prepared_warehouse()
    if source == "alpha_vantage":
        return _third_opinions(job, warehouse)
    requests = daily_requests(warehouse, _source_ids(job, source), job.instruments, job.due, job.clock())
    if source == "auto" and job.settings.alpha_vantage.api_key:
        requests += _third_opinions(job, warehouse)
    return requests


def range_plan(job: Job, source: str, first: date, last: date, *, again: bool) -> list[Request]:
    """Requests for the part of a range that the sources have not answered yet.

    Raises:
        PipelineError: the warehouse failed.
    """
    warehouse = job.prepared_warehouse()
    if source == "alpha_vantage":
        return _third_opinions(job, warehouse)
    return range_requests(warehouse, _source_ids(job, source), job.instruments, first, last, job.clock(), again=again)


def quotes_plan(job: Job) -> list[Request]:
    """Requests for today's bar of all symbols: one or two for Kite's quotes; without Kite, one for each symbol."""
    if KITE_QUOTES.source_id in expected_sources(job.settings):
        return quote_requests(job.instruments, job.due, job.today)
    table = DAILY_BARS[expected_sources(job.settings)[0]]
    return [Request(table, (i,), job.due, job.today) for i in job.instruments if i.is_listed(job.due)]


def fetch(job: Job, requests: Sequence[Request]) -> None:
    """Send the planned requests, and land the answers.

    Raises:
        PipelineError: the archive or the warehouse failed.
        KeyboardInterrupt: the run was stopped; what had been answered is landed.
    """
    stop = threading.Event()
    source_ids = [planned.source_id for planned in by_source(requests)]
    with connected(job.settings, source_ids, job.clock, stop) as sources:
        extract(
            requests,
            sources,
            job.archive,
            job.warehouse,
            job.extraction,
            job.clock,
            stop,
            job.progress,
            job.first_wait,
        )


def fetch_quotes(job: Job, requests: Sequence[Request]) -> None:
    """Fetch the quotes; then, from the other sources in order, the bars of the symbols that had no quote.

    Raises:
        PipelineError: the archive or the warehouse failed.
        KeyboardInterrupt: the run was stopped; what had been answered is landed.
    """
    fetch(job, requests)
    # Only now, because the quotes are urgent.
    job.prepared_warehouse()
    asked = {planned.source_id for planned in by_source(requests)}
    for source_id in expected_sources(job.settings):
        table = DAILY_BARS[source_id]
        served = job.extraction.served(job.due)
        unserved = [
            Request(table, (instrument,), job.due, job.today)
            for instrument in job.instruments
            if instrument.symbol not in served and instrument.is_listed(job.due)
        ]
        if unserved and source_id not in asked:
            fetch(job, unserved)


def restated_plan(job: Job) -> list[Request]:
    """Requests for the histories that a provider has rewritten, as far as they were not asked for since.

    Raises:
        PipelineError: the warehouse failed.
    """
    warehouse = job.warehouse()
    # No provider serves the history of a delisted share any more.
    by_symbol = {instrument.symbol: instrument for instrument in job.instruments if instrument.is_listed(job.due)}
    requests: list[Request] = []
    for (source_id, symbol), (first, last) in restated_histories(warehouse).items():
        if symbol in by_symbol and source_id not in job.extraction.stopped:
            through = min(next_month(last) - timedelta(days=1), job.today)
            asked = ([source_id], [by_symbol[symbol]], first, through, job.clock())
            # The instruments dump must be requested only once.
            requests += [r for r in range_requests(warehouse, *asked, again=True) if r not in requests]
    return requests


def build_and_heal(job: Job, progress: Progress, *, is_hasty: bool = False) -> list[str]:
    """Build. If the build finds restatements, fetch the rewritten past and build again, so that it is on one scale.

    Args:
        job: what has been fetched.
        progress: called after each dbt node with the number of nodes done, and of all.
        is_hasty: leave a rewritten past to the next run.

    Returns:
        The symbols whose past was rewritten and has been fetched again.

    Raises:
        PipelineError: the archive or the warehouse failed, or dbt could not start.
        KeyboardInterrupt: the run was stopped; the next run continues.
    """
    built = build(job.settings, job.warehouse(), progress)
    job.builds.append(built)
    if built.failed or is_hasty or not (requests := restated_plan(job)):
        return []
    symbols = sorted({instrument.symbol for request in requests for instrument in request.instruments})
    _log.warning("past rewritten; asking for all of it", symbols=symbols, requests=len(requests))
    fetch(job, requests)
    if job.warehouse().unmerged_batches():
        job.builds.append(build(job.settings, job.warehouse(), progress))
    missing = {symbol for _, symbol in restated_histories(job.warehouse())}
    return [symbol for symbol in symbols if symbol not in missing]


def _third_opinions(job: Job, warehouse: Warehouse) -> list[Request]:
    budget = job.settings.alpha_vantage.requests_per_day
    return third_opinion_requests(warehouse, job.instruments, budget, job.clock())


def _source_ids(job: Job, source: str) -> list[str]:
    return expected_sources(job.settings) if source == "auto" else [source]


def shortfalls(job: Job, asked: tuple[date, date] | None = None) -> list[str]:
    """What was asked for and did not come, a sentence each; empty if nothing is missing.

    The third opinion does not count: it has a budget, and is asked again.

    Args:
        job: what was asked for.
        asked: the range that was asked for; None for what is new.
    """
    extraction, due = job.extraction, job.due
    order = expected_sources(job.settings)
    found = assumed_sessions(asked[1] if asked else due, job.calendar_ends_on)
    found += [f"{source}: given up. {reason}" for source, reason in extraction.stopped.items() if source in order]
    by_reason: dict[tuple[str, str, str], list[LedgerEntry]] = {}
    for entry in extraction.failures():
        if entry.source_id in order and entry.message != extraction.stopped.get(entry.source_id):
            by_reason.setdefault((entry.source_id, entry.outcome, str(entry.message)), []).append(entry)
    for (source, outcome, said), entries in by_reason.items():
        found.append(f"{source}: {outcome} for {_names([str(e.symbol or e.raw_table) for e in entries])}. {said}")
    for source, symbols in extraction.late(due).items():
        if source in order:
            found.append(f"{source}: answered without the bar of {due} for {_names(symbols)}")
    # A source that was not asked has sent the bar before.
    pairs = {(e.source_id, e.symbol) for e in extraction.entries if e.source_id in order and e.asked_to >= due}
    times_asked = Counter(symbol for _, symbol in pairs)
    served = extraction.served(due)
    unserved = [
        i.symbol
        for i in job.instruments
        if times_asked[i.symbol] >= len(order) and i.symbol not in served and i.is_listed(due)
    ]
    if unserved:
        found.append(f"no source sent the bar of {due} for {_names(unserved)}")
    return [*found, *(f"refused {path}: {reason}" for path, reason in job.refused.items())]


def assumed_sessions(last: date, ends_on: date) -> list[str]:
    """A sentence that sessions were assumed, and what to do; empty if the calendar reaches the last day asked for."""
    if last <= ends_on:
        return []
    year = ends_on.year + 1
    return [
        f"the trading calendar ends on {ends_on}: each weekday after it, to {last}, is assumed to be a session."
        f" Download the exchange's list of the holidays of {year}, and type: trading-data import FILE"
    ]


def holes_left(job: Job, source: str, asked: tuple[date, date] | None, since: datetime) -> list[str]:
    """The sessions for which the sources have sent no bar although they were asked, as sentences.

    Args:
        job: what was asked for.
        source: the source that was asked; ``auto`` for all that serve bars.
        asked: the range that was asked for; None for what is new, with the older holes that were due.
        since: when the run began; of older holes, only those count that were asked for since.

    Raises:
        PipelineError: the warehouse failed.
    """
    first, last = asked or (FIRST_DAY, deep_window(job.due) - timedelta(days=1))
    holes = read_holes(job.warehouse(), _source_ids(job, source), job.instruments, first, last)
    # ``shortfalls`` reports these already.
    empty = {(entry.source_id, entry.symbol) for entry in job.extraction.failures()}
    return told(
        hole for hole in holes if (hole.source_id, hole.symbol) not in empty and (asked or hole.last_asked_at >= since)
    )


def _names(symbols: Sequence[str]) -> str:
    shown = ", ".join(symbols[:8])
    return f"{len(symbols)} symbols ({shown}, ...)" if len(symbols) > 8 else shown
