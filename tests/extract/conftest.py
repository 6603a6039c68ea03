"""An archive in which the order of arrival matters, and the marts that it makes undisturbed."""

import shutil
import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow.compute as pc
import pytest

from extract.archive import Archive
from extract.raw import KITE_DAILY_BARS, YAHOO_DAILY_BARS
from infra.local.market import write_market
from tests.conftest import Pipeline

SYMBOLS = ("ABB", "ACC", "BEL", "DLF", "GAIL", "INFY", "ITC", "LT", "NTPC", "SBIN", "TCS", "UPL")

type Marts = dict[str, list[str]]


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
    for run_id, received, month, factor in (
        ("older", datetime(2023, 12, 1, 13, 0, tzinfo=UTC), 8, 1.01),
        ("newer", datetime(2024, 7, 15, 13, 0, tzinfo=UTC), 9, 1.001),
    ):
        sent = bars.filter(pc.and_(pc.equal(pc.year(bars["date"]), 2023), pc.equal(pc.month(bars["date"]), month)))
        sent = sent.set_column(6, "close", pc.multiply(sent["close"], factor))
        archive.write(KITE_DAILY_BARS, sent, run_id, 0, received)
    return folder


def replayed(pipeline: Pipeline, archived: Path, runs: Sequence[Sequence[str]]) -> Marts:
    """The marts after the archive's batches came in these runs."""
    for batches in runs:
        for path in batches:
            (pipeline.archive_dir / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(archived / path, pipeline.archive_dir / path)
        assert pipeline.replay().loaded == len(batches)
        pipeline.build()
    return pipeline.marts()


@pytest.fixture(scope="module")
def undisturbed(archived: Path, tmp_path_factory: pytest.TempPathFactory, warehouse_dir: Path) -> Marts:
    """The marts after one replay and one build."""
    pipeline = Pipeline(
        tmp_path_factory.mktemp("undisturbed") / "archive", warehouse_dir, f"undisturbed_{uuid.uuid4().hex[:8]}"
    )
    marts = replayed(pipeline, archived, [Archive(str(archived)).paths()])
    assert len(marts["fct_daily_bars"]) > 3000
    return marts


def assert_same(marts: Marts, expected: Marts) -> None:
    for table, rows in expected.items():
        assert rows, table
        assert marts[table] == rows, table
