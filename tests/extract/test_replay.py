import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from extract.errors import PipelineError
from extract.landing.archive import Archive
from extract.landing.batch import Batch
from extract.landing.raw import EXTRACT_REQUESTS, KITE_DAILY_BARS, YAHOO_DAILY_BARS
from extract.warehouse import replay as archive_source
from extract.warehouse.connection import Warehouse
from extract.warehouse.loading import load, loaded_paths
from extract.warehouse.notes import note_build, note_landing, unmerged_batches
from tests.conftest import Pipeline, write_bars

TUESDAY, WEDNESDAY = datetime(2024, 1, 1, 18, 30, tzinfo=UTC), datetime(2024, 1, 2, 18, 30, tzinfo=UTC)
ON_TUESDAY, ON_WEDNESDAY = datetime(2024, 1, 2, 13, 0, tzinfo=UTC), datetime(2024, 1, 3, 13, 0, tzinfo=UTC)


def _bar(symbol: str, day: datetime, close: float) -> dict[str, object]:
    return {
        "symbol": symbol,
        "date": day,
        "open": close - 1,
        "high": close + 1,
        "low": close - 2,
        "close": close,
        "volume": 1000,
    }


def test_only_what_raw_lacks_is_loaded(pipeline: Pipeline) -> None:
    first = write_bars(pipeline.archive, KITE_DAILY_BARS, "a", ON_TUESDAY, _bar("TCS", TUESDAY, 100))
    assert (pipeline.replay().loaded, pipeline.replay().loaded) == (1, 0)
    second = write_bars(pipeline.archive, YAHOO_DAILY_BARS, "b", ON_WEDNESDAY, _bar("TCS", TUESDAY, 100))
    outcome = pipeline.replay()
    assert (outcome.found, outcome.loaded, outcome.rows) == (2, 1, 1)
    with pipeline.warehouse() as warehouse:
        assert loaded_paths(warehouse) == {first, second}
    assert pipeline.query("select close, _run_id from `{d}_raw.kite_daily_bars`") == [(100.0, "a")]


def test_an_archive_that_moved_replays_the_same(pipeline: Pipeline) -> None:
    write_bars(pipeline.archive, KITE_DAILY_BARS, "a", ON_TUESDAY, _bar("TCS", TUESDAY, 100))
    assert pipeline.replay().loaded == 1
    moved = replace(pipeline, archive_dir=pipeline.archive_dir.with_name("moved"))
    pipeline.archive_dir.rename(moved.archive_dir)
    assert moved.replay().loaded == 0


def _loads_of_kite(pipeline: Pipeline, since: datetime) -> list[str]:
    with pipeline.warehouse() as warehouse:
        jobs = warehouse.client.list_jobs(min_creation_time=since, timeout=60)
        return [job.job_id for job in jobs if job.job_id.startswith("load_kite")]


def test_many_batches_go_into_few_load_jobs(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_source, "_BATCHES_PER_LOAD", 3)
    began = datetime.now(UTC)
    for number in range(7):
        write_bars(pipeline.archive, KITE_DAILY_BARS, f"run-{number}", ON_TUESDAY, _bar("TCS", TUESDAY, 100 + number))
    assert pipeline.replay().loaded == 7
    assert len(_loads_of_kite(pipeline, began)) == 3
    assert pipeline.query("select count(distinct _archive_path), count(*) from `{d}_raw.kite_daily_bars`") == [(7, 7)]


def test_a_replay_that_dies_has_not_loaded_the_ledger_before_the_bars(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"source_id": "yahoo", "raw_table": "yahoo_daily_bars", "outcome": "ok", "requested_at": ON_TUESDAY}
    write_bars(pipeline.archive, EXTRACT_REQUESTS, "run-1", ON_TUESDAY, asked)
    write_bars(pipeline.archive, YAHOO_DAILY_BARS, "run-1", ON_TUESDAY, _bar("TCS", TUESDAY, 100))

    def dies(warehouse: Warehouse, batches: Sequence[Batch]) -> None:
        if batches[0].table is YAHOO_DAILY_BARS:
            raise PipelineError("the process was killed")
        load(warehouse, batches)

    with monkeypatch.context() as patch:
        patch.setattr(archive_source, "load", dies)
        with pytest.raises(PipelineError):
            pipeline.replay()
    # From the ledger, the next run would conclude that everything older had been loaded.
    assert pipeline.query("select count(*) from `{d}_raw.extract_requests`") == [(0,)]
    assert pipeline.replay().loaded == 2


def test_a_load_whose_answer_was_lost_is_not_repeated(pipeline: Pipeline) -> None:
    path = write_bars(pipeline.archive, KITE_DAILY_BARS, "a", ON_TUESDAY, _bar("TCS", TUESDAY, 100))
    with pipeline.warehouse() as warehouse:
        warehouse.create_raw()
        batch = pipeline.archive.read(path)
        load(warehouse, [batch])
        load(warehouse, [batch])
    assert pipeline.query("select count(*) from `{d}_raw.kite_daily_bars`") == [(1,)]


def test_raw_that_was_dropped_is_loaded_again(pipeline: Pipeline) -> None:
    # BigQuery remembers the ids of the load jobs that filled the dropped tables.
    write_bars(pipeline.archive, KITE_DAILY_BARS, "a", ON_TUESDAY, _bar("TCS", TUESDAY, 100))
    for _ in range(3):
        assert pipeline.replay().loaded == 1
        assert pipeline.query("select close from `{d}_raw.kite_daily_bars`") == [(100.0,)]
        with pipeline.warehouse() as warehouse:
            warehouse.client.delete_dataset(warehouse.raw, delete_contents=True, timeout=60)


def test_a_table_that_is_made_anew_takes_the_same_batches_any_number_of_times(pipeline: Pipeline) -> None:
    began = datetime.now(UTC)
    # A candidate's tables expire each week, and each release replays the same batches; a job's id is kept for months.
    write_bars(pipeline.archive, KITE_DAILY_BARS, "a", ON_TUESDAY, _bar("TCS", TUESDAY, 100))
    # A year of them: an id has at most twenty numbers.
    for _ in range(52):
        assert pipeline.replay().loaded == 1
        pipeline.query("drop table `{d}_raw.kite_daily_bars`")
    jobs = _loads_of_kite(pipeline, began)
    assert len(jobs) == 52
    # Each has found its first number free: none stands in the next one's way.
    assert {job[-2:] for job in jobs} == {"_1"}


class SlowArchive(Archive):
    """An archive whose every object takes a while, and that keeps how many were read at once, and how far ahead."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.lock = threading.Lock()
        self.reading = self.most_at_once = self.begun = 0

    def body(self, path: str) -> bytes:
        with self.lock:
            self.reading += 1
            self.begun += 1
            self.most_at_once = max(self.most_at_once, self.reading)
        # The first of them the longest: what is read sooner has to wait for its turn.
        time.sleep(0.05 if self.begun % 7 else 0.2)
        with self.lock:
            self.reading -= 1
        return super().body(path)


def test_batches_are_read_sixteen_at_once_in_order_and_no_further_ahead(pipeline: Pipeline) -> None:
    for number in range(60):
        write_bars(pipeline.archive, KITE_DAILY_BARS, f"r{number:02}", ON_TUESDAY, _bar("TCS", TUESDAY, 100 + number))
    archive = SlowArchive(str(pipeline.archive_dir))
    torn = pipeline.archive_dir / archive.paths()[30]
    torn.write_bytes(b"")
    outcome = archive_source.Replay()
    came = []
    for taken, batch in enumerate(archive_source._accepted(archive, archive.paths(), outcome), start=1):
        came.append(batch.path)
        # What was read and not yet taken is in memory, as the bytes of its object.
        assert archive.begun - taken - len(outcome.refused) <= 16
    assert came == [path for path in archive.paths() if path != archive.paths()[30]]
    assert [path for path, _ in outcome.refused] == [archive.paths()[30]]
    assert archive.most_at_once == 16


def test_what_is_refused_is_named_and_the_others_load_and_build(built_pipeline: Pipeline) -> None:
    pipeline = built_pipeline
    for run_id in ("good", "torn", "empty", "misplaced"):
        write_bars(pipeline.archive, KITE_DAILY_BARS, run_id, ON_TUESDAY, _bar("TCS", TUESDAY, 100))
    day = pipeline.archive_dir / "kite_daily_bars" / "extracted_on=2024-01-02"
    (day / "torn-0000.parquet").write_bytes((day / "torn-0000.parquet").read_bytes()[:100])
    (day / "empty-0000.parquet").write_bytes(b"")
    (day / "misplaced-0000.parquet").rename(day / "mislaid-0000.parquet")
    done = pipeline.command("replay")
    assert done.returncode == 3
    assert "4 batches found, 1 loaded (1 row), 3 refused" in done.stdout
    for name, reason in (("torn", "damaged"), ("empty", "0 bytes"), ("mislaid", "lies under a wrong name")):
        (line,) = [line for line in done.stdout.splitlines() if f"{name}-0000.parquet" in line]
        assert reason in line
    assert "Traceback" not in done.stderr
    assert pipeline.query("select symbol, close, is_valid from `{d}.fct_daily_bars`") == [("TCS", 100, True)]
    # They are refused again, and the one that loaded is not loaded again, nor what the first replay told of itself.
    assert "5 batches found, 0 loaded (0 rows), 3 refused" in pipeline.command("replay", "--no-build").stdout


def test_a_build_reaches_back_to_what_it_has_not_seen_and_a_changed_project_to_everything(
    built_pipeline: Pipeline,
) -> None:
    pipeline = replace(built_pipeline, runs_data_tests=False)
    write_bars(pipeline.archive, KITE_DAILY_BARS, "a", ON_WEDNESDAY, _bar("TCS", WEDNESDAY, 100))
    pipeline.replay()
    assert pipeline.build().window_start == date(2024, 1, 1)
    # A batch that nothing older than June is in, then one that has a bar of 2019.
    june = datetime(2024, 6, 4, 13, 0, tzinfo=UTC)
    write_bars(pipeline.archive, KITE_DAILY_BARS, "b", june, _bar("TCS", datetime(2024, 6, 3, 18, 30, tzinfo=UTC), 120))
    pipeline.replay()
    assert pipeline.build().window_start == date(2024, 6, 1)
    old = datetime(2019, 5, 13, 18, 30, tzinfo=UTC)
    write_bars(pipeline.archive, KITE_DAILY_BARS, "c", june, _bar("TCS", old, 80))
    pipeline.replay()
    built = pipeline.build()
    assert (built.window_start, built.merged_batches) == (date(2019, 5, 1), 1)
    closes = "select trade_date, close, previous_close from `{d}.fct_daily_bars` order by trade_date"
    assert pipeline.query(closes) == [
        (date(2019, 5, 14), 80, None),
        (date(2024, 1, 3), 100, None),
        (date(2024, 6, 4), 120, None),
    ]
    assert pipeline.build().merged_batches == 0
    # Another project of models made the marts: they are made anew.
    with pipeline.warehouse() as warehouse:
        note_build(warehouse, "the digest of another project", None)
    assert pipeline.build().window_start is None


def test_a_batch_that_was_noted_and_never_loaded_is_merged_when_it_comes(built_pipeline: Pipeline) -> None:
    pipeline = replace(built_pipeline, runs_data_tests=False)
    path = write_bars(pipeline.archive, KITE_DAILY_BARS, "a", ON_TUESDAY, _bar("TCS", TUESDAY, 100))
    with pipeline.warehouse() as warehouse:
        warehouse.create_raw()
        # The process died between its note and its load, and another one built.
        note_landing(warehouse, [pipeline.archive.read(path)])
        assert unmerged_batches(warehouse) == []
    assert pipeline.build().merged_batches == 0
    pipeline.replay()
    assert pipeline.build().merged_batches == 1
    assert pipeline.query("select count(*) from `{d}.fct_daily_bars`") == [(1,)]


def test_an_archive_that_cannot_be_opened_is_a_configuration_error(pipeline: Pipeline) -> None:
    pipeline.archive_dir.write_text("not a folder")
    done = pipeline.command("replay")
    assert done.returncode == 2
    assert str(pipeline.archive_dir) in done.stderr
    assert "Traceback" not in done.stderr
