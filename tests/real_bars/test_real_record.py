"""The exchange's own record of 20 shares, in the form of its daily files, beside what Yahoo and Kite say of them."""

import csv
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from infra.local.warehouse import running
from tests.conftest import Pipeline
from tests.real_bars.importer import SHARED_DATA, import_real_bars, taken
from tests.real_bars.test_real_bars import LATER_BONUSES, REFERENCE, WRONG_SESSIONS

type Day = tuple[str, date]

_HEADINGS = "SYMBOL,SERIES,OPEN,HIGH,LOW,CLOSE,LAST,PREVCLOSE,TOTTRDQTY,TOTTRDVAL,TIMESTAMP,"


def _records() -> dict[date, dict[str, dict[str, Any]]]:
    """The record as it was traded, by session and symbol: the reference less its own splits and bonuses."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real market data is not here")
    splits = defaultdict(list)
    with (SHARED_DATA / "dividends_splits_749sym_to_2025-06-06.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if float(row["Stock Splits"]):
                splits[row["symbol"]].append((date.fromisoformat(row["Date"][:10]), float(row["Stock Splits"])))
    records: dict[date, dict[str, dict[str, Any]]] = defaultdict(dict)
    for row in pq.read_table(REFERENCE).to_pylist():
        symbol, day = row["symbol"], date.fromisoformat(row["Date"])
        ratio = prod(ratio for ex_date, ratio in splits[symbol] if day < ex_date) * LATER_BONUSES.get(symbol, 1)
        prices = {name: round(row[name] * ratio, 2) for name in ("Open", "High", "Low", "Close")}
        if row["Volume"]:
            records[day][symbol] = prices | {"Volume": round(row["Volume"] / ratio)}
    return records


def _write(folder: Path, day: date, record: dict[str, dict[str, Any]]) -> Path:
    rows = [
        f"{symbol},EQ,{bar['Open']},{bar['High']},{bar['Low']},{bar['Close']},{bar['Close']},{bar['Close']},"
        f"{bar['Volume']},{bar['Volume'] * bar['Close']:.2f},{day:%d-%b-%Y},".upper()
        for symbol, bar in sorted(record.items())
    ]
    path = folder / f"cm{f'{day:%d%b%Y}'.upper()}bhav.csv"
    path.write_text("\n".join([_HEADINGS, *rows, ""]))
    return path


class Judged:
    """The bars with half of the record, and with all of it."""

    def __init__(self, records: dict[date, dict[str, dict[str, Any]]], folder: Path, pipeline: Pipeline) -> None:
        """Build twice."""
        self.records = records
        (folder / "half").mkdir()
        (folder / "rest").mkdir()
        self.imported = set(np.random.default_rng(20).choice(sorted(records), len(records) // 2, replace=False))
        for day, record in records.items():
            _write(folder / ("half" if day in self.imported else "rest"), day, record)
        symbols = frozenset(symbol for record in records.values() for symbol in record)
        import_real_bars(pipeline.archive, symbols)
        taken(pipeline.archive, SHARED_DATA / "nse_ca_records_2020_2025.csv", as_of=date(2025, 9, 17))
        self.half = self._bars(pipeline, folder / "half")
        self.whole = self._bars(pipeline, folder / "rest")
        self.suspects = pipeline.query(
            "select source_id, trade_date, reason, compared_count, wrong_count"
            " from `{d}_quality.quality_suspect_sessions` order by 1, 2"
        )

    @staticmethod
    def _bars(pipeline: Pipeline, folder: Path) -> dict[Day, Any]:
        taken(pipeline.archive, folder)
        pipeline.replay()
        assert not pipeline.build().failed
        rows = pipeline.query(
            "select symbol, trade_date, source_id, cast(close as float64) / share_factor as traded,"
            " cast(close as float64) as close, share_factor from `{d}.daily_bars`"
        )
        names = ("source_id", "traded", "close", "share_factor")
        return {(symbol, day): dict(zip(names, values, strict=True)) for symbol, day, *values in rows}


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judged]:
    records = _records()
    folder = tmp_path_factory.mktemp("record")
    with running(folder / "warehouse"):
        yield Judged(records, folder, Pipeline(folder / "archive", folder / "warehouse"))


def test_every_bar_is_the_exchanges_where_it_has_one(judged: Judged) -> None:
    wrong = {}
    for day, record in judged.records.items():
        for symbol, bar in record.items():
            ours = judged.whole.get((symbol, day))
            if ours is None or ours["source_id"] != "nse" or abs(ours["traded"] / bar["Close"] - 1) > 0.0005:
                wrong[symbol, day] = (bar["Close"], ours)
    # A fall that the record alone shows may be a split: nobody here tells of these two demergers.
    assert set(wrong) == {("ADANIENT", date(2015, 6, 3)), ("ADANIENT", date(2018, 9, 6))}, wrong


# No other source of this data has these sessions, and each wrong close makes two wrong returns.
YAHOOS_WRONG_DAYS = {
    day: "Yahoo's wrong close, or the day after it"
    for session in WRONG_SESSIONS
    for day in (session + timedelta(days=number) for number in range(5))
}

# In the month of such an action, the record does not tell which days of a provider are before it.
UNSIZED_ACTIONS = {
    ("RELIANCE", 2023, 7): "a demerger",
    ("ADANIENT", 2018, 4): "a demerger",
    ("BHARTIARTL", 2021, 9): "rights",
    ("GAIL", 2017, 3): "a bonus, and the reference has other decimals",
}


def test_what_the_record_does_not_have_agrees_with_it(judged: Judged) -> None:
    """On returns, within 0.1 percentage points and the tick of 0.05 rupees that the reference is rounded to."""
    days = sorted(judged.records)
    compared, wrong, apart = 0, 0, []
    for last, day in pairwise(days):
        for symbol in judged.records[day].keys() & judged.records[last].keys():
            ours, before = judged.half.get((symbol, day)), judged.half.get((symbol, last))
            if day in judged.imported or not ours or not before:
                continue
            compared += 1
            truth = judged.records[day][symbol]["Close"] / judged.records[last][symbol]["Close"]
            truth *= ours["share_factor"] / before["share_factor"]
            difference = abs(ours["close"] / before["close"] - truth)
            if difference > 0.001 + 0.05 / before["close"]:
                wrong += 1
                if day not in YAHOOS_WRONG_DAYS and (symbol, day.year, day.month) not in UNSIZED_ACTIONS:
                    apart.append((symbol, day, ours["source_id"], round(difference, 4)))
    assert (compared > 34_000, wrong <= 0.003 * compared, apart) == (True, True, []), (compared, wrong)
