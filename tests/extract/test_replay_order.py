"""Same archive, same marts: whatever the order of arrival, however it is cut into runs, wherever the process died."""

import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path

import pyarrow.compute as pc
import pytest

from extract.archive import Archive
from extract.raw import KITE_DAILY_BARS, YAHOO_DAILY_BARS
from extract.settings import PROJECT_DIR
from infra.local.market import write_market
from tests.conftest import Pipeline

SYMBOLS = ("ABB", "ACC", "BEL", "DLF", "GAIL", "INFY", "ITC", "LT", "NTPC", "SBIN", "TCS", "UPL")

type _Marts = dict[str, list[str]]


@pytest.fixture(scope="module")
def archived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A market of 14 months with its planted defects, and what makes order matter: bars that were sent before.

    Yahoo sent the first half a year earlier than Kite sent anything, so that the two are compared for the first time
    when most of the bars are already in the marts; and Kite sent some sessions twice more, at other prices.
    """
    folder = tmp_path_factory.mktemp("market")
    archive = Archive(str(folder))
    market = write_market(archive, first=date(2023, 5, 2), last=date(2024, 6, 28), symbols=SYMBOLS)
    # The backfill is the oldest batch of each table.
    yahoo_path = min(path for path in market.paths if path.startswith("yahoo_daily_bars/"))
    bars = archive.read(yahoo_path).rows.select(YAHOO_DAILY_BARS.provider_columns.names)
    first_half = bars.filter(pc.less(bars["date"], datetime(2023, 11, 1, tzinfo=UTC)))
    archive.write(YAHOO_DAILY_BARS, first_half, "early", 0, datetime(2023, 11, 1, 13, 0, tzinfo=UTC))
    kite_path = min(path for path in market.paths if path.startswith("kite_daily_bars/"))
    bars = archive.read(kite_path).rows.select(KITE_DAILY_BARS.provider_columns.names)
    for run_id, month, factor in (("older", 8, 1.01), ("newer", 9, 1.001)):
        sent = bars.filter(pc.and_(pc.equal(pc.year(bars["date"]), 2023), pc.equal(pc.month(bars["date"]), month)))
        sent = sent.set_column(6, "close", pc.multiply(sent["close"], factor))
        received = datetime(2023, 12 if run_id == "older" else month, 1, 13, 0, tzinfo=UTC)
        received = received if run_id == "older" else datetime(2024, 7, 15, 13, 0, tzinfo=UTC)
        archive.write(KITE_DAILY_BARS, sent, run_id, 0, received)
    return folder


def _replayed(pipeline: Pipeline, archived: Path, runs: Sequence[Sequence[str]]) -> _Marts:
    """The marts after the archive's batches came in these runs."""
    for batches in runs:
        for path in batches:
            (pipeline.archive_dir / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(archived / path, pipeline.archive_dir / path)
        assert pipeline.replay().loaded == len(batches)
        pipeline.build()
    return pipeline.marts()


@pytest.fixture(scope="module")
def undisturbed(archived: Path, tmp_path_factory: pytest.TempPathFactory, warehouse_dir: Path) -> _Marts:
    """The marts after one replay and one build."""
    pipeline = Pipeline(tmp_path_factory.mktemp("undisturbed") / "archive", warehouse_dir, "undisturbed")
    marts = _replayed(pipeline, archived, [Archive(str(archived)).paths()])
    assert len(marts["fct_daily_bars"]) > 3000
    return marts


def _assert_same(marts: _Marts, expected: _Marts) -> None:
    for table, rows in expected.items():
        assert rows, table
        assert marts[table] == rows, table


@pytest.mark.parametrize("order", ["newest first", "shuffled"])
def test_five_runs_in_any_order_make_the_marts_of_one(
    pipeline: Pipeline, archived: Path, undisturbed: _Marts, order: str
) -> None:
    paths = sorted(Archive(str(archived)).paths(), key=lambda path: path.split("extracted_on=")[1], reverse=True)
    if order == "shuffled":
        random.Random(20241101).shuffle(paths)  # noqa: S311
    cuts = [round(n * len(paths) / 5) for n in range(6)]
    runs = [paths[first:last] for first, last in pairwise(cuts)]
    assert all(runs)
    _assert_same(_replayed(pipeline, archived, runs), undisturbed)
    # Replaying again loads nothing; building everything anew changes nothing.
    assert pipeline.replay().loaded == 0
    if order == "shuffled":
        assert pipeline.build(full_refresh=True).merged_batches == 0
        _assert_same(pipeline.marts(), undisturbed)


def test_a_replay_that_was_killed_again_and_again_makes_the_same_marts(
    pipeline: Pipeline, archived: Path, undisturbed: _Marts, tmp_path: Path
) -> None:
    # A warehouse of its own, because the kill takes the server too.
    own = replace(pipeline, archive_dir=archived, warehouse_dir=tmp_path / "warehouse")
    with (tmp_path / "log").open("w") as log:
        for lines_before_the_kill in (0, 1, 2, 8, 25, 45):
            process = subprocess.Popen(
                [sys.executable, "-m", "extract", "replay"],
                env=own.environment,
                cwd=PROJECT_DIR,
                stdout=log,
                stderr=subprocess.PIPE,
                text=True,
            )
            with process:
                assert process.stderr is not None
                for _ in range(lines_before_the_kill):
                    assert process.stderr.readline(), "it ended before it could be killed"
                process.send_signal(signal.SIGKILL)
    own.replay()
    own.build()
    _assert_same(own.marts(), undisturbed)
