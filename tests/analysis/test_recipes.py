"""The recipes for analysts, run as they stand on their page."""

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from extract.settings import PROJECT_DIR
from tests.analysis.conftest import ABB, GONE, IMPORTED_ON, RECORD, SYMBOLS, import_files, index_list
from tests.conftest import Pipeline, copied

PAGE = (PROJECT_DIR / "models" / "marts" / "RECIPES.md").read_text()
SQL = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
SHELL = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)

MOMENTUM, UNIVERSE, DRAWDOWN, VOLATILITY, ACTIONS, AGREEMENT, BAR_BY_BAR = range(7)


def asked(market: Pipeline, number: int, **instead: str) -> list[dict[str, Any]]:
    """The rows of a block; ``day`` names another day than the block does."""
    sql = re.sub(r"\d{4}-\d{2}-\d{2}", instead["day"], SQL[number]) if instead else SQL[number]
    with market.warehouse():
        done = market.command("query", sql, "--format", "json")
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def test_the_page_has_these_blocks() -> None:
    assert (len(SQL), len(SHELL), len(PYTHON)) == (7, 3, 5)


def test_momentum_keeps_a_member_that_has_no_bars(market: Pipeline) -> None:
    rows = {row["symbol"]: row["momentum"] for row in asked(market, MOMENTUM)}
    assert rows.keys() == {"ABB", "BEL"}
    assert all(-0.9 < momentum < 9 for momentum in rows.values())


def test_the_shares_of_a_day_include_those_that_have_left(market: Pipeline) -> None:
    told = [tuple(row.values()) for row in asked(market, UNIVERSE)]
    assert told == [
        ("FORGED", "INE999Z01012", "BE", 20.5, 300, False, False),
        ("GONE", "INE000G01019", "EQ", 50.0, 100, True, False),
        ("VOLTAS", "INE226A01021", "EQ", 494.0, 2000, False, True),
    ]


# BAJFINANCE had this ISIN until its face value was split in June 2025.
BEFORE_THE_SPLIT, SINCE_THE_SPLIT = ("BAJFINANCE", "INE296A01024"), ("BAJFINANCE", "INE296A01032")
WITH_DELIVERIES = (
    "SYMBOL, SERIES, DATE1, PREV_CLOSE, OPEN_PRICE, HIGH_PRICE, LOW_PRICE, LAST_PRICE, CLOSE_PRICE, AVG_PRICE,"
    " TTL_TRD_QNTY, TURNOVER_LACS, NO_OF_TRADES, DELIV_QTY, DELIV_PER"
)


def delivered(symbol: str, day: str, close: int) -> str:
    return f"{symbol}, EQ, {day}, {', '.join([str(close)] * 7)}, 100, {close / 1000}, 9, 50, 50.00"


@pytest.fixture
def recorded(tmp_path: Path, market_folder: Path) -> Iterator[Pipeline]:
    """The market with further records: of the same day without ISINs, of a day without any, and of a former ISIN."""
    shutil.copytree(market_folder / "archive", tmp_path / "archive")
    with copied(market_folder / "warehouse", tmp_path / "warehouse") as warehouse_dir:
        pipeline = Pipeline(tmp_path / "archive", warehouse_dir)
        files = {
            "ind_nifty50list_2024-06-24.csv": index_list(ABB, GONE, BEFORE_THE_SPLIT),
            "ind_nifty50list_2024-07-24.csv": index_list(ABB, GONE, SINCE_THE_SPLIT),
            "cm26JUN2024bhav.csv": (
                RECORD,
                f"BAJFINANCE,EQ,7000,7000,7000,7000,7000,7000,100,700000,26-JUN-2024,9,{BEFORE_THE_SPLIT[1]}",
            ),
            "sec_bhavdata_full_27062024.csv": (
                WITH_DELIVERIES,
                *(delivered(symbol, "27-Jun-2024", 50) for symbol in ("BAJFINANCE", "FORGED", "GONE")),
            ),
            "sec_bhavdata_full_28062024.csv": (
                WITH_DELIVERIES,
                *(delivered(symbol, "28-Jun-2024", 60) for symbol in ("VOLTAS", "GONE")),
            ),
        }
        import_files(pipeline.archive, tmp_path, files, IMPORTED_ON + timedelta(days=1))
        # What the block reads are views: no build is needed.
        pipeline.replay()
        yield pipeline


def test_a_share_of_a_day_is_known_by_the_isin_that_it_had_or_without_one_by_its_symbol(recorded: Pipeline) -> None:
    def told(day: str) -> list[tuple[Any, ...]]:
        rows = asked(recorded, UNIVERSE, day=day)
        return [(row["symbol"], row["isin"], row["traded_close"], row["is_member"], row["has_bars"]) for row in rows]

    assert told("2024-06-26") == [("BAJFINANCE", "INE296A01024", 7000.0, True, True)]
    # A file with deliveries has no ISIN.
    assert told("2024-06-27") == [
        ("BAJFINANCE", None, 50.0, True, True),
        ("FORGED", None, 50.0, False, False),
        ("GONE", None, 50.0, True, False),
    ]
    # Both files of a day, of which the later one lacks a share and all ISINs.
    assert told("2024-06-28") == [
        ("FORGED", "INE999Z01012", 20.5, False, False),
        ("GONE", "INE000G01019", 60.0, True, False),
        ("VOLTAS", "INE226A01021", 60.0, False, True),
    ]


def test_each_sector_has_its_deepest_drawdown(market: Pipeline) -> None:
    rows = asked(market, DRAWDOWN)
    assert len({row["sector"] for row in rows}) == len(rows) >= 5
    assert all(-1 < row["drawdown"] <= 0 and row["name"] for row in rows)
    assert rows[0]["drawdown"] < -0.2


def test_volatility_is_one_of_a_year(market: Pipeline) -> None:
    rows = asked(market, VOLATILITY)
    assert {row["symbol"] for row in rows} == set(SYMBOLS)
    assert all(0.05 < row["volatility"] < 5 for row in rows)


def test_actions_are_told_by_their_names(market: Pipeline) -> None:
    kinds = {(row["symbol"], row["ex_date"]): row["kind"] for row in asked(market, ACTIONS)}
    assert kinds[("INFY", "2024-06-28")] == "bonus"
    assert kinds[("TCS", "2024-08-14")] == "split"
    assert kinds[("LT", "2024-09-10")] == "rights"
    assert kinds[("SBIN", "2024-05-22")] == "dividend"
    # Only Yahoo tells of it, and Yahoo tells a ratio.
    assert kinds[("VOLTAS", "2024-06-28")] == "share_event"


def test_sources_that_disagree_are_found(market: Pipeline) -> None:
    assert asked(market, AGREEMENT)
    planted = {(row["symbol"], row["trade_date"]) for row in asked(market, BAR_BY_BAR)}
    assert ("DLF", "2024-03-22") in planted


def test_what_is_exported_is_read_by_others(market: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("duckdb")
    for line in SHELL:
        words = shlex.split(line)
        target = words.pop()
        done = market.command(*words[1:], str(tmp_path / target))
        assert done.returncode == 0, done.stderr
    monkeypatch.chdir(tmp_path)
    for name, value in market.environment.items():
        monkeypatch.setenv(name, value)
    names: dict[str, Any] = {}
    for block in PYTHON:
        # polars is no part of the environment.
        if "polars" not in block:
            exec(block, names)  # noqa: S102 It is ours, and what this test is of.
    assert str(names["bars"]) != ""
    assert len(names["yearly"]) >= 2 * len(SYMBOLS) - 2
    assert set(SYMBOLS) <= {*names["returns"].columns}
    assert list(names["panel"].columns) == ["INFY", "LT", "TCS"]
    assert len(names["tcs"]) > 300
    assert set(names["members"]["symbol"]) == {"ABB", "ACC", "GONE"}
    assert {"split", "bonus"} <= set(names["splits"]["kind"])
    assert names["then"]["close"].iloc[-1] == 987.0
