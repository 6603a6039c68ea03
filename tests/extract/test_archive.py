from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from extract.errors import PipelineError
from extract.landing.archive import Archive
from extract.landing.batch import BatchRefused
from extract.landing.raw import KITE_DAILY_BARS
from tests.conftest import write_bars

NOON = datetime(2024, 1, 3, 12, 0, tzinfo=UTC)
BAR = {
    "symbol": "TCS",
    "instrument_token": 2953217,
    "date": datetime(2024, 1, 1, 18, 30, tzinfo=UTC),
    "open": 99.0,
    "high": 101.0,
    "low": 98.0,
    "close": 100.0,
    "volume": 1000,
}
PATH = "kite_daily_bars/extracted_on=2024-01-03/run-1-0000.parquet"


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(str(tmp_path))


def _good_batch() -> pa.Table:
    row = BAR | {"_run_id": "run-1", "_extracted_at": NOON, "_archive_path": PATH}
    return pa.Table.from_pylist([row], KITE_DAILY_BARS.schema)


def _put(folder: Path, rows: pa.Table, path: str = PATH) -> None:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, folder / path)


def test_a_batch_comes_back_as_it_was_written(archive: Archive) -> None:
    path = write_bars(archive, KITE_DAILY_BARS, "run-1", NOON, BAR)
    assert path == PATH
    assert archive.paths() == [PATH]
    batch = archive.read(path)
    assert batch.table is KITE_DAILY_BARS
    assert batch.rows == _good_batch()
    # 18:30 UTC is midnight in India: the bar is of the second of January.
    assert batch.oldest_dates == {date(2024, 1, 2): ["TCS"]}


def test_the_file_is_zstd_parquet_with_exactly_the_raw_columns(archive: Archive, tmp_path: Path) -> None:
    metadata = pq.read_metadata(tmp_path / write_bars(archive, KITE_DAILY_BARS, "run-1", NOON, BAR))
    assert metadata.schema.names == KITE_DAILY_BARS.schema.names
    assert metadata.row_group(0).column(0).compression == "ZSTD"


def _identity(path: Path) -> tuple[int, int]:
    """What changes where a file is written anew; not its whole stat, since reading it moves the time of its reading."""
    stat = path.stat()
    return stat.st_ino, stat.st_mtime_ns


def test_writing_the_same_batch_again_changes_nothing(archive: Archive, tmp_path: Path) -> None:
    path = write_bars(archive, KITE_DAILY_BARS, "run-1", NOON, BAR)
    written = _identity(tmp_path / path)
    assert write_bars(archive, KITE_DAILY_BARS, "run-1", NOON, BAR) == path
    assert _identity(tmp_path / path) == written


def test_a_batch_is_never_replaced_by_another(archive: Archive) -> None:
    write_bars(archive, KITE_DAILY_BARS, "run-1", NOON, BAR)
    with pytest.raises(PipelineError, match="already holds another batch"):
        write_bars(archive, KITE_DAILY_BARS, "run-1", NOON, BAR | {"close": 101.0})
    assert archive.read(PATH).rows == _good_batch()


def test_a_batch_without_rows_is_not_written(archive: Archive) -> None:
    with pytest.raises(ValueError, match="at least one row"):
        write_bars(archive, KITE_DAILY_BARS, "run-1", NOON)
    assert archive.paths() == []


def test_a_torn_batch_is_refused(archive: Archive, tmp_path: Path) -> None:
    _put(tmp_path, _good_batch())
    whole = (tmp_path / PATH).read_bytes()
    for kept in (1, len(whole) // 2, len(whole) - 1):
        (tmp_path / PATH).write_bytes(whole[:kept])
        with pytest.raises(BatchRefused, match="damaged, or not a Parquet file"):
            archive.read(PATH)


def test_an_empty_file_and_a_batch_without_rows_are_refused(archive: Archive, tmp_path: Path) -> None:
    _put(tmp_path, _good_batch().slice(0, 0))
    with pytest.raises(BatchRefused, match="holds no rows"):
        archive.read(PATH)
    (tmp_path / PATH).write_bytes(b"")
    with pytest.raises(BatchRefused, match="0 bytes"):
        archive.read(PATH)


@pytest.mark.parametrize("microseconds", [2**62, -(2**62), 0])
def test_a_time_that_no_bar_can_have_is_refused(archive: Archive, tmp_path: Path, microseconds: int) -> None:
    good = _good_batch()
    at = good.schema.get_field_index("date")
    times = pa.array([microseconds] * good.num_rows, pa.int64()).cast(good.schema.field(at).type)
    _put(tmp_path, good.set_column(at, "date", times))
    with pytest.raises(BatchRefused, match="date holds a time before 1990 or after 2200"):
        archive.read(PATH)


def test_another_schema_is_refused_and_the_difference_named(archive: Archive, tmp_path: Path) -> None:
    good = _good_batch()
    _put(tmp_path, good.drop_columns(["date"]))
    with pytest.raises(BatchRefused, match="date is absent instead of timestamp"):
        archive.read(PATH)
    _put(tmp_path, good.set_column(6, "close", good["close"].cast(pa.string())))
    with pytest.raises(BatchRefused, match="close is string instead of double"):
        archive.read(PATH)
    _put(tmp_path, good.append_column("note", pa.array(["x"])))
    with pytest.raises(BatchRefused, match="note is string instead of absent"):
        archive.read(PATH)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("kite_daily_bars/extracted_on=2024-01-03/stray.parquet", "its name is not"),
        ("kite_daily_bars/run-1-0000.parquet", "its name is not"),
        ("prices/extracted_on=2024-01-03/run-1-0000.parquet", "this release has no raw table prices"),
        ("kite_daily_bars/extracted_on=2024-01-04/run-1-0000.parquet", "lies under a wrong name: its _archive_path"),
        ("kite_daily_bars/extracted_on=2024-01-03/run-2-0000.parquet", "lies under a wrong name: its _archive_path"),
        ("yahoo_daily_bars/extracted_on=2024-01-03/run-1-0000.parquet", "schema is not that of yahoo_daily_bars"),
    ],
)
def test_a_batch_under_a_wrong_name_is_refused(archive: Archive, tmp_path: Path, path: str, reason: str) -> None:
    _put(tmp_path, _good_batch(), path)
    with pytest.raises(BatchRefused, match=reason):
        archive.read(path)


def test_provenance_that_contradicts_the_name_is_refused(archive: Archive, tmp_path: Path) -> None:
    for column, value in (("_run_id", "run-9"), ("_extracted_at", NOON + timedelta(days=1))):
        good = _good_batch()
        index = good.column_names.index(column)
        _put(
            tmp_path, good.set_column(index, good.schema.field(index), pa.array([value], good.schema.field(index).type))
        )
        with pytest.raises(BatchRefused, match=f"its {column} says"):
            archive.read(PATH)


def test_rows_without_a_key_are_refused(archive: Archive, tmp_path: Path) -> None:
    row = BAR | {"symbol": None, "_run_id": "run-1", "_extracted_at": NOON, "_archive_path": PATH}
    _put(tmp_path, pa.Table.from_pylist([row], KITE_DAILY_BARS.schema))
    with pytest.raises(BatchRefused, match="1 of its 1 rows have no symbol"):
        archive.read(PATH)
