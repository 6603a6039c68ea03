"""A release adds a column to a raw table: what older and newer releases archived stays readable, and loads."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pyarrow as pa
import pytest

from extract.landing import archive, batch
from extract.landing.raw import KITE_DAILY_BARS, RAW_TABLES
from extract.landing.raw_table import PROVENANCE, RawTable
from extract.warehouse import loading, tables
from tests.conftest import Pipeline, write_bars
from tests.extract.test_archive import BAR, NOON


def _with(table: RawTable, *columns: pa.Field) -> RawTable:
    """The table as a later release has it: the new columns stand before the provenance."""
    return replace(table, schema=pa.schema([*table.provider_columns, *columns, *PROVENANCE]))


FIRST = KITE_DAILY_BARS
SECOND = _with(FIRST, pa.field("oi", pa.int64()))
THIRD = _with(SECOND, pa.field("traded_value", pa.float64()), pa.field("settled_on", pa.date32()))

type Release = Callable[[RawTable], None]


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> Release:
    """Make the code that of another release, which differs in one table."""

    def release(table: RawTable) -> None:
        for module in (archive, batch, tables, loading):
            monkeypatch.setattr(module, "RAW_TABLES", RAW_TABLES | {table.name: table})

    return release


def test_each_release_loads_what_it_and_all_before_it_archived(pipeline: Pipeline, release: Release) -> None:
    loaded = "select symbol, {columns} from `{{d}}_raw.kite_daily_bars` order by symbol"
    release(FIRST)
    write_bars(pipeline.archive, FIRST, "run-1", NOON, BAR | {"symbol": "ABB"})
    assert pipeline.replay().loaded == 1
    # The table is there by now, and is given each new column.
    release(SECOND)
    with pipeline.warehouse() as warehouse:
        warehouse.create_raw()
        assert [field.name for field in warehouse.client.get_table(f"{warehouse.raw}.kite_daily_bars").schema][
            -1
        ] == "oi"
    write_bars(pipeline.archive, SECOND, "run-2", NOON, BAR | {"symbol": "ACC", "oi": 2})
    assert pipeline.replay().loaded == 1
    release(THIRD)
    write_bars(pipeline.archive, THIRD, "run-3", NOON, BAR | {"symbol": "BEL", "oi": 3, "traded_value": 1.5})
    assert pipeline.replay().loaded == 1
    expected = [("ABB", None, None), ("ACC", 2, None), ("BEL", 3, 1.5)]
    assert pipeline.query(loaded.format(columns="oi, traded_value")) == expected
    # An older release goes on with the table as it is, and its own batches load.
    release(FIRST)
    write_bars(pipeline.archive, FIRST, "run-4", NOON + timedelta(days=1), BAR | {"symbol": "DLF"})
    assert (pipeline.replay().loaded, pipeline.replay().refused) == (1, [])
    assert pipeline.query(loaded.format(columns="oi, traded_value")) == [*expected, ("DLF", None, None)]


def test_from_the_archive_alone_the_latest_release_makes_all_of_it(pipeline: Pipeline, release: Release) -> None:
    for number, table in enumerate((FIRST, SECOND, THIRD)):
        write_bars(pipeline.archive, table, f"run-{number}", NOON, BAR)
    release(THIRD)
    assert (replayed := pipeline.replay()).loaded == 3
    assert replayed.refused == []


def test_an_older_release_refuses_a_newer_batch_by_name_and_the_newer_one_loads_it(
    pipeline: Pipeline, release: Release
) -> None:
    newer = write_bars(pipeline.archive, SECOND, "run-2", NOON, BAR | {"oi": 7})
    release(FIRST)
    replayed = pipeline.replay()
    assert replayed.loaded == 0
    ((path, reason),) = replayed.refused
    assert (path, "oi is int64 instead of absent" in reason, "later release" in reason) == (newer, True, True)
    release(SECOND)
    assert pipeline.replay().loaded == 1
    assert pipeline.query("select oi from `{d}_raw.kite_daily_bars`") == [(7,)]
