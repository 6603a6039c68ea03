"""What the page of a symbol shows: its shapes, and the statements that read them."""

from datetime import date, datetime

from pydantic import BaseModel


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


SYMBOL_STATEMENTS = {
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
