import io
import json
import shutil
import sys
from pathlib import Path

import pytest
import structlog

from extract.cli import main
from extract.commands.line import _OTHER_WORDS
from extract.commands.terminal import configure_logs
from infra.local.warehouse import find
from tests.conftest import Pipeline


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (["--verbose"], {}, "COMMAND"),
        (["stauts"], {}, "there is no command 'stauts'; did you mean status?"),
        (["-v", "xyzzy"], {}, "there is no command 'xyzzy'; see `trading-data --help`"),
        (["Fetch", "TCS"], {}, "there is no command 'Fetch'; did you mean extract?"),
        (["run", "--simbols", "TCS"], {}, "--simbols is not known here; did you mean --symbols?"),
        (["status", "--yaml"], {}, "--yaml"),
        (["query", "select 1", "--format", "xml"], {}, "xml"),
        (["status"], {"BIGQUERY_DATASET": "my-data"}, "BIGQUERY_DATASET is 'my-data'"),
        (["replay"], {"ARCHIVE_URI": "s3://bucket"}, "ARCHIVE_URI is 's3://bucket'"),
        (["replay"], {"BIGQUERY_PROJECT": "prod", "ARCHIVE_URI": ""}, "BIGQUERY_PROJECT is set and ARCHIVE_URI is not"),
        (["warehouse"], {"BIGQUERY_EMULATOR_HOST": "http://127.0.0.1:1"}, "BIGQUERY_EMULATOR_HOST is set"),
        (["status"], {"BIGQUERY_EMULATOR_HOST": "127.0.0.1:1"}, "http://127.0.0.1:1, and no BigQuery answers there"),
        (["run", "--symbols", "TCS,NOBODY"], {}, "NOBODY: not in seeds/instruments.csv"),
        (["run", "--mode", "deep"], {}, "deep"),
        (["extract", "--from", "yesterday"], {}, "'yesterday' is not a day; write YYYY-MM-DD"),
        (["backfill", "--from", "2024-02-01", "--to", "2024-01-01"], {}, "--from 2024-02-01 lies after 2024-01-01"),
        (["run"], {"KITE_REQUESTS_PER_SECOND": "fast"}, "KITE_REQUESTS_PER_SECOND is 'fast': use a number above zero"),
        (["run"], {"KITE_BASE_URL": "http://127.0.0.1:1/kite"}, "KITE_BASE_URL is 'http://127.0.0.1:1/kite'"),
        (
            ["status"],
            {"WAREHOUSE_IDLE_SECONDS": "-1"},
            "WAREHOUSE_IDLE_SECONDS is '-1': use zero, or a number above it",
        ),
        (["kite-login"], {"KITE_API_KEY": "key"}, "KITE_API_KEY and KITE_API_SECRET are needed"),
        (["status"], {"WAREHOUSE_DIR": "/dev/null/warehouse"}, "WAREHOUSE_DIR is /dev/null/warehouse"),
    ],
)
def test_bad_usage_and_configuration_exit_2_and_say_what_is_wrong(
    pipeline: Pipeline,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    environment: dict[str, str],
    words: str,
) -> None:
    for name, value in (pipeline.environment | environment).items():
        monkeypatch.setenv(name, value)
    try:
        status = main(arguments)
    except SystemExit as ended:
        status = int(ended.code or 0)
    assert status == 2
    assert words in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize(
    ("typed", "usage"),
    [
        (["help"], "usage: trading-data [-h]"),
        (["help", "status"], "usage: trading-data status [-h]"),
        (["-v", "help"], "usage: trading-data [-h]"),
    ],
)
def test_help_as_a_word(capsys: pytest.CaptureFixture[str], typed: list[str], usage: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(typed)
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(usage)


@pytest.mark.parametrize("meant", sorted(set(_OTHER_WORDS.values())))
def test_what_is_suggested_for_another_word_is_there(meant: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main([meant.split(maxsplit=1)[0], "--help"])
    assert ended.value.code == 0


def test_status_before_any_build_says_what_to_run(pipeline: Pipeline) -> None:
    done = pipeline.command("status")
    assert done.returncode == 1
    assert "run `trading-data run`" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_statement_that_bigquery_refuses_exits_1_with_its_words(pipeline: Pipeline) -> None:
    done = pipeline.command("query", "select nothing from nowhere.at_all")
    assert done.returncode == 1
    assert "nothing has been built yet; run `trading-data run`" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("csv", "symbol,close,trade_date\nTCS,1.5,2024-01-02\n"),
        ("json", '[\n{"symbol": "TCS", "close": 1.5, "trade_date": "2024-01-02"}\n]\n'),
        ("jsonl", '{"symbol": "TCS", "close": 1.5, "trade_date": "2024-01-02"}\n'),
        (
            "markdown",
            "| symbol | close | trade_date |\n| --- | --- | --- |\n| TCS | 1.5 | 2024-01-02 |\n",
        ),
    ],
)
def test_query_prints_for_machines(pipeline: Pipeline, form: str, expected: str) -> None:
    sql = "select 'TCS' as symbol, numeric '1.5' as close, date '2024-01-02' as trade_date"
    done = pipeline.command("query", sql, "--format", form)
    assert (done.returncode, done.stdout) == (0, expected)


def test_replay_of_an_empty_archive_builds_empty_marts_and_status_is_degraded(
    empty_marts: Path, built_pipeline: Pipeline
) -> None:
    report = json.loads((empty_marts.parent / "report.json").read_text())
    assert report["replay"]["found"] == 0
    assert report["build"]["window_start"] is None
    assert report["build"]["failed"] == []
    done = built_pipeline.command("status", "--json")
    status = json.loads(done.stdout)
    assert done.returncode == 3
    assert status["record_count"] == 0
    assert status["latest_trade_date"] is None
    assert status["is_degraded"]
    # What goes to standard error, where no terminal is, is one JSON object a line.
    assert all("severity" in json.loads(line) for line in done.stderr.splitlines())


def test_an_execution_of_cloud_run_that_is_incomplete_is_not_repeated(built_pipeline: Pipeline) -> None:
    assert built_pipeline.command("status").returncode == 3
    assert built_pipeline.command("status", environment={"CLOUD_RUN_EXECUTION": "trading-data-x7k2p"}).returncode == 0


def test_a_command_leaves_the_warehouse_running_which_status_tells_and_stop_stops(
    empty_marts: Path, tmp_path: Path
) -> None:
    shutil.copytree(empty_marts, tmp_path / "warehouse", ignore=shutil.ignore_patterns("address", "*.lock"))
    own, kept = Pipeline(tmp_path / "archive", tmp_path / "warehouse"), {"WAREHOUSE_IDLE_SECONDS": "600"}
    try:
        assert own.command("query", "select 1", environment=kept).returncode == 0
        server = find(own.warehouse_dir)
        assert server is not None
        shown = " ".join(own.command("status", environment=kept).stdout.split())
        assert f"{server.address}, for 10 minutes after the last command; `trading-data warehouse --stop`" in shown
    finally:
        stopped = own.command("warehouse", "--stop")
    assert (stopped.returncode, stopped.stderr) == (0, "The embedded warehouse has stopped.\n")
    assert find(own.warehouse_dir) is None
    again = own.command("warehouse", "--stop")
    assert (again.returncode, again.stderr.startswith("No embedded warehouse is running in ")) == (0, True)


def test_what_is_logged_after_a_command_ended_goes_to_the_standard_error_of_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = structlog.get_config()
    try:
        # Of whoever called the command in process, and has closed it since.
        with io.StringIO() as closed:
            monkeypatch.setattr(sys, "stderr", closed)
            configure_logs("any")
        later = io.StringIO()
        monkeypatch.setattr(sys, "stderr", later)
        structlog.get_logger().info("batches loaded")
        assert json.loads(later.getvalue())["message"] == "batches loaded"
    finally:
        structlog.configure(**kept)
