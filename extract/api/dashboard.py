"""The routes that the page for people calls, and their queries, each limited to what the page shows."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import date, datetime, timedelta
from functools import partial
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi import Path as PathParameter
from google.cloud import bigquery
from pydantic import BaseModel

from extract.api.access import REFUSALS
from extract.api.days import Day, asked_days
from extract.api.kept import KeptAnswers
from extract.api.problems import Refusal, refusals, unavailable
from extract.api.symbols import our_symbol
from extract.api.verdict import Verdict, verdict_of
from extract.errors import ConfigurationError, PipelineError
from extract.reporting.diagnosis import Run, read_runs
from extract.reporting.status import Status, read_status
from extract.seeds import Clock, exchange_date
from extract.warehouse.connection import Warehouse

# So many statements are sent at once: BigQuery answers each in about a second.
_STATEMENTS_AT_ONCE = 6

_SCORED_DAYS = 370
_COVERED_DAYS = 62
_SHOWN_DAYS = 370
_LISTED = 20


class SessionScore(BaseModel):
    """A row of quality_scores_by_session."""

    trade_date: date
    quality_score: float | None
    expected_bar_count: int
    missing_bar_count: int
    valid_bar_count: int
    invalid_bar_count: int
    provisional_bar_count: int


class SessionCoverage(BaseModel):
    """The bars of one session, a letter for each symbol in the order of ``Overview.instruments``.

    ``p`` from the primary source, ``f`` from a fallback, ``i`` not valid, ``m`` missing, ``-`` not expected; upper case
    while it is provisional.
    """

    trade_date: date
    states: str


class SourceCount(BaseModel):
    """How many valid bars of a session a source served."""

    trade_date: date
    source_id: str
    bar_count: int


class UnusualBar(BaseModel):
    """A bar of the latest session that failed a check which most of its bars passed."""

    symbol: str
    source_id: str
    quality_score: float | None
    failed_checks: list[str]
    is_valid: bool
    trade_date: date


class CheckCount(BaseModel):
    """A row of the seed quality_checks, in part, with the bars that failed it in the latest session and recently."""

    check_id: str
    description: str
    severity: str
    latest_count: int
    recent_count: int


class Restatement(BaseModel):
    """A row of fct_price_restatements, in part."""

    symbol: str
    source_id: str
    kind: str
    price_ratio: float | None
    bar_count: int
    first_trade_date: date
    last_trade_date: date
    detected_at: datetime


class Dispute(BaseModel):
    """A row of quality_disputes."""

    symbol: str
    kind: str
    verdict: str
    kite_close: float | None
    yahoo_close: float | None
    third_close: float | None
    is_asked: bool
    trade_date: date


class InstrumentName(BaseModel):
    """The names by which a symbol can be found."""

    symbol: str
    name: str | None
    sector: str | None
    former_symbols: list[str]


class Environment(BaseModel):
    """Where the data is stored, and the release that shows it."""

    project: str
    dataset: str
    version: str


class Overview(BaseModel):
    """Everything on the page except a symbol's own panels."""

    read_at: datetime
    environment: Environment
    verdict: Verdict
    latest_trade_date: date | None
    due_trade_date: date
    assessed_trade_date: date | None
    sessions_behind: int | None
    is_degraded: bool
    latest_quality_score: float | None
    quality_score: float | None
    instrument_count: int
    record_count: int
    valid_record_count: int
    latest_valid_record_count: int
    latest_provisional_record_count: int
    latest_fallback_record_count: int
    scores: list[SessionScore]
    instruments: list[InstrumentName]
    coverage: list[SessionCoverage]
    sources: list[SourceCount]
    unusual_bars: list[UnusualBar]
    checks: list[CheckCount]
    restatements: list[Restatement]
    disputes: list[Dispute]
    runs: list[Run]


class Bar(BaseModel):
    """A row of fct_daily_bars, in part, with the adjusted close of daily_bars."""

    trade_date: date
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    adjusted_close: float | None
    volume: int | None
    source_id: str
    quality_score: float | None
    failed_checks: list[str]
    revision_count: int | None
    is_provisional: bool
    is_valid: bool


class Version(BaseModel):
    """A row of fct_daily_bar_revisions, of a bar that has several."""

    trade_date: date
    source_id: str
    close: float | None
    volume: int | None
    is_provisional: bool
    known_from: datetime
    known_to: datetime | None


class Action(BaseModel):
    """A row of fct_corporate_actions, in part."""

    ex_date: date
    kind: str
    status: str
    status_reason: str | None
    subject: str | None
    share_ratio: float | None
    reported_ratio: float | None
    dividend_amount: float | None
    reported_by: str | None
    inferred_from: str | None


class SymbolView(BaseModel):
    """A symbol's own panels."""

    symbol: str
    name: str | None
    sector: str | None
    former_symbols: list[str]
    shown_from: date
    shown_to: date
    quality_score: float | None
    expected_bar_count: int | None
    missing_bar_count: int | None
    invalid_bar_count: int | None
    bars: list[Bar]
    versions: list[Version]
    actions: list[Action]


_STATEMENTS = {
    "scores": """
        select
            trade_date, quality_score, expected_bar_count, missing_bar_count, valid_bar_count, invalid_bar_count,
            provisional_bar_count
        from `{quality}.quality_scores_by_session`
        where trade_date >= @scored_from
        order by trade_date
    """,
    # One row of letters a session: one row for each symbol would make ten thousand rows of 250 symbols and 40 sessions.
    "coverage": """
        with
        bars as (
            select symbol, state, is_provisional, trade_date
            from `{quality}.quality_coverage`
            where trade_date >= @covered_from
        ),
        sessions as (
            select trade_date from bars group by trade_date
        )
        select
            sessions.trade_date,
            string_agg(
                case
                    when bars.symbol is null then '-'
                    when bars.is_provisional then upper(left(bars.state, 1))
                    else left(bars.state, 1)
                end,
                '' order by instruments.symbol
            ) as states
        from sessions
        cross join `{marts}.dim_instruments` as instruments
        left join bars on sessions.trade_date = bars.trade_date and instruments.symbol = bars.symbol
        group by sessions.trade_date
        order by sessions.trade_date
    """,
    "instruments": "select symbol, name, sector, former_symbols from `{marts}.dim_instruments` order by symbol",
    "sources": """
        select trade_date, source_id, count(*) as bar_count
        from `{marts}.fct_daily_bars`
        where trade_date >= @covered_from and is_valid
        group by trade_date, source_id
        order by trade_date, source_id
    """,
    # A check that most bars of a session fail is left out: it depends on the hour, as in the evening no bar is final.
    "unusual_bars": """
        with
        latest as (
            select
                symbol, source_id, round(100 * passed_weight / applicable_weight, 2) as quality_score, failed_checks,
                is_valid, trade_date
            from `{marts}.fct_daily_bars`
            where trade_date >= @covered_from
            qualify trade_date = max(if(is_valid, trade_date, null)) over ()
        ),
        failures as (
            select latest.symbol, check_id, count(*) over (partition by check_id) as bar_count
            from latest
            cross join unnest(latest.failed_checks) as check_id
        ),
        unusual as (
            select symbol, array_agg(check_id order by check_id) as failed_checks
            from failures
            where bar_count <= 0.5 * (select count(*) from latest)
            group by symbol
        )
        select
            latest.symbol, latest.source_id, latest.quality_score, unusual.failed_checks, latest.is_valid,
            latest.trade_date
        from latest
        inner join unusual on latest.symbol = unusual.symbol
        order by latest.is_valid, latest.quality_score, latest.symbol
        limit {listed}
    """,
    "checks": """
        with
        bars as (
            select failed_checks, trade_date, max(if(is_valid, trade_date, null)) over () as latest_date
            from `{marts}.fct_daily_bars`
            where trade_date >= @covered_from
        ),
        failures as (
            select check_id, countif(bars.trade_date = bars.latest_date) as latest_count, count(*) as recent_count
            from bars
            cross join unnest(bars.failed_checks) as check_id
            group by check_id
        )
        select
            checks.check_id, checks.description, checks.severity,
            coalesce(failures.latest_count, 0) as latest_count, coalesce(failures.recent_count, 0) as recent_count
        from `{intermediate}.quality_checks` as checks
        left join failures on checks.check_id = failures.check_id
        order by recent_count desc, checks.check_id
    """,
    "restatements": """
        select symbol, source_id, kind, price_ratio, bar_count, first_trade_date, last_trade_date, detected_at
        from `{marts}.fct_price_restatements`
        order by detected_at desc, symbol
        limit {listed}
    """,
    "disputes": """
        select symbol, kind, verdict, kite_close, yahoo_close, third_close, is_asked, trade_date
        from `{quality}.quality_disputes`
        order by trade_date desc, symbol
        limit {listed}
    """,
}

_SYMBOL_STATEMENTS = {
    "instrument": "select name, sector, former_symbols from `{marts}.dim_instruments` where symbol = @symbol",
    "score": """
        select quality_score, expected_bar_count, missing_bar_count, invalid_bar_count
        from `{quality}.quality_scores_by_symbol`
        where symbol = @symbol
    """,
    "bars": """
        select
            bars.trade_date, bars.open, bars.high, bars.low, bars.close, adjusted.adjusted_close, bars.volume,
            bars.source_id, round(100 * bars.passed_weight / bars.applicable_weight, 2) as quality_score,
            bars.failed_checks, bars.revision_count, bars.is_provisional, bars.is_valid
        from `{marts}.fct_daily_bars` as bars
        left join `{marts}.daily_bars` as adjusted
            on bars.symbol = adjusted.symbol and bars.trade_date = adjusted.trade_date
            and adjusted.symbol = @symbol and adjusted.trade_date between @shown_from and @shown_to
        where bars.symbol = @symbol and bars.trade_date between @shown_from and @shown_to
        order by bars.trade_date
    """,
    "versions": """
        select trade_date, source_id, close, volume, is_provisional, known_from, known_to
        from `{marts}.fct_daily_bar_revisions`
        where symbol = @symbol and trade_date between @shown_from and @shown_to
        qualify count(*) over (partition by source_id, trade_date) > 1
        order by trade_date desc, source_id, known_from
        limit 200
    """,
    "actions": """
        select
            ex_date, kind, status, status_reason, subject, share_ratio, reported_ratio, dividend_amount, reported_by,
            inferred_from
        from `{marts}.fct_corporate_actions`
        where symbol = @symbol
        order by ex_date desc, kind
        limit 100
    """,
}


class Reader:
    """Reads what the page shows."""

    def __init__(self, warehouse: Callable[[], Warehouse], clock: Clock) -> None:
        """Read nothing yet; ``warehouse`` may fail."""
        self._warehouse = warehouse
        self._clock = clock
        self._answers = KeptAnswers(warehouse)
        self._pool = ThreadPoolExecutor(_STATEMENTS_AT_ONCE, thread_name_prefix="dashboard")

    def warm(self) -> None:
        """Read the overview before it is requested. An error is ignored here; the first request reports it."""
        with suppress(ConfigurationError, PipelineError, HTTPException):
            self.overview()

    def status(self, *, again: bool = False) -> Status:
        """The state of the data.

        Raises:
            PipelineError: the warehouse failed.
            Refusal: nothing was built yet.
        """
        return self._answers.kept("status", self._read_status, again=again)

    def overview(self, *, again: bool = False) -> Overview:
        """Everything except a symbol's own panels; raises what ``status`` raises."""
        return self._answers.kept("overview", partial(self._read_overview, again=again), again=again)

    def symbol(self, symbol: str, first: date | None, last: date | None, *, again: bool = False) -> SymbolView:
        """A symbol's own panels.

        Args:
            symbol: one of our symbols.
            first: the first day; None for about a year before the last.
            last: the last day; None for today.
            again: read it anew, even if an answer is kept.
        """
        first, last = asked_days(first, last, exchange_date(self._clock()), _SHOWN_DAYS)
        return self._answers.kept((symbol, first, last), partial(self._read_symbol, symbol, first, last), again=again)

    def _read_status(self) -> Status:
        warehouse = self._warehouse()
        if not warehouse.exists(f"{warehouse.dataset}_operations.operations_alerts"):
            raise Refusal(
                503,
                "nothing-built",
                f"There is no data in {warehouse.client.project}.{warehouse.dataset} yet. Run `trading-data run` to"
                " fetch it, or `trading-data replay` to rebuild it from an archive.",
            )
        return read_status(warehouse)

    def _read_overview(self, *, again: bool) -> Overview:
        warehouse, now = self._warehouse(), self._clock()
        today = exchange_date(now)
        # First, because it raises a clear error if nothing was built.
        status = self.status(again=again)
        runs = self._pool.submit(read_runs, warehouse, _LISTED)
        days = {
            "scored_from": today - timedelta(days=_SCORED_DAYS),
            "covered_from": today - timedelta(days=_COVERED_DAYS),
        }
        asked = self._asked(warehouse, _STATEMENTS, days)
        rows = {name: answer.result() for name, answer in asked.items()}
        return Overview(
            read_at=now,
            environment=Environment(
                project=warehouse.client.project, dataset=warehouse.dataset, version=version("trading-data")
            ),
            verdict=verdict_of(status),
            **{name: getattr(status, name) for name in Overview.model_fields.keys() & _STATUS_FIELDS},
            **rows,
            runs=runs.result(),
        )

    def _read_symbol(self, symbol: str, first: date, last: date) -> SymbolView:
        warehouse = self._warehouse()
        asked = self._asked(warehouse, _SYMBOL_STATEMENTS, {"symbol": symbol, "shown_from": first, "shown_to": last})
        rows = {name: answer.result() for name, answer in asked.items()}
        (instrument,) = rows["instrument"] or [{"name": None, "sector": None, "former_symbols": []}]
        unscored = dict.fromkeys(("quality_score", "expected_bar_count", "missing_bar_count", "invalid_bar_count"))
        (score,) = rows["score"] or [unscored]
        return SymbolView(
            symbol=symbol,
            **instrument,
            **score,
            shown_from=first,
            shown_to=last,
            bars=rows["bars"],
            versions=rows["versions"],
            actions=rows["actions"],
        )

    def _asked(
        self, warehouse: Warehouse, statements: dict[str, str], values: dict[str, Any]
    ) -> dict[str, Future[Any]]:
        base = f"{warehouse.client.project}.{warehouse.dataset}"
        names = {
            "marts": base,
            "quality": f"{base}_quality",
            "intermediate": f"{base}_intermediate",
            "listed": _LISTED,
        }

        def ask(sql: str) -> list[dict[str, Any]]:
            parameters = [_parameter(name, value) for name, value in values.items() if f"@{name}" in sql]
            return [dict(row.items()) for row in warehouse.query(sql.format(**names), parameters)]

        return {name: self._pool.submit(ask, sql) for name, sql in statements.items()}


_STATUS_FIELDS = set(Status.__slots__) - {"verdict"} | {"is_degraded"}


def _parameter(name: str, value: str | date) -> bigquery.ScalarQueryParameter:
    return bigquery.ScalarQueryParameter(name, "DATE" if isinstance(value, date) else "STRING", value)


def dashboard_routes(reader: Reader, *, is_asked: bool) -> APIRouter:
    """The routes that the page calls.

    Args:
        reader: reads the warehouse.
        is_asked: whether any caller can be let through; if not, the overview is not read in advance.
    """
    routes = APIRouter(prefix="/dashboard", tags=["Page"], responses=REFUSALS)

    @routes.get("/overview", summary="What the first screen shows")
    def overview(request: Request) -> Overview:
        """The verdict, the figures and the data of the panels. It is read anew after each run, or with `no-cache`."""
        with unavailable():
            return reader.overview(again=_asks_anew(request))

    @routes.get("/symbols/{symbol}", summary="What the page of a symbol shows", responses=refusals(404))
    def of_symbol(
        request: Request,
        symbol: Annotated[
            str,
            PathParameter(max_length=30, description="In any case.", openapi_examples={"tcs": {"value": "TCS"}}),
        ],
        first: Annotated[Day | None, Query(alias="from", description="The first day; by default a year ago.")] = None,
        last: Annotated[Day | None, Query(alias="to", description="The last day; by default today.")] = None,
    ) -> SymbolView:
        """A symbol's bars, the versions of bars that have several, its corporate actions and its score."""
        known = our_symbol(symbol)
        with unavailable():
            return reader.symbol(known, first, last, again=_asks_anew(request))

    if is_asked:
        threading.Thread(target=reader.warm, daemon=True).start()
    return routes


def _asks_anew(request: Request) -> bool:
    return "no-cache" in request.headers.get("Cache-Control", "")
