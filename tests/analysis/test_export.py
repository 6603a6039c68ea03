"""A table as a file: exact, whole or not there, and the same whichever way the rows come."""

import csv
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from extract.analysis.arrow import opened, read
from extract.cli import main
from extract.errors import PipelineError
from extract.settings import PROJECT_DIR
from infra.local import arrow as served
from tests.conftest import Pipeline


def exported(market: Pipeline, target: Path, *arguments: str) -> Path:
    done = market.command("export", *arguments, "-o", str(target))
    assert done.returncode == 0, done.stderr
    assert [path.name for path in target.parent.iterdir() if "partial" in path.name] == []
    return target


def test_each_form_holds_the_table_as_it_is(market: Pipeline, tmp_path: Path) -> None:
    with market.warehouse() as warehouse:
        rows = [
            dict(row) for row in warehouse.query("select * from trading_data.daily_bars order by symbol, trade_date")
        ]
    for name in ("bars.parquet", "bars.arrow", "bars.csv"):
        exported(market, tmp_path / name, "daily_bars")
    parquet = pq.read_table(tmp_path / "bars.parquet")
    assert parquet.to_pylist() == rows
    assert len(rows) > 3000
    assert parquet.schema.field("close").type == pa.decimal128(38, 9)
    with pa.ipc.open_file(tmp_path / "bars.arrow") as file:
        assert file.read_all().equals(parquet)
    with (tmp_path / "bars.csv").open(newline="") as text:
        told = list(csv.DictReader(text))
    assert [(row["symbol"], row["trade_date"]) for row in told] == [(r["symbol"], str(r["trade_date"])) for r in rows]
    assert [Decimal(row["close"]) for row in told] == [row["close"] for row in rows]
    assert [json.loads(row["failed_checks"]) for row in told] == [row["failed_checks"] for row in rows]
    assert [float(row["total_return"] or 0) for row in told] == [row["total_return"] or 0 for row in rows]
    # As `query` writes them.
    asked = market.command("query", "select * from daily_bars order by symbol, trade_date limit 50", "--format", "csv")
    for mine, other in zip(told, csv.DictReader(asked.stdout.splitlines()), strict=False):
        assert {k: v for k, v in mine.items() if not _is_float(v)} == {
            k: v for k, v in other.items() if not _is_float(v)
        }


def _is_float(text: str) -> bool:
    try:
        return bool(text) and float(text) is not None
    except ValueError:
        return False


def test_what_is_asked_for_is_all_that_comes(market: Pipeline, tmp_path: Path) -> None:
    arguments = ("daily_bars", "--symbols", "tcs, INFY.NS", "--from", "2024-07-01", "--to", "2024-07-31", "--float")
    frame = pd.read_parquet(exported(market, tmp_path / "two.parquet", *arguments))
    assert list(frame["symbol"].unique()) == ["INFY", "TCS"]
    assert (str(frame["trade_date"].min()), str(frame["trade_date"].max())) == ("2024-07-01", "2024-07-31")
    assert frame["close"].dtype == "float64"
    asked = "select close from `{d}.daily_bars` where symbol = 'TCS' and trade_date = '2024-07-31'"
    assert frame["close"].iloc[-1] == float(market.query(asked)[0][0])
    checks = exported(market, tmp_path / "scores.csv", "quality_scores_by_symbol", "--symbols", "TCS")
    assert len(checks.read_text().splitlines()) == 2
    actions = exported(
        market, tmp_path / "actions.csv", "fct_corporate_actions", "--from", "2024-08-01", "--to", "2024-08-31"
    )
    assert len(actions.read_text().splitlines()) == 2


def test_a_panel_has_a_row_for_each_day(market: Pipeline, tmp_path: Path) -> None:
    exported(market, tmp_path / "panel.parquet", "daily_bars", "--wide", "close", "--float", "--from", "2025-04-01")
    panel = pd.read_parquet(tmp_path / "panel.parquet")
    assert panel.columns[0] == "trade_date"
    assert list(panel["trade_date"]) == sorted(set(panel["trade_date"]))
    long = market.query(
        "select symbol, trade_date, cast(close as float64) from `{d}.daily_bars` where trade_date >= '2025-04-01'"
    )
    by_day = panel.set_index("trade_date")
    assert {(s, d, c) for s, d, c in long} == {
        (symbol, day, price) for symbol in by_day for day, price in by_day[symbol].items() if pd.notna(price)
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["daily_bar", "-o", "{d}/x.parquet"], "did you mean daily_bars?"),
        (["daily_bars", "-o", "{d}"], "is a folder"),
        (["daily_bars", "--format", "csv", "-o", "-"], "- is standard output"),
        (["daily_bars", "-o", "{d}/no/x.csv"], "does not exist"),
        (["daily_bars", "-o", "/proc/x.csv"], "cannot be written"),
        (["daily_bars", "--symbols", "NOBODY", "-o", "{d}/x.csv"], "NOBODY: not in seeds/instruments.csv"),
        (["daily_bars", "--from", "2024-02-01", "--to", "2024-01-01", "-o", "{d}/x.csv"], "lies after --to 2024-01-01"),
        (["daily_bars", "--from", "2024-01-06", "--to", "2024-01-07", "-o", "{d}/x.csv"], "there is nothing to export"),
        (["daily_bars", "--wide", "clos", "-o", "{d}/x.csv"], "did you mean close?"),
        (["fct_daily_bar_revisions", "--wide", "close", "-o", "{d}/x.csv"], "several rows of close"),
        (["dim_instruments", "--from", "2024-01-01", "-o", "{d}/x.csv"], "has no days"),
        (["dim_trading_sessions", "--symbols", "TCS", "-o", "{d}/x.csv"], "has no symbols"),
    ],
)
def test_what_cannot_be_exported_is_refused_in_a_sentence(
    market: Pipeline,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    for name, value in market.environment.items():
        monkeypatch.setenv(name, value)
    assert main(["export", *(argument.replace("{d}", str(tmp_path)) for argument in arguments)]) == 2
    assert words in capsys.readouterr().err.splitlines()[0]
    assert list(tmp_path.iterdir()) == []


def test_who_is_killed_leaves_the_file_as_it_was(market: Pipeline, tmp_path: Path) -> None:
    target = tmp_path / "bars.parquet"
    target.write_text("before")
    with subprocess.Popen(
        [sys.executable, "-m", "extract", "export", "fct_daily_bar_revisions", "-o", str(target)],
        env=market.environment,
        cwd=PROJECT_DIR,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    ) as process:
        until = time.monotonic() + 60
        while not list(tmp_path.glob(".*.partial")):
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
    assert target.read_text() == "before"


STRANGE = (
    "select 1 as n, numeric '1.5' as d, 'x' as s, ['a', 'b'] as l, struct(1 as a, 'y' as b) as r, true as t,"
    " date '2024-01-02' as day, timestamp '2024-01-02 03:04:05.678+00' as at, 0.1 as f, cast(null as string) as nothing"
    " union all select 2, numeric '0', '', [], null, false, date '2024-01-03', null, null, ''"
)


def test_the_way_of_the_embedded_warehouse_and_the_pages_of_the_api_tell_the_same(
    market: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql = f"select * from ({STRANGE}) order by n"
    with market.warehouse() as warehouse:
        direct = read(warehouse, sql)
        calls: list[str] = []
        monkeypatch.setattr("extract.analysis.arrow._from_embedded", lambda *_: calls.append("asked"))
        paged = read(warehouse, sql)
        nothing = read(warehouse, f"select * from ({STRANGE}) where n > 5")
    assert calls == ["asked", "asked"]
    assert direct.to_pylist() == paged.to_pylist()
    assert [field.type for field in direct.schema if not pa.types.is_nested(field.type)] == [
        field.type for field in paged.schema if not pa.types.is_nested(field.type)
    ]
    assert (nothing.num_rows, nothing.column_names) == (0, direct.column_names)


def test_what_bigquery_says_of_a_stream_reaches_the_reader(market: Pipeline) -> None:
    with market.warehouse() as warehouse:
        with pytest.raises(PipelineError, match="Unrecognized name: nothing"):
            read(warehouse, "select nothing from daily_bars")
        with pytest.raises(PipelineError, match="nowhere"):
            read(warehouse, "select 1 from nowhere.at_all")
        with pytest.raises(PipelineError, match="only a query"):
            read(warehouse, "drop view daily_bars")
        # The first batches come, and the connection breaks at the one that cannot be made.
        failing = "select if(n = 999999, error('broken'), n) as n from unnest(generate_array(1, 1000000)) as n"
        with pytest.raises(PipelineError, match="reading the rows failed"), opened(warehouse, failing) as reader:
            assert sum(batch.num_rows for batch in reader) < 0


def test_another_emulator_that_does_not_know_the_way_is_asked_in_pages(
    market: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert served.PATH == "/arrow"
    monkeypatch.setattr("extract.analysis.arrow._PATH", "/elsewhere")
    with market.warehouse() as warehouse:
        assert read(warehouse, "select 1 as n").to_pylist() == [{"n": 1}]
        with pytest.raises(PipelineError):
            read(replace(warehouse, address="http://127.0.0.1:9"), "select 1")
