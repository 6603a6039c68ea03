"""What the first screen shows: its shapes, and the statements that read them."""

from datetime import date, datetime

from pydantic import BaseModel, Field

from extract.api.verdict import Verdict
from extract.reporting.past_runs import Run


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
    """Where the data is stored, and the version of ``trading-data`` that serves it."""

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
    at_work: list[str] | None = Field(
        None,
        description="The id of the run that holds the lease: of the `runs` without an exit status, it is running, and"
        " the others were killed. Null where the lease cannot be read.",
    )


OVERVIEW_STATEMENTS = {
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
