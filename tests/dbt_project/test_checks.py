"""What the data tests find, how a build tells it, and what makes a build look at everything."""

import shutil
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from extract.settings import PROJECT_DIR
from extract.warehouse import build as dbt_build
from tests.conftest import Pipeline

START = date(2024, 6, 3)
DEEP_START = START - timedelta(days=30)


def bar(symbol: str, trade_date: date, low: int = 99) -> str:
    """A row of fct_daily_bars, as it stands in an insert."""
    return f"('{symbol}', 1, 'kite', 100, 101, {low}, 100, 10, false, true, '{trade_date}', '2024-07-01')"


def test_a_build_tells_which_rules_are_broken_in_what_it_merges(
    built_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        # Of the symbol whose past has changed, also older rows are looked at; of the others they are not.
        *(bar(symbol, DEEP_START) for symbol in ("TCS", "TCS", "ABB", "ABB")),
        bar("ABB", START, low=102),
    ]
    columns = "symbol, instrument_id, source_id, open, high, low, close, volume"
    columns += ", is_provisional, is_valid, trade_date, extracted_at"
    built_pipeline.query(f"insert into `{{d}}.fct_daily_bars` ({columns}) values {', '.join(rows)}")
    window = dbt_build.Window(START, DEEP_START, ["TCS"], has_unmeasured_actions=False, has_changed_actions=True)
    for asks in ("_window", "_open_window"):
        monkeypatch.setattr(dbt_build, asks, lambda *_: window)
    with built_pipeline.warehouse() as warehouse:
        built = dbt_build.build(built_pipeline.settings, warehouse, lambda *_: None)
    (test, reason), *skipped = built.failed
    # So that the next build merges the same symbols and sessions again.
    merged = {f"int_{name}__merged" for name in ("scales", "suspect_sessions", "trading_sessions")}
    # Wrong bars are not counted.
    counts = {"int_bars__counted", "int_symbols__served"}
    tests = {"sound_rows_int_bars__counted_trade_date", "sound_rows_int_symbols__served_symbol"}
    assert {name for name, _ in skipped} == merged | counts | tests
    assert test.startswith("sound_rows_fct_daily_bars_")
    found = sorted(reason.split("; ")[1:])
    assert found == [
        f'rule: a valid bar is impossible, row_count: 1, example: {{"symbol":"ABB","trade_date":"{START}"}}',
        f'rule: symbol, trade_date is repeated, row_count: 2, example: {{"symbol":"TCS","trade_date":"{DEEP_START}"}}',
    ]


def test_bars_that_a_dead_build_may_have_merged_are_merged_again(
    built_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The evidence for that build's window may have been withdrawn since, so that the window is gone after it."""
    later = dbt_build.Window(START, START, [], has_unmeasured_actions=False, has_changed_actions=True)
    deep = replace(later, deep_start=DEEP_START, deep_symbols=["TCS"])
    monkeypatch.setattr(dbt_build, "_window", lambda *_: deep)
    monkeypatch.setattr(dbt_build, "_open_window", lambda *_: later)
    # A bar that no build would write there, as one that is to be merged again.
    columns = "symbol, source_id, open, high, low, close, volume, is_provisional, revision, trade_date"
    columns += ", first_sent_at, known_from, last_received_at"
    values = f"'TCS', 'kite', 100, 101, 99, 100, 10, false, 1, date '{DEEP_START}'"
    received = "timestamp '2024-07-01'"
    built_pipeline.query(
        f"insert into `{{d}}.fct_daily_bar_revisions` ({columns}) values ({values}, {received}, {received}, {received})"
    )
    replace(built_pipeline, runs_data_tests=False).build()
    merged = built_pipeline.query("select symbol, trade_date from `{d}.fct_daily_bars`")
    assert merged == [("TCS", DEEP_START)]


def test_what_dbt_does_not_read_rebuilds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("models", "macros", "seeds"):
        shutil.copytree(PROJECT_DIR / folder, tmp_path / folder)
    shutil.copy(PROJECT_DIR / "dbt_project.yml", tmp_path)
    monkeypatch.setattr(dbt_build, "PROJECT_DIR", tmp_path)
    before = dbt_build._project_digest({})
    for stray in ("models/.DS_Store", "models/marts/daily_bars.sql~", "models/._daily_bars.sql", "seeds/#old.csv"):
        (tmp_path / stray).write_text("left behind")
    assert dbt_build._project_digest({}) == before
    digests = {before}
    for name in (
        "dbt_project.yml",
        "macros/window_start.sql",
        "models/_columns.md",
        "models/marts/daily_bars.sql",
        "models/marts/daily_bars.yml",
        "seeds/instruments.csv",
    ):
        with (tmp_path / name).open("a") as file:
            file.write("\n")
        digests.add(dbt_build._project_digest({}))
    assert len(digests) == 7
