"""What is judged in a window, by the bars of all shares or by the exchange's record, is what a full build judges."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from extract.landing.raw import KITE_DAILY_BARS, NSE_DAILY_BARS, YAHOO_DAILY_BARS
from extract.landing.raw_table import RawTable
from extract.seeds import EXCHANGE_ZONE, Instrument, listed_instruments, trading_sessions
from tests.conftest import Pipeline, write_bars
from tests.extract.conftest import assert_as_one_full_build

SESSIONS = [session.trade_date for session in trading_sessions(date(2024, 2, 1), date(2024, 7, 31))]
INSTRUMENTS = [i for i in listed_instruments() if i.listed_on < SESSIONS[0] and i.delisted_on > SESSIONS[-1]][:60]
# The first of a month: what the session before it is worth changes with it, and lies in another month.
LOST, LATER_LOST = date(2024, 4, 1), date(2024, 6, 12)
SPLIT_ON = date(2024, 5, 15)
SPLIT = INSTRUMENTS[0]


@dataclass
class Told:
    """Batches with times of receipt one after the other, after all sessions."""

    pipeline: Pipeline
    count: int = 0

    def bars(
        self,
        table: RawTable,
        days: Sequence[date],
        instruments: Sequence[Instrument],
        lost: Collection[date] = (),
        doubled_before: date = date.min,
    ) -> None:
        self.count += 1
        received = datetime(2024, 8, 1, 10, tzinfo=EXCHANGE_ZONE) + timedelta(hours=self.count)
        rows = []
        for number, instrument in enumerate(INSTRUMENTS):
            if instrument not in instruments:
                continue
            for day in days:
                row = bar(number, day, is_lost=day in lost and number % 3 == 0)
                if day < doubled_before:
                    row |= {name: row[name] * 2 for name in ("open", "high", "low", "close")}
                if table is NSE_DAILY_BARS:
                    row |= {"date": day, "series": "EQ"}
                rows.append(row | {"symbol": instrument.symbol})
        write_bars(self.pipeline.archive, table, f"batch-{self.count}", received, *rows)


def bar(number: int, day: date, *, is_lost: bool) -> dict[str, Any]:
    """A bar whose price moves each day; if it is lost, its prices are the close of the session before."""
    position = SESSIONS.index(day)
    close = close_of(number, position)
    prices = dict.fromkeys(("open", "high", "low", "close"), close_of(number, position - 1))
    if not is_lost:
        prices = {"open": close - 1, "high": close + 1, "low": close - 2, "close": close}
    time = datetime.combine(day, datetime.min.time(), EXCHANGE_ZONE)
    return {"date": time, **prices, "volume": 1000 + 10 * position}


def close_of(number: int, position: int) -> float:
    return 500.0 + 5 * number + (position * (7 + number)) % 11


def suspects(pipeline: Pipeline) -> list[tuple[Any, ...]]:
    return pipeline.query(
        "select source_id, reason, trade_date from `{d}_intermediate.int_suspect_sessions__found` order by 3"
    )


def steps(pipeline: Pipeline) -> list[tuple[Any, ...]]:
    return pipeline.query(
        "select symbol, source_ids, share_ratio, ex_date from `{d}_intermediate.int_exchange_steps__found`"
    )


def test_sessions_and_steps_of_windows_are_those_of_one_full_build(
    built_pipeline: Pipeline, pipeline: Pipeline
) -> None:
    stepwise = replace(built_pipeline, runs_data_tests=False)
    told = Told(stepwise)

    def build() -> None:
        stepwise.replay()
        assert stepwise.build().window_start is not None

    told.bars(YAHOO_DAILY_BARS, SESSIONS[:-30], INSTRUMENTS, lost=[LOST])
    told.bars(KITE_DAILY_BARS, SESSIONS[:-30], INSTRUMENTS[:3])
    build()
    assert suspects(stepwise) == [("yahoo", "lost", LOST)]
    assert steps(stepwise) == []
    # A window that does not hold that session, and in which a later one is lost.
    told.bars(YAHOO_DAILY_BARS, SESSIONS[-30:], INSTRUMENTS)
    told.bars(KITE_DAILY_BARS, SESSIONS[-30:], INSTRUMENTS[:3])
    told.bars(YAHOO_DAILY_BARS, [LATER_LOST], INSTRUMENTS, lost=[LATER_LOST])
    build()
    assert suspects(stepwise) == [("yahoo", "lost", LOST), ("yahoo", "lost", LATER_LOST)]
    # The first one is corrected, and a record of one share comes: with a split that both sources have taken out of
    # their past, and then without it.
    told.bars(YAHOO_DAILY_BARS, [LOST], INSTRUMENTS)
    told.bars(NSE_DAILY_BARS, SESSIONS, [SPLIT], doubled_before=SPLIT_ON)
    build()
    assert suspects(stepwise) == [("yahoo", "lost", LATER_LOST)]
    assert steps(stepwise) == [(SPLIT.symbol, "kite,yahoo", 2.0, SPLIT_ON)]
    told.bars(NSE_DAILY_BARS, SESSIONS, [SPLIT])
    build()
    assert steps(stepwise) == []
    whole = replace(pipeline, archive_dir=stepwise.archive_dir, runs_data_tests=False)
    expected = assert_as_one_full_build(stepwise, whole)
    assert len(expected["intermediate.int_suspect_sessions__found"]) == 1
    assert len(expected["intermediate.int_exchange_sessions"]) == len(SESSIONS)
