"""The dashboard: one page for people, and the queries behind it, each bounded to what the page shows."""

import gzip
import hashlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi import Path as PathParameter
from fastapi.responses import Response
from google.cloud import bigquery
from pydantic import BaseModel

from extract.api.access import REFUSALS, Wrong, unavailable
from extract.errors import ConfigurationError, PipelineError
from extract.reporting.alerts import Alert
from extract.reporting.diagnosis import Run, read_runs
from extract.reporting.status import Status, read_status
from extract.seeds import Clock, exchange_date, listed_instruments
from extract.warehouse.connection import Warehouse

# Between builds, of which there are two a day, only the clock makes something wrong: a session that is late.
_KEPT_SECONDS = 900.0

# A symbol's sixteen years take 8 MB; the page asks for one after the other.
_KEPT_ANSWERS = 16

# As many statements at once: BigQuery answers each in about a second.
_STATEMENTS_AT_ONCE = 6

_SCORED_DAYS = 370
_COVERED_DAYS = 62
_LISTED = 20

_PAGE = Path(__file__).parent / "page"

# Nothing is loaded from elsewhere. The icon is empty data.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)


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
    """The bars of one session, a letter for each symbol in the order of ``Overview.symbols``.

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


class WeakBar(BaseModel):
    """A bar of the latest session that failed a check."""

    symbol: str
    source_id: str
    quality_score: float | None
    failed_checks: list[str]
    is_valid: bool
    trade_date: date


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


class Overview(BaseModel):
    """Everything on the page but a symbol's own panels."""

    read_at: datetime
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
    alerts: list[Alert]
    scores: list[SessionScore]
    symbols: list[str]
    coverage: list[SessionCoverage]
    sources: list[SourceCount]
    weak_bars: list[WeakBar]
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
    share_ratio: float | None
    dividend_amount: float | None
    reported_by: str | None
    inferred_from: str | None


class SymbolView(BaseModel):
    """A symbol's own panels."""

    symbol: str
    name: str | None
    sector: str | None
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
    # A session is one row of letters: 250 symbols of 40 sessions would be ten thousand rows.
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
    "symbols": "select symbol from `{marts}.dim_instruments` order by symbol",
    "sources": """
        select trade_date, source_id, count(*) as bar_count
        from `{marts}.fct_daily_bars`
        where trade_date >= @covered_from and is_valid
        group by trade_date, source_id
        order by trade_date, source_id
    """,
    "weak_bars": """
        select
            symbol, source_id, round(100 * passed_weight / applicable_weight, 2) as quality_score, failed_checks,
            is_valid, trade_date
        from `{marts}.fct_daily_bars`
        where trade_date >= @covered_from
        qualify trade_date = max(if(is_valid, trade_date, null)) over () and array_length(failed_checks) > 0
        order by quality_score, symbol
        limit {listed}
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
    "instrument": "select name, sector from `{marts}.dim_instruments` where symbol = @symbol",
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
            and adjusted.symbol = @symbol and adjusted.trade_date >= @shown_from
        where bars.symbol = @symbol and bars.trade_date >= @shown_from
        order by bars.trade_date
    """,
    "versions": """
        select trade_date, source_id, close, volume, is_provisional, known_from, known_to
        from `{marts}.fct_daily_bar_revisions`
        where symbol = @symbol and trade_date >= @shown_from
        qualify count(*) over (partition by source_id, trade_date) > 1
        order by trade_date desc, source_id, known_from
        limit 200
    """,
    "actions": """
        select ex_date, kind, share_ratio, dividend_amount, reported_by, inferred_from
        from `{marts}.fct_corporate_actions`
        where symbol = @symbol
        order by ex_date desc, kind
        limit 100
    """,
}


@dataclass(frozen=True, slots=True)
class _Kept:
    """An answer, with the build that it is of."""

    value: Any
    built_at: datetime | None
    made_at: float


class _Reader:
    """Answers from the warehouse, each kept until the next build, since they take seconds and several may look."""

    def __init__(self, warehouse: Callable[[], Warehouse], clock: Clock) -> None:
        self._warehouse = warehouse
        self._clock = clock
        # The last used last.
        self._kept: dict[object, _Kept] = {}
        self._changing = threading.Lock()
        self._locks = [threading.Lock() for _ in range(_KEPT_ANSWERS)]
        self._pool = ThreadPoolExecutor(_STATEMENTS_AT_ONCE, thread_name_prefix="dashboard")

    def kept[T](self, key: object, make: Callable[[], T], *, again: bool = False) -> T:
        """What was made since the last build, and not long ago; one of several that ask at once makes it.

        Args:
            key: of the answer.
            make: asks the warehouse.
            again: make it, whatever is kept.
        """
        with self._locks[hash(key) % len(self._locks)]:
            kept, now = self._kept.get(key), time.monotonic()
            built_at = self._warehouse().last_built_at()
            if again or kept is None or kept.built_at != built_at or now - kept.made_at > _KEPT_SECONDS:
                for old in [k for k, v in list(self._kept.items()) if now - v.made_at > _KEPT_SECONDS]:
                    self._kept.pop(old, None)
                kept = _Kept(make(), built_at, now)
            with self._changing:
                self._kept.pop(key, None)
                self._kept[key] = kept
                while len(self._kept) > _KEPT_ANSWERS:
                    del self._kept[next(iter(self._kept))]
        value: T = kept.value
        return value

    def warm(self) -> None:
        """Have the overview ready before somebody asks; where that fails, whoever asks is told."""
        with suppress(ConfigurationError, PipelineError):
            self.kept("overview", self.overview)

    def overview(self) -> Overview:
        """Everything but a symbol's own panels."""
        warehouse, now = self._warehouse(), self._clock()
        today = exchange_date(now)
        status = self._pool.submit(read_status, warehouse)
        runs = self._pool.submit(read_runs, warehouse, _LISTED)
        days = {
            "scored_from": today - timedelta(days=_SCORED_DAYS),
            "covered_from": today - timedelta(days=_COVERED_DAYS),
        }
        asked = self._asked(warehouse, _STATEMENTS, days)
        # First, because it says so where nothing was built.
        told: Status = status.result()
        rows = {name: answer.result() for name, answer in asked.items()}
        return Overview(
            read_at=now,
            **{name: getattr(told, name) for name in Overview.model_fields.keys() & _STATUS_FIELDS},
            scores=rows["scores"],
            symbols=[row["symbol"] for row in rows["symbols"]],
            coverage=rows["coverage"],
            sources=rows["sources"],
            weak_bars=rows["weak_bars"],
            restatements=rows["restatements"],
            disputes=rows["disputes"],
            runs=runs.result(),
        )

    def symbol(self, symbol: str, days: int) -> SymbolView:
        """A symbol's own panels, over so many days."""
        warehouse = self._warehouse()
        shown_from = exchange_date(self._clock()) - timedelta(days=days)
        asked = self._asked(warehouse, _SYMBOL_STATEMENTS, {"symbol": symbol, "shown_from": shown_from})
        rows = {name: answer.result() for name, answer in asked.items()}
        (instrument,) = rows["instrument"] or [{"name": None, "sector": None}]
        unscored = dict.fromkeys(("quality_score", "expected_bar_count", "missing_bar_count", "invalid_bar_count"))
        (score,) = rows["score"] or [unscored]
        return SymbolView(
            symbol=symbol,
            **instrument,
            **score,
            bars=rows["bars"],
            versions=rows["versions"],
            actions=rows["actions"],
        )

    def _asked(
        self, warehouse: Warehouse, statements: dict[str, str], values: dict[str, Any]
    ) -> dict[str, Future[Any]]:
        base = f"{warehouse.client.project}.{warehouse.dataset}"
        names = {"marts": base, "quality": f"{base}_quality", "listed": _LISTED}

        def ask(sql: str) -> list[dict[str, Any]]:
            parameters = [_parameter(name, value) for name, value in values.items() if f"@{name}" in sql]
            return [dict(row.items()) for row in warehouse.query(sql.format(**names), parameters)]

        return {name: self._pool.submit(ask, sql) for name, sql in statements.items()}


_STATUS_FIELDS = set(Status.__slots__) | {"is_degraded"}


def _parameter(name: str, value: str | date) -> bigquery.ScalarQueryParameter:
    return bigquery.ScalarQueryParameter(name, "DATE" if isinstance(value, date) else "STRING", value)


def dashboard_routes(warehouse: Callable[[], Warehouse], clock: Clock, allowed: Any, *, is_asked: bool) -> APIRouter:
    """The page, and what it asks for.

    Args:
        warehouse: gives the warehouse; it may fail.
        clock: the time, with zone.
        allowed: the dependency that lets a caller through.
        is_asked: whether it lets anybody through: else nothing is asked for beforehand.
    """
    reader = _Reader(warehouse, clock)
    symbols = {instrument.symbol for instrument in listed_instruments()}
    routes = APIRouter()
    of_data = APIRouter(prefix="/dashboard", dependencies=[allowed], responses=REFUSALS)

    @of_data.get("/overview")
    def overview(request: Request) -> Overview:
        """The state of the data, and what the panels show; anew since each build, or with Cache-Control: no-cache."""
        with unavailable():
            return reader.kept("overview", reader.overview, again=_asks_anew(request))

    @of_data.get("/symbols/{symbol}", responses={404: {"model": Wrong}})
    def of_symbol(
        request: Request,
        symbol: Annotated[str, PathParameter(max_length=30)],
        days: Annotated[int, Query(ge=30, le=6000, description="How far back the bars go.")] = 370,
    ) -> SymbolView:
        """A symbol's bars, the versions of those that have several, its actions and its score."""
        if symbol not in symbols:
            raise HTTPException(404, f"{symbol} is none of the instruments")
        with unavailable():
            return reader.kept((symbol, days), partial(reader.symbol, symbol, days), again=_asks_anew(request))

    if is_asked:
        threading.Thread(target=reader.warm, daemon=True).start()
    routes.include_router(of_data)
    for address, file, media_type, caching in (
        ("/", _PAGE / "index.html", "text/html", "no-cache"),
        ("/dashboard.js", _PAGE / "dashboard.js", "text/javascript", "no-cache"),
        ("/dashboard.css", _PAGE / "dashboard.css", "text/css", "no-cache"),
        # Another one comes with another release of the library alone.
        ("/lightweight-charts.js", _library(), "text/javascript", "max-age=86400"),
    ):
        # They hold no data: what they ask for is not given to everybody.
        routes.get(address, include_in_schema=False)(_Asset.read(file, media_type, caching).answer)
    return routes


def _asks_anew(request: Request) -> bool:
    return "no-cache" in request.headers.get("Cache-Control", "")


@dataclass(frozen=True, slots=True)
class _Asset:
    """A file of the page, read and compressed once, when the server starts."""

    content: bytes
    compressed: bytes
    headers: dict[str, str]

    @classmethod
    def read(cls, file: Path, media_type: str, caching: str) -> "_Asset":
        """Take it as it is now.

        Args:
            file: in UTF-8.
            media_type: what a browser is told that it is.
            caching: the Cache-Control.
        """
        content = file.read_bytes()
        headers = {
            "Content-Type": f"{media_type}; charset=utf-8",
            "Content-Security-Policy": _POLICY,
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": caching,
            "ETag": f'W/"{hashlib.sha256(content).hexdigest()[:32]}"',
            "Vary": "Accept-Encoding",
        }
        return cls(content, gzip.compress(content, mtime=0), headers)

    # Not in a thread: those may all be waiting for the warehouse.
    async def answer(self, request: Request) -> Response:
        """The file, or that the browser has it already."""
        if self.headers["ETag"] in request.headers.get("If-None-Match", ""):
            return Response(status_code=304, headers=self.headers)
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            return Response(self.compressed, headers=self.headers | {"Content-Encoding": "gzip"})
        return Response(self.content, headers=self.headers)


def _library() -> Path:
    """The script of the charts. Its package is only looked for: to import it would import pandas."""
    spec = find_spec("lwcharts")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "vendor" / "lightweight-charts.standalone.production.js"
