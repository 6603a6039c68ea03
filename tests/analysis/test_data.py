"""The module for Python: what it gives, what was known on a day, and what it refuses."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest

from extract.data import actions, bars, universe, wide
from tests.analysis.conftest import SYMBOLS
from tests.conftest import Pipeline


@pytest.fixture(autouse=True)
def _of_the_market(market: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in market.environment.items():
        monkeypatch.setenv(name, value)


def values(table: pa.Table, *columns: str) -> list[tuple[Any, ...]]:
    return list(zip(*(table[column].to_pylist() for column in columns), strict=True))


def test_bars_are_those_of_the_mart(market: Pipeline) -> None:
    table = bars(["tcs", "INFY.NS"], "2024-07-01", date(2024, 7, 31))
    expected = market.query(
        "select symbol, trade_date, cast(open as float64), cast(high as float64), cast(low as float64),"
        " cast(close as float64), cast(adjusted_close as float64), volume, source_id, is_provisional"
        " from `{d}.daily_bars` where symbol in ('TCS', 'INFY') and trade_date between '2024-07-01' and '2024-07-31'"
        " order by symbol, trade_date"
    )
    assert values(table, *table.column_names) == expected
    assert len(expected) > 40
    assert table.schema.field("close").type == pa.float64()
    assert set(bars()["symbol"].to_pylist()) == {*SYMBOLS, "VOLTAS"}


def test_as_traded_they_are_in_shares_of_each_day() -> None:
    for table in (bars("VOLTAS", adjusted=False), bars("VOLTAS", as_of="2025-05-01", adjusted=False)):
        told = values(table, "trade_date", "close", "volume")
        assert told[-3:] == [
            (date(2024, 6, 26), 986.0, 1000),
            (date(2024, 6, 27), 987.0, 1000),
            (date(2024, 6, 28), 494.0, 2000),
        ]


@pytest.mark.parametrize(
    ("as_of", "last", "before"),
    [
        # Received on the evening of the 25th. Nobody knows of the dividend of the 26th, nor of the split of the 28th.
        ("2024-06-25", (date(2024, 6, 25), 1025.0, 1025.0, 1000), 1024.0),
        # The split comes after, and changes nothing. The dividend was told of on the evening of the 26th.
        ("2024-06-27", (date(2024, 6, 27), 987.0, 987.0, 1000), 1024.0),
        # At noon of the 28th the split has happened, and is not yet told of; in the evening it is.
        (datetime(2024, 6, 28, 6, 30, tzinfo=UTC), (date(2024, 6, 27), 987.0, 987.0, 1000), 1024.0),
        ("2024-06-28", (date(2024, 6, 27), 493.5, 493.5, 2000), 512.0),
        # What was sent then is in the new shares already, and is not divided again.
        ("2024-06-30", (date(2024, 6, 28), 494.0, 494.0, 2000), 512.0),
    ],
)
def test_as_of_a_day_no_later_split_changes_a_price(
    as_of: str | datetime, last: tuple[Any, ...], before: float
) -> None:
    table = bars("VOLTAS", as_of=as_of)
    assert values(table, "trade_date", "close", "adjusted_close", "volume")[-1] == last
    assert (date(2024, 6, 24), before) in values(table, "trade_date", "close")


def test_as_of_a_day_a_dividend_counts_from_when_it_was_known() -> None:
    adjusted = dict(values(bars("VOLTAS", as_of="2024-06-27"), "trade_date", "adjusted_close"))
    assert adjusted[date(2024, 6, 25)] == pytest.approx(985.0, abs=0.001)
    told = values(actions("VOLTAS", as_of="2024-06-27"), "kind", "ex_date")
    assert told == [("dividend", date(2024, 6, 26))]
    assert values(actions("VOLTAS", as_of=datetime(2024, 6, 26, 4, tzinfo=UTC)), "kind") == []


def test_as_of_today_is_what_the_mart_has() -> None:
    # Where the sources did not err: as sent, nothing is mended.
    for symbol in ("ABB", "VOLTAS"):
        now = {row[0]: row[1:] for row in values(bars(symbol), "trade_date", "close", "adjusted_close", "source_id")}
        then = values(bars(symbol, as_of="2026-01-01"), "trade_date", "close", "adjusted_close", "source_id")
        assert [row for row in then if row[0] in now and now[row[0]] != row[1:]] == []
        assert len(then) >= len(now) > 0


def test_a_panel_has_a_column_for_each_symbol_and_nulls_where_there_is_no_bar() -> None:
    # ZYDUSLIFE is one of ours, and is not in this market.
    panel = wide("close", ["ZYDUSLIFE", "TCS", "abb"], "2025-04-29")
    assert panel.column_names == ["trade_date", "ABB", "TCS", "ZYDUSLIFE"]
    assert panel["ZYDUSLIFE"].to_pylist() == [None, None]
    assert panel["trade_date"].to_pylist() == [date(2025, 4, 29), date(2025, 4, 30)]
    assert panel["TCS"].to_pylist()[1] is None
    assert panel["ABB"].to_pylist() == bars("ABB", "2025-04-29")["close"].to_pylist()


def test_a_universe_is_of_its_day_with_who_has_left() -> None:
    then = universe("Nifty 50", "2024-05-01")
    assert values(then, "symbol", "instrument_id", "list_date")[2] == ("GONE", None, date(2024, 3, 28))
    assert then["symbol"].to_pylist() == ["ABB", "ACC", "GONE"]
    assert universe("NIFTY 50", date(2025, 1, 1))["symbol"].to_pylist() == ["ABB", "BEL"]
    listed = universe(as_of="2024-09-13")["symbol"].to_pylist()
    assert "BAJAJHFL" not in listed
    assert "BAJAJHFL" in universe()["symbol"].to_pylist()


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: bars("NOBODY"), "NOBODY: not in seeds/instruments.csv"),
        (lambda: bars([]), "the list of symbols is empty"),
        (lambda: bars("TCS", "2024-02-01", "2024-01-01"), "start 2024-02-01 lies after end 2024-01-01"),
        (lambda: bars("TCS", "2024-13-01"), "'2024-13-01' is not a day"),
        (lambda: bars("TCS", as_of=datetime(2024, 1, 1)), "has no zone"),  # noqa: DTZ001 That is what is refused.
        (lambda: bars("TCS", as_of="2020-01-01"), "the first bar was received on 2024-06-25"),
        (lambda: wide("clos", "TCS"), "did you mean close?"),  # type: ignore[arg-type]
        (lambda: wide("symbol", "TCS"), "a panel cannot be of 'symbol'"),  # type: ignore[arg-type]
        (lambda: bars(5), "5 is neither a symbol nor a list of symbols"),  # type: ignore[arg-type]
        (lambda: bars(["TCS", 5]), "is neither a symbol nor a list of symbols"),  # type: ignore[list-item]
        (lambda: bars("TCS", as_of="2999-01-01"), "as_of 2999-01-01 lies in the future"),
        (lambda: actions("TCS", as_of=datetime(2999, 1, 1, tzinfo=UTC)), "lies in the future"),
        (lambda: universe("nifty 500"), "did you mean NIFTY 50?"),
        (lambda: universe("NIFTY 50", "2020-01-01"), "the first list of NIFTY 50 is of 2024-03-28"),
    ],
)
def test_what_means_nothing_is_refused(ask: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        ask()
