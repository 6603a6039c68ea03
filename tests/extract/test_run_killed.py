"""Same answers, same raw, same marts: wherever the run was killed, or asked to stop."""

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from extract.errors import PipelineError
from extract.fetching.run import daily_plan, fetch, quotes_plan
from extract.landing.raw import EXTRACT_REQUESTS, KITE_DAILY_BARS, KITE_INSTRUMENTS, RAW_TABLES, YAHOO_DAILY_BARS
from extract.settings import PROJECT_DIR
from extract.warehouse.loading import loaded_paths
from infra.local.providers import Fault
from tests.conftest import Pipeline, copied
from tests.extract.conftest import EVENING, TRADED, Exchange, assert_same

# How many lines of its log the run writes before it is killed; the last of them are the build's.
PLACES = (3, 15, 40)


# The run, killed when it has archived its answers, and has loaded none.
KILLED_BEFORE_THE_LOAD = """
import os, signal
from extract.fetching import extraction
from tests.extract import run_at
extraction.note_landing = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
run_at.main()
"""


def start(exchange: Exchange, pipeline: Pipeline, log: Path) -> "subprocess.Popen[str]":
    exchange.providers.clock = lambda: EVENING
    with log.open("a") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.extract.run_at", EVENING.isoformat(), ",".join(TRADED)],
            env=exchange.environment(pipeline),
            cwd=PROJECT_DIR,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
        )


def run_daily(exchange: Exchange, pipeline: Pipeline, now: datetime) -> None:
    with exchange.run(pipeline, now) as job:
        fetch(job, daily_plan(job))


def raw(pipeline: Pipeline) -> dict[str, list[str]]:
    """Every row of raw but for the run that it came in; the ledger, which tells of each attempt, apart."""
    kept = {}
    with pipeline.warehouse() as warehouse:
        for name, table in RAW_TABLES.items():
            if table.source_id:
                columns = ", ".join([*table.provider_columns.names, "_extracted_at"])
                rows = warehouse.query(f"select {columns} from `{warehouse.raw}.{name}`")
                kept[name] = sorted(repr(sorted(row.items())) for row in rows)
    return kept


def test_a_run_that_was_killed_again_and_again_ends_as_an_undisturbed_one(
    faultless: Exchange, built_pipeline: Pipeline, empty_marts: Path, tmp_path: Path
) -> None:
    undisturbed = built_pipeline
    with start(faultless, undisturbed, tmp_path / "log") as process:
        process.communicate(timeout=300)
    assert process.returncode == 0
    expected_raw, expected_marts = raw(undisturbed), undisturbed.marts()
    assert len(expected_raw[KITE_DAILY_BARS.name]) == len(expected_raw[YAHOO_DAILY_BARS.name]) == 145 * len(TRADED)
    # A warehouse of its own, because the kill takes the server too.
    own = Pipeline(tmp_path / "killed", tmp_path / "killed-warehouse", runs_data_tests=False)
    with copied(empty_marts, own.warehouse_dir):
        pass
    instants = random.Random(20241231)  # noqa: S311 The same instants each time.
    for lines_before_the_kill in PLACES:
        with start(faultless, own, tmp_path / "log") as process:
            assert process.stderr is not None
            for _ in range(lines_before_the_kill):
                if not process.stderr.readline():
                    break
            time.sleep(instants.uniform(0, 0.3))
            process.send_signal(signal.SIGKILL)
    with start(faultless, own, tmp_path / "log") as process:
        process.communicate(timeout=300)
    assert process.returncode == 0
    # Each run that died before the dump of the day was in raw asked for it again; all are the same.
    found = raw(own)
    assert set(found.pop(KITE_INSTRUMENTS.name)) == set(expected_raw.pop(KITE_INSTRUMENTS.name))
    assert found == expected_raw
    assert_same(own.marts(), expected_marts)


@pytest.mark.parametrize("days", [1, 40, 120])
def test_what_was_archived_and_not_loaded_is_loaded_however_late_the_next_run_comes(
    faultless: Exchange, pipeline: Pipeline, days: int
) -> None:
    run_daily(faultless, pipeline, EVENING)
    before = set(pipeline.archive.paths())
    killed_at = EVENING + timedelta(days=1)
    faultless.providers.clock = lambda: killed_at
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_BEFORE_THE_LOAD, killed_at.isoformat(), ",".join(TRADED)],
        env=faultless.environment(pipeline),
        cwd=PROJECT_DIR,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    archived = set(pipeline.archive.paths()) - before
    assert {path.partition("/")[0] for path in archived} >= {KITE_DAILY_BARS.name, EXTRACT_REQUESTS.name}
    with pipeline.warehouse() as warehouse:
        assert not archived & loaded_paths(warehouse)
        # Quotes are landed before anybody looks for what is missing.
        with faultless.run(pipeline, killed_at + timedelta(days=days)) as job:
            fetch(job, quotes_plan(job))
        assert not archived & loaded_paths(warehouse)
    run_daily(faultless, pipeline, killed_at + timedelta(days=days))
    with pipeline.warehouse() as warehouse:
        assert set(pipeline.archive.paths()) == loaded_paths(warehouse)


def test_a_clock_that_is_behind_what_was_received_lands_nothing(faultless: Exchange, pipeline: Pipeline) -> None:
    run_daily(faultless, pipeline, EVENING)
    before = pipeline.archive.paths()
    for mode in (daily_plan, quotes_plan):
        with (
            faultless.run(pipeline, EVENING - timedelta(days=90)) as job,
            pytest.raises(PipelineError, match="clock says 2024-10-02 18:30 IST, but raw has what was received"),
        ):
            fetch(job, mode(job))
    assert pipeline.archive.paths() == before
    # The clocks of two machines are never quite the same.
    run_daily(faultless, pipeline, EVENING - timedelta(minutes=9))


def test_a_run_that_is_asked_to_stop_lands_what_was_answered_and_the_next_one_goes_on(
    faultless: Exchange, pipeline: Pipeline
) -> None:
    # Of Yahoo's second answer nothing comes within the test's time.
    faultless.providers.fail(Fault("yahoo", "latency", after=1, seconds=60))
    environment = faultless.environment(pipeline)
    month = ("--from", "2024-12-01", "--to", "2024-12-31")
    command = [sys.executable, "-m", "extract", "extract", "--symbols", ",".join(TRADED), *month]
    process = subprocess.Popen(
        command,
        env=environment,
        cwd=PROJECT_DIR,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    seen: Counter[str] = Counter()
    while seen["request answered"] < len(TRADED) + 2 or not seen["read what raw holds"]:
        line = process.stderr.readline()
        assert line, "it ended before it was asked to"
        seen[json.loads(line)["message"]] += 1
    asked_at = time.monotonic()
    process.send_signal(signal.SIGTERM)
    rest = process.communicate(timeout=30)[1]
    assert time.monotonic() - asked_at < 10
    assert process.returncode == 130
    assert "interrupted; run the same command again to continue" in rest
    rows = pipeline.query(
        "select source_id, count(*) from `{d}_raw.extract_requests` where symbol is not null and outcome = 'ok'"
        " group by source_id order by source_id"
    )
    assert rows == [("kite", len(TRADED)), ("yahoo", 1)]
    (told,) = pipeline.query(
        "select exit_status, reason, request_count, failed_request_count, landed_row_count > 0"
        " from `{d}_raw.extract_runs`"
    )
    # And Kite's dump of instruments.
    assert told == (130, "it was stopped", len(TRADED) + 2, 0, True)
    faultless.providers.fail()
    done = subprocess.run(
        [*command, "--json"],
        env=environment,
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert json.loads(done.stdout)["outcomes"] == {"yahoo": {"ok": len(TRADED) - 1}}
