"""Kite and Yahoo apart, or both silent: the third opinion is asked, within its budget, and decides."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from extract.fetching.run import daily_plan, fetch
from extract.seeds import last_closed_session
from infra.local.market import draft_market
from infra.local.providers import Providers, serving
from tests.conftest import Pipeline
from tests.extract.conftest import FAST, Exchange

# The views count back from the present day.
NOW = datetime.now(UTC).replace(microsecond=0)
LAST = last_closed_session(NOW)


@pytest.fixture
def disputed() -> Iterator[tuple[Exchange, dict[str, int]]]:
    """Providers at odds: Yahoo is wrong about ABB, Kite about BEL, both lack a bar of TCS; and the days of that."""
    market = draft_market(first=LAST - timedelta(days=120), last=LAST, symbols=("ABB", "BEL", "TCS"))
    rows = {instrument.symbol: row for row, instrument in enumerate(market.instruments)}
    days = {"ABB": len(market.sessions) - 6, "BEL": len(market.sessions) - 8, "TCS": len(market.sessions) - 10}
    for bars, symbol in ((market.yahoo, "ABB"), (market.kite, "BEL")):
        for prices in (bars.open, bars.high, bars.low, bars.close):
            prices[rows[symbol], days[symbol]] = prices[rows[symbol], days[symbol]] * 103 // 100
    for bars in (market.kite, market.yahoo):
        bars.is_sent[rows["TCS"], days["TCS"]] = False
    with serving(Providers(market, limits=FAST)) as address:
        yield Exchange(Providers(market), address), days


def test_the_third_opinion_settles_disputes_within_its_budget(
    disputed: tuple[Exchange, dict[str, int]], built_pipeline: Pipeline
) -> None:
    pipeline = replace(built_pipeline, runs_data_tests=False)
    exchange, days = disputed
    sessions = exchange.market.sessions

    def disputes() -> list[tuple[object, ...]]:
        return pipeline.query(
            "select symbol, kind, verdict, is_asked, trade_date from `{d}_quality.quality_disputes` order by symbol"
        )

    def fetch_new(budget: str) -> list[str]:
        with exchange.run(pipeline, NOW, ALPHA_VANTAGE_REQUESTS_PER_DAY=budget) as job:
            plan = daily_plan(job)
            fetch(job, plan)
            return [r.instruments[0].symbol for r in plan if r.table.source_id == "alpha_vantage"]

    assert fetch_new("25") == []
    pipeline.build()
    abb, bel, tcs = (sessions[days[symbol]].trade_date for symbol in ("ABB", "BEL", "TCS"))
    assert disputes() == [
        ("ABB", "apart", "open", False, abb),
        ("BEL", "apart", "open", False, bel),
        ("TCS", "absent", "open", False, tcs),
    ]
    # The latest dispute comes first, and two requests are all that the day allows.
    assert fetch_new("2") == ["ABB", "BEL"]
    assert fetch_new("2") == []
    assert fetch_new("3") == ["TCS"]
    pipeline.build()
    assert disputes() == [
        ("ABB", "apart", "kite", True, abb),
        ("BEL", "apart", "yahoo", True, bel),
        ("TCS", "absent", "traded", True, tcs),
    ]
    assert fetch_new("25") == []
    chosen = pipeline.query(
        "select symbol, source_id, is_valid, 'is_not_outvoted' in unnest(failed_checks) from `{d}.fct_daily_bars`"
        f" where (symbol = 'ABB' and trade_date = '{abb}') or (symbol = 'BEL' and trade_date = '{bel}')"
        f" or (symbol = 'TCS' and trade_date = '{tcs}') order by symbol"
    )
    assert chosen == [("ABB", "kite", True, False), ("BEL", "yahoo", True, False)]
