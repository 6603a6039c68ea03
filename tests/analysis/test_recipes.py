"""The recipes for analysts, run as they stand on their page."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from extract.settings import PROJECT_DIR
from tests.analysis.conftest import SYMBOLS
from tests.conftest import Pipeline

PAGE = (PROJECT_DIR / "models" / "marts" / "RECIPES.md").read_text()
SQL = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
SHELL = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)

MOMENTUM, UNIVERSE, DRAWDOWN, VOLATILITY, ACTIONS, AGREEMENT, BAR_BY_BAR = range(7)


def asked(market: Pipeline, number: int) -> list[dict[str, Any]]:
    with market.warehouse():
        done = market.command("query", SQL[number], "--format", "json")
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
