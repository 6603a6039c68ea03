"""The benchmark's own judgement: what everybody is given, and when a result does not count. Nothing here is timed."""

import re
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from extract.landing.archive import Archive
from extract.landing.raw import KITE_DAILY_BARS
from extract.settings import PROJECT_DIR
from infra.bench import compare
from infra.bench.bars import Given, write_bars
from infra.bench.compare import Comparison, NotComparableError, check, covered
from infra.bench.ours import models_of_bars


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Given:
    return write_bars(tmp_path_factory.mktemp("given"), date(2025, 3, 28), date(2025, 1, 1))


def test_the_delta_sends_a_session_again_with_25_closes_restated_and_adds_one(given: Given) -> None:
    received = {
        (row["symbol"], row["trade_date"]): row
        for row in sorted(pq.read_table(given.bars).to_pylist(), key=lambda row: row["extracted_at"])
        if row["source_id"] == "kite"
    }
    delta = pq.read_table(given.delta).to_pylist()
    again = {row["symbol"]: row["close"] for row in delta if row["trade_date"] == given.restated_on}
    added = [row for row in delta if row["trade_date"] > given.restated_on]
    assert len(again) == len(added) == len(delta) / 2 > 240
    assert len(given.restated) == 25
    assert {symbol: again[symbol] for symbol in given.restated} == given.restated
    assert all(row["low"] <= row["close"] <= row["high"] for row in delta)
    assert not {(row["symbol"], row["trade_date"]) for row in added} & received.keys()


def test_ours_and_the_peers_are_given_the_same_delta(given: Given) -> None:
    archive = Archive(str(given.delta_archive))
    (path,) = archive.paths()
    ours = archive.read(path)
    theirs = pq.read_table(given.delta)
    assert ours.table is KITE_DAILY_BARS
    for name in ("symbol", "open", "high", "low", "close", "volume"):
        assert ours.rows[name].to_pylist() == theirs[name].to_pylist()


def test_a_result_counts_only_with_each_bar_once_and_every_restated_close() -> None:
    restated = {"INFY": 100.05, "TCS": 99.95}
    check(10, restated | {"SBIN": 100.0}, 10, restated)
    with pytest.raises(NotComparableError, match="left 11 bars instead of 10"):
        check(11, restated, 10, restated)
    with pytest.raises(NotComparableError, match=re.escape("left 1 of 2 restated closes as they were: ['TCS']")):
        check(10, restated | {"TCS": 100.0}, 10, restated)


def test_ratios_are_made_within_a_round() -> None:
    comparison = Comparison()
    for ours, theirs in ((1.0, 3.0), (10.0, 20.0)):
        comparison.note("ours", "load", "", ours)
        comparison.note("a peer", "load", "", theirs)
    assert [line.ratios for line in comparison.lines()] == [[1.0, 1.0], [3.0, 2.0]]


def test_seconds_in_which_two_jobs_run_are_counted_once() -> None:
    at = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds) for seconds in range(8)]
    assert covered([(at[5], at[7]), (at[0], at[3]), (at[1], at[2]), (at[2], at[4])]) == 6
    assert covered([]) == 0


def test_ours_is_measured_up_to_the_mart_with_and_without_the_corporate_actions() -> None:
    parents = {
        "fct_daily_bars": ["int_bars__compared"],
        "int_bars__compared": ["int_share_factors", "fct_daily_bar_revisions"],
        "int_share_factors": ["fct_daily_bar_revisions"],
        "fct_daily_bar_revisions": ["stg_kite__daily_bars"],
        "stg_kite__daily_bars": [],
        "quality_coverage": ["fct_daily_bars"],
    }
    tags = {"int_share_factors": ["actions"], "fct_daily_bar_revisions": ["actions"]}
    prefix = "model.trading_data."
    parent_map = {prefix + child: [prefix + name for name in names] for child, names in parents.items()}
    parent_map[prefix + "stg_kite__daily_bars"] = ["source.trading_data.raw.kite_daily_bars"]
    nodes = {prefix + name: {"config": {"tags": tags.get(name, ["windowed"])}} for name in parents}
    ancestors, of_bars = models_of_bars({"parent_map": parent_map, "nodes": nodes})
    assert ancestors == {prefix + name for name in parents} - {prefix + "quality_coverage"}
    assert of_bars == ancestors - {prefix + "int_share_factors"}
    for name in ("fct_daily_bars", "fct_daily_bar_revisions"):
        assert (PROJECT_DIR / "models" / "marts" / f"{name}.sql").exists()


def test_a_peer_that_fails_is_left_out_with_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "environment_of", lambda *_: Path(sys.executable))
    (tmp_path / "peer").mkdir()
    missing = compare.Peer("a peer", "none", "no_such_module", "")
    with pytest.raises(NotComparableError, match=r"load failed: ModuleNotFoundError: .*no_such_module"):
        compare.run_peer(missing, "load", tmp_path, tmp_path, "http://127.0.0.1:1")
    monkeypatch.setattr(compare, "_STEP_SECONDS", 0.01)
    with pytest.raises(NotComparableError, match="load took longer than"):
        compare.run_peer(missing, "load", tmp_path, tmp_path, "http://127.0.0.1:1")


def test_every_peer_has_pinned_requirements() -> None:
    for peer in (*compare.MERGING, compare.LOOP, compare.THREADS):
        folder = Path(compare.__file__).parent
        assert "--hash=sha256:" in (folder / f"requirements-{peer.environment}.txt").read_text()
        assert (folder / f"{peer.module}.py").exists()
