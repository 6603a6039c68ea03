"""Restatements of real prices by real events are found, each with its kind and its size, and nothing else is.

Nobody kept what Kite sent before each event. It is worked back here from what Kite sent after all of them, by Kite's
own rules: a split or bonus multiplies prices and divides volumes, a dividend of 2 % or more is taken off the prices.
"""

import csv
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import pyarrow.parquet as pq
import pytest

from extract.landing.raw import KITE_DAILY_BARS
from extract.seeds import EXCHANGE_ZONE
from infra.local.warehouse import running
from tests.conftest import Pipeline, write_bars
from tests.real_bars.importer import SHARED_DATA

# Yahoo reports these twice, on two days; the other day, or the other amount, is the true one.
REPEATED = {("HAL", date(2023, 9, 28)), ("TATASTEEL", date(2022, 6, 16))}

_SMALLEST_DIVIDEND = 0.02
_TICK = 0.05


@dataclass(frozen=True)
class Event:
    """A corporate action; the dividend in rupees of today's shares."""

    symbol: str
    ex_date: date
    share_ratio: float
    dividend: float


@dataclass(frozen=True)
class Candle:
    day: date
    open: float
    high: float
    low: float
    close: float
    volume: int


def _candles() -> dict[str, list[Candle]]:
    candles = defaultdict(list)
    for row in pq.read_table(SHARED_DATA / "kite_daily_40_symbols_2021-07_to_2024-06.parquet").to_pylist():
        prices = {name: row[name] for name in ("open", "high", "low", "close")}
        candles[row["symbol"]].append(Candle(date.fromisoformat(row["date"][:10]), **prices, volume=row["volume"]))
    return {symbol: sorted(of_symbol, key=lambda candle: candle.day) for symbol, of_symbol in candles.items()}


def _events(candles: dict[str, list[Candle]]) -> dict[str, list[Event]]:
    events = defaultdict(list)
    with (SHARED_DATA / "dividends_splits_749sym_to_2025-06-06.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            symbol, day = row["symbol"], date.fromisoformat(row["Date"][:10])
            before = [candle for candle in candles.get(symbol, []) if candle.day < day]
            if len(before) < 10 or day > date(2024, 6, 20) or (symbol, day) in REPEATED:
                continue
            share_ratio, dividend = float(row["Stock Splits"]), float(row["Dividends"])
            if share_ratio:
                events[symbol].append(Event(symbol, day, share_ratio, 0.0))
            if dividend / before[-1].close >= _SMALLEST_DIVIDEND:
                events[symbol].append(Event(symbol, day, 1.0, dividend))
    return {symbol: sorted(of_symbol, key=lambda event: event.ex_date) for symbol, of_symbol in events.items()}


def _without(event: Event, candles: list[Candle], later_ratio: float) -> list[Candle]:
    """The candles as they were before Kite took the event out of the past; rupees of the shares of that time."""

    def price(value: float) -> float:
        return round(round((value * event.share_ratio + event.dividend * later_ratio) / _TICK) * _TICK, 2)

    return [
        replace(
            candle,
            open=price(candle.open),
            high=price(candle.high),
            low=price(candle.low),
            close=price(candle.close),
            volume=round(candle.volume / event.share_ratio),
        )
        if candle.day < event.ex_date
        else candle
        for candle in candles
    ]


def _send(pipeline: Pipeline, symbol: str, candles: list[Candle], received: datetime) -> None:
    rows = [
        {"symbol": symbol, "date": datetime.combine(c.day, datetime.min.time(), EXCHANGE_ZONE)}
        | {name: getattr(c, name) for name in ("open", "high", "low", "close", "volume")}
        for c in candles
    ]
    run_id = f"{symbol.replace('&', '')}-{received:%Y%m%d}"
    write_bars(pipeline.archive, KITE_DAILY_BARS, run_id, received, *rows)


@pytest.fixture(scope="module")
def restated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Pipeline, list[Event]]]:
    """Each series as it was sent in the evening before each event, and on its morning."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real market data is not here")
    folder = tmp_path_factory.mktemp("restated")
    pipeline = Pipeline(folder / "archive", folder / "warehouse")
    candles = _candles()
    known: list[Event] = []
    for symbol, events in _events(candles).items():
        after, later_ratio = candles[symbol], 1.0
        days = [candle.day for candle in after]
        for event in reversed(events):
            before = _without(event, after, later_ratio)
            last = days[bisect_left(days, event.ex_date) - 1]
            # The evening before, when the last bar is provisional, and the morning of the day itself.
            for state, day, hour in ((before, last, 19), (after, event.ex_date, 9)):
                received = datetime.combine(day, datetime.min.time(), EXCHANGE_ZONE) + timedelta(hours=hour)
                _send(pipeline, symbol, [candle for candle in state if candle.day <= last], received)
            # In the rupees of the shares of its time.
            known.append(replace(event, dividend=event.dividend * later_ratio))
            after, later_ratio = before, later_ratio * event.share_ratio
    with running(pipeline.warehouse_dir):
        pipeline.replay()
        pipeline.build()
        yield pipeline, known


def test_every_event_is_found_with_its_kind_and_size_and_nothing_else(restated: tuple[Pipeline, list[Event]]) -> None:
    pipeline, events = restated
    found = {
        (symbol, ex_date): (kind, price_ratio, price_difference)
        for symbol, ex_date, kind, price_ratio, price_difference in pipeline.query(
            "select symbol, ex_date, kind, price_ratio, price_difference from `{d}.fct_price_restatements`"
        )
    }
    missed = []
    for event in events:
        kind, ratio, difference = found.pop((event.symbol, event.ex_date), (None, 0.0, None))
        if event.share_ratio != 1:
            is_right = kind == "share_event" and abs(ratio * event.share_ratio - 1) <= 0.005
        else:
            is_right = kind == "dividend" and abs(float(difference or 0) + event.dividend) <= 0.05
        if not is_right:
            missed.append((event, kind, ratio, difference))
    assert missed == []
    assert found == {}
    assert len(events) == 33


def test_the_current_series_is_what_came_last(restated: tuple[Pipeline, list[Event]]) -> None:
    pipeline, events = restated
    candles = _candles()
    last = {event.symbol: event.ex_date for event in sorted(events, key=lambda event: event.ex_date)}
    closes = {
        (symbol, day): float(close)
        for symbol, day, close in pipeline.query("select symbol, trade_date, close from `{d}.fct_daily_bars`")
    }
    expected = {(s, c.day): round(c.close, 2) for s, day in last.items() for c in candles[s] if c.day < day}
    assert closes == expected
