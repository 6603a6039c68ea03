"""What a source restated is measured once, whole; a later build that has a part of it leaves it, or reaches back."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from extract.landing.raw import KITE_DAILY_BARS
from extract.seeds import EXCHANGE_ZONE, trading_sessions
from extract.warehouse import build as dbt_build
from tests.conftest import Pipeline, write_bars
from tests.extract.conftest import assert_as_one_full_build

DAYS = [session.trade_date for session in trading_sessions(date(2024, 3, 1), date(2024, 6, 28))]
JUNE = [day for day in DAYS if day.month == 6]
BEFORE_JUNE = [day for day in DAYS if day.month < 6]

# All bars are final at these moments, and the window of a batch of June alone begins on the first of June.
FIRST = datetime(2024, 7, 1, 18, tzinfo=EXCHANGE_ZONE)
SECOND = datetime(2024, 7, 2, 18, tzinfo=EXCHANGE_ZONE)
THIRD = datetime(2024, 7, 3, 18, tzinfo=EXCHANGE_ZONE)
FOURTH = datetime(2024, 7, 4, 18, tzinfo=EXCHANGE_ZONE)

RATIO = 0.97

RESTATEMENTS = (
    "select symbol, kind, bar_count, fitting_bar_count, first_trade_date, last_trade_date, detected_at"
    " from `{d}.fct_price_restatements` order by symbol, detected_at"
)


def _bars(days: Sequence[date], factor: float = 1, volume_factors: Sequence[float] = (1,)) -> list[dict[str, Any]]:
    rows = []
    for day in days:
        number = DAYS.index(day)
        close = round((1000 + 3 * (number % 7)) * factor, 2)
        rows.append(
            {
                "date": datetime.combine(day, datetime.min.time(), EXCHANGE_ZONE),
                "open": close,
                "high": close + 1,
                "low": close - 1,
                "close": close,
                "volume": round((100_000 + 100 * number) * volume_factors[number % len(volume_factors)]),
            }
        )
    return rows


def _send(pipeline: Pipeline, run_id: str, moment: datetime, bars: Mapping[str, list[dict[str, Any]]]) -> None:
    rows = [{"symbol": symbol, **row} for symbol, of_symbol in bars.items() for row in of_symbol]
    write_bars(pipeline.archive, KITE_DAILY_BARS, run_id, moment, *rows)


def _merge(pipeline: Pipeline, arrived: Pipeline) -> dbt_build.Build:
    """Let what was sent arrive, and build a window."""
    shutil.copytree(pipeline.archive_dir, arrived.archive_dir, dirs_exist_ok=True)
    arrived.replay()
    built = arrived.build()
    assert built.window_start is not None
    return built


@pytest.fixture
def arrived(built_pipeline: Pipeline, tmp_path: Path) -> Pipeline:
    """The pipeline whose builds have windows; ``pipeline`` has all that was sent, and makes one full build of it."""
    return replace(built_pipeline, archive_dir=tmp_path / "arrived", runs_data_tests=False)


def test_a_build_with_a_part_of_an_old_restatement_leaves_it(arrived: Pipeline, pipeline: Pipeline) -> None:
    whole = replace(pipeline, runs_data_tests=False)
    symbols = ("GAIL", "INFY", "TCS", "UPL")
    known, last = DAYS[:-1], DAYS[-1:]
    _send(whole, "first", FIRST, {symbol: _bars(known) for symbol in symbols})
    lowered = {symbol: _bars(known, RATIO) for symbol in ("INFY", "TCS")}
    # All volumes of June are doubled, and each one before them is changed otherwise: that is no event, but June is one.
    corrected = _bars(BEFORE_JUNE, 1, (1.1, 1.3, 1.5)) + _bars(JUNE[:-1], 1, (2,))
    _send(whole, "second", SECOND, {**lowered, "GAIL": corrected})
    _merge(whole, arrived)
    before = arrived.query(RESTATEMENTS)
    restated = ("dividend", len(known), len(known), known[0], known[-1], SECOND)
    assert before == [("INFY", *restated), ("TCS", *restated)]
    # The evening after it has the bar of the next day, a restatement of INFY's June, and a correction of UPL.
    _send(
        whole,
        "third",
        THIRD,
        {
            "TCS": _bars(last, RATIO),
            "GAIL": _bars(last),
            "INFY": _bars(JUNE, RATIO**2),
            "UPL": _bars(JUNE[3:4], 1.01),
        },
    )
    built = _merge(whole, arrived)
    assert built.window_start == date(2024, 6, 1)
    assert arrived.query(RESTATEMENTS) == [
        before[0],
        ("INFY", "dividend", len(JUNE) - 1, len(JUNE) - 1, JUNE[0], JUNE[-2], THIRD),
        before[1],
        ("UPL", "correction", 1, 1, JUNE[3], JUNE[3], THIRD),
    ]
    assert_as_one_full_build(arrived, whole)


class _Killed(Exception):
    pass


def test_a_batch_that_comes_late_changes_what_was_restated_after_it(
    arrived: Pipeline, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = replace(pipeline, runs_data_tests=False)
    symbols = ("ABB", "BEL", "DLF", "INFY", "ITC", "SBIN", "TCS")
    _send(whole, "first", FIRST, {symbol: _bars(DAYS if symbol != "BEL" else DAYS[:-5]) for symbol in symbols})
    parts = {"ITC": JUNE, "SBIN": BEFORE_JUNE}
    lowered = {symbol: _bars(parts.get(symbol, DAYS), RATIO) for symbol in symbols}
    _send(whole, "third", THIRD, lowered)
    _merge(whole, arrived)
    _send(whole, "fourth", FOURTH, {symbol: _bars(JUNE[-1:], RATIO) for symbol in symbols})
    _merge(whole, arrived)
    restated = ("dividend", len(DAYS), len(DAYS), DAYS[0], DAYS[-1], THIRD)
    counts = {"BEL": len(DAYS) - 5, "ITC": len(JUNE), "SBIN": len(BEFORE_JUNE)}
    assert [row[:3] for row in arrived.query(RESTATEMENTS) if row[-1] == THIRD] == [
        (symbol, "dividend", counts.get(symbol, len(DAYS))) for symbol in symbols
    ]
    # What comes late has June alone, and was received before the restatement, or with it.
    late = {
        # No bar of the restatement.
        "BEL": _bars(JUNE[-3:-2]),
        # The new past was already told: of some of the bars, and of all.
        "INFY": _bars(JUNE, RATIO),
        "ITC": _bars(JUNE, RATIO),
        # A bar at another price, which the restatement then replaced, and one that had been withdrawn.
        "TCS": _bars(JUNE[3:4], 1.05),
        "DLF": [{"date": _bars(JUNE[3:4])[0]["date"], "is_withdrawn": True}],
    }
    _send(whole, "second", SECOND, late)
    _send(whole, "third-too", THIRD, {"SBIN": _bars(JUNE[:-1], RATIO)})
    # The build dies before it notes what it has merged, so the next one merges the same again.
    with monkeypatch.context() as patch:
        patch.setattr(dbt_build, "note_merged", _die)
        with pytest.raises(_Killed):
            _merge(whole, arrived)
    _merge(whole, arrived)
    found = {row[0]: row[1:] for row in arrived.query(RESTATEMENTS) if row[1] != "correction"}
    assert found.pop("ABB") == found.pop("DLF") == restated
    assert found.pop("BEL")[1] == len(DAYS) - 4
    assert found.pop("INFY") == (*restated[:-1], SECOND)
    assert found.pop("ITC") == ("dividend", len(JUNE), len(JUNE), JUNE[0], JUNE[-1], SECOND)
    assert found.pop("SBIN") == ("dividend", len(DAYS) - 1, len(DAYS) - 1, DAYS[0], DAYS[-2], THIRD)
    assert found.pop("TCS") == ("dividend", len(DAYS), len(DAYS) - 1, *restated[3:])
    assert found == {}
    assert_as_one_full_build(arrived, whole)


def _die(*_: object) -> None:
    raise _Killed
