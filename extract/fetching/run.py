"""The scheduled job's steps: plan what is missing, fetch it, build, and fetch a past that a provider has rewritten."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import structlog

from extract.fetching.connected import asked_sources, connected, expected_sources
from extract.fetching.extraction import extract, load_unloaded
from extract.fetching.ledger import Extraction
from extract.fetching.plan import (
    DAILY_BARS,
    by_source,
    daily_requests,
    next_month,
    quote_requests,
    range_requests,
    third_opinion_requests,
)
from extract.fetching.received import restated_histories
from extract.landing.archive import Archive
from extract.landing.raw import KITE_QUOTES
from extract.seeds import EXCHANGE_ZONE, Clock, Instrument, calendar_ends_on
from extract.settings import Settings
from extract.sources import Request
from extract.sources.pace import FIRST_WAIT
from extract.warehouse.build import Build, build
from extract.warehouse.connection import Warehouse
from extract.warehouse.notes import unmerged_batches

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
        refused: the reason why raw cannot take an archived batch that it lacks, by the batch's path.
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


def daily_plan(job: Job, source: str = "auto") -> list[Request]:
    """Requests for what is new: to each source that serves bars, and to the third opinion within its budget.

    Raises:
        PipelineError: the warehouse failed.
    """
    warehouse = job.prepared_warehouse()
    if source == "alpha_vantage":
        return _third_opinions(job, warehouse)
    requests = daily_requests(warehouse, asked_sources(job.settings, source), job.instruments, job.due, job.clock())
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
    return range_requests(
        warehouse, asked_sources(job.settings, source), job.instruments, first, last, job.clock(), again=again
    )


def quotes_plan(job: Job) -> list[Request]:
    """Requests for today's bar of all symbols: one or two for Kite's quotes; without Kite, one for each symbol."""
    if KITE_QUOTES.source_id in expected_sources(job.settings):
        return quote_requests(job.instruments, job.due, job.today)
    table = DAILY_BARS[expected_sources(job.settings)[0]]
    return [Request(table, (i,), job.due, job.today) for i in job.instruments if i.is_listed(job.due)]


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


def _third_opinions(job: Job, warehouse: Warehouse) -> list[Request]:
    budget = job.settings.alpha_vantage.requests_per_day
    return third_opinion_requests(warehouse, job.instruments, budget, job.clock())


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
    asked: dict[str, None] = {}

    def heal() -> bool:
        """Fetch the rewritten past that was found; return whether any of it came."""
        if is_hasty or not (requests := restated_plan(job)):
            return False
        symbols = sorted({instrument.symbol for request in requests for instrument in request.instruments})
        _log.warning("past rewritten; asking for all of it", symbols=symbols, requests=len(requests))
        asked.update(dict.fromkeys(symbols))
        held = set(unmerged_batches(job.warehouse()))
        fetch(job, requests)
        return held != set(unmerged_batches(job.warehouse()))

    job.builds.append(build(job.settings, job.warehouse(), progress, refetch=heal))
    # A build of everything, and one that judges changed actions, show only at their end what was rewritten.
    if not job.builds[-1].failed and not asked and heal():
        job.builds.append(build(job.settings, job.warehouse(), progress))
    if not asked:
        return []
    missing = {symbol for _, symbol in restated_histories(job.warehouse())}
    return [symbol for symbol in asked if symbol not in missing]
