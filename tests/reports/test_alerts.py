"""What a person should know: logged by the run, sent to a webhook, and told by `status` and `diagnose`."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from extract.landing.raw import KITE_DAILY_BARS
from extract.reporting.alerts import Alert, Verdict, message, send, send_failure
from extract.reporting.report import Outcome, Report, archive_report, load_report
from extract.reporting.status import VERDICTS
from extract.seeds import EXCHANGE_ZONE
from extract.settings import PROJECT_DIR, Settings
from extract.warehouse.build import Build
from infra.doubles import loopback
from tests.conftest import Pipeline, write_bars
from tests.reports.conftest import RESTATED, SECRET, SYMBOLS, Populated, Webhook

_ALERTS = "select alert_id, severity, subject, text, remedy from `{d}_operations.operations_alerts`"


def test_the_run_logs_each_alert_at_its_severity_and_sends_the_same_text(populated: Populated) -> None:
    logged = [line for line in populated.log if "alert_id" in line]
    names = ("alert_id", "severity", "subject", "message", "remedy")
    alerts = [tuple(line[name] for name in names) for line in logged]
    assert {alert_id for alert_id, *_ in alerts} >= {"source_down", "restatement", "unserved_symbols", "dispute"}
    (restated,) = [text for alert_id, _, _, text, _ in alerts if alert_id == "restatement"]
    assert RESTATED in restated
    # Nothing else has happened since: the view tells the same still.
    seen = {tuple(row) for row in populated.pipeline.query(_ALERTS)}
    # What the sources were asked for and did not send, no view knows.
    assert {told for told in alerts if told[0] != "missing_bars"} == seen
    assert len(alerts) == len(set(alerts))
    (body,) = populated.told
    heading, verdict, *lines = body["text"].splitlines()
    assert re.fullmatch(r".*, run run-\S+, \d{4}-\d\d-\d\d \d\d:\d\d IST", heading)
    # The verdict is the one of `trading-data status`.
    assert verdict.startswith(f"{VERDICTS['wrong']}. ")
    urgent = [Alert(told[0], told[1], told[2], None, told[3], told[4]) for told in alerts]
    assert "\n".join(lines) == "\n".join(message(alert) for alert in urgent if alert.severity != "INFO")
    assert len(lines) >= 2


def test_the_report_of_the_run_is_in_the_warehouse_and_its_batch_in_the_archive(populated: Populated) -> None:
    (finished,) = [line for line in populated.log if line["message"] == "run finished"]
    (run,) = populated.pipeline.query(
        "select run_id, command, exit_status, request_count, failed_request_count, landed_row_count, reason"
        " from `{d}_operations.operations_runs` where command = 'run'"
    )
    assert run[:6] == (
        finished["run_id"],
        "run",
        3,
        finished["request_count"],
        finished["failed_request_count"],
        finished["landed_row_count"],
    )
    assert run[6] == "; ".join(finished["shortfalls"])
    (path,) = [path for path in populated.pipeline.archive.paths() if path.startswith("extract_runs/")]
    assert finished["run_id"] in path


@pytest.mark.parametrize("status", [200, 500, None])
def test_a_run_that_cannot_begin_tells_a_person_whatever_the_webhook_does(
    pipeline: Pipeline, status: int | None
) -> None:
    with loopback.serving(Webhook(status or 200)) as webhook:
        # None: nobody listens there any more.
        url = webhook.url if status else webhook.url.replace(str(webhook.server_port), "1")
        # Where a person has typed it, that person reads it.
        typed = pipeline.command("build", environment={"BIGQUERY_EMULATOR_HOST": "http://127.0.0.1:1"})
        assert (typed.returncode, "run_failed" in typed.stderr, webhook.bodies) == (2, False, [])
        settings = {"BIGQUERY_EMULATOR_HOST": "http://127.0.0.1:1", "ALERT_WEBHOOK_URL": url}
        settings |= {"CLOUD_RUN_EXECUTION": "trading-data-1"}
        done = pipeline.command("build", environment=settings)
        told_count = len(webhook.bodies)
        # Cloud Run tries again at once. What the webhook took is not sent again.
        pipeline.command("build", environment=settings)
        assert len(webhook.bodies) == told_count + (status == 500)
    assert (done.returncode, "no BigQuery answers there" in done.stderr) == (2, True)
    assert SECRET not in done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    (alert,) = [line for line in lines if "alert_id" in line]
    assert (alert["alert_id"], alert["severity"], alert["remedy"]) == ("run_failed", "ERROR", "trading-data build")
    assert ("alerts not sent" in done.stderr) == (status != 200)
    if status:
        body, *_ = webhook.bodies
        assert body["text"].splitlines()[1].startswith("ERROR: The last build failed (build-")
        assert "no BigQuery answers there" in body["text"]


@pytest.mark.parametrize("what", ["no archive", "a lease that cannot be read"])
def test_a_run_that_cannot_be_the_only_writer_tells_a_person(pipeline: Pipeline, what: str) -> None:
    if what == "no archive":
        pipeline.archive_dir.write_text("not a folder")
    else:
        pipeline.archive.create("leases/000000/000000001.json", b"torn")
    with loopback.serving(Webhook()) as webhook:
        settings = {"ALERT_WEBHOOK_URL": webhook.url, "CLOUD_RUN_EXECUTION": "trading-data-1"}
        done = pipeline.command("run", environment=settings)
    assert done.returncode != 0
    (body,) = webhook.bodies
    assert body["text"].splitlines()[1].startswith("ERROR: The last run failed (run-")
    assert ("cannot be opened" if what == "no archive" else "does not tell who writes") in body["text"]
    if what != "no archive":
        # Not loaded: whoever has the lease may be loading.
        (path,) = pipeline.archive.paths()
        assert pipeline.archive.read(path).rows["exit_status"].to_pylist() == [1]


def test_who_stops_reading_the_log_does_not_take_the_work_for_done(pipeline: Pipeline) -> None:
    day = datetime(2024, 6, 3, tzinfo=EXCHANGE_ZONE)
    write_bars(pipeline.archive, KITE_DAILY_BARS, "batch", day, {"symbol": "TCS", "date": day, "close": 1.0})
    command = [sys.executable, "-m", "extract", "replay", "--no-build"]
    with subprocess.Popen(
        command, env=pipeline.environment, cwd=PROJECT_DIR, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        process.stderr.close()
        assert process.wait(120) == 1
    (path,) = [path for path in pipeline.archive.paths() if path.startswith("extract_runs/")]
    (row,) = pipeline.archive.read(path).rows.to_pylist()
    # What it had loaded by then is told.
    assert (row["exit_status"], row["landed_row_count"]) == (1, 1)


def test_a_build_of_which_a_test_fails_is_reported_and_tells_a_person(built_pipeline: Pipeline) -> None:
    built_pipeline.query(
        "insert into `{d}.fct_daily_bars`"
        " (symbol, instrument_id, source_id, open, high, low, close, volume, is_provisional, is_valid, trade_date,"
        " extracted_at)"
        " values ('TCS', 1, 'kite', 100, 90, 110, 100, 1, false, true, date_add(current_date, interval 9 day),"
        " current_timestamp())"
    )
    # Without a new batch, nothing is built.
    day = datetime.now(EXCHANGE_ZONE) - timedelta(days=1)
    bar = {"symbol": "TCS", "date": day, "open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0, "volume": 1}
    write_bars(built_pipeline.archive, KITE_DAILY_BARS, "later", datetime.now(EXCHANGE_ZONE), bar)
    built_pipeline.replay()
    with loopback.serving(Webhook()) as webhook:
        done = built_pipeline.command("build", environment={"ALERT_WEBHOOK_URL": webhook.url})
    assert done.returncode == 1, done.stderr[-2000:]
    (body,) = webhook.bodies
    assert body["text"].splitlines()[1].startswith("ERROR: The last build failed (build-")
    assert "sound_rows_fct_daily_bars" in body["text"]
    (told,) = built_pipeline.query(
        "select exit_status, failed_node_count > 0, reason, landed_row_count from `{d}_raw.extract_runs`"
        " where command = 'build'"
    )
    assert (told[:2], "sound_rows_fct_daily_bars" in told[2], told[3]) == ((1, True), True, 0)


def test_a_report_sums_the_builds_up_and_counts_the_nodes_of_the_last() -> None:
    began = datetime(2024, 6, 3, 18, 30, tzinfo=EXCHANGE_ZONE)
    outcome = Outcome(builds=[Build(None, 1, 60, [("a", "b")], 10, 30), Build(None, 1, 70, [], 5, 20)])
    told = Report.of("run", outcome, began, began)
    assert (told.exit_status, told.reason, told.built_node_count, told.failed_node_count) == (0, None, 70, 0)
    assert (told.bytes_processed, told.bytes_billed) == (15, 50)


def test_a_report_that_cannot_be_loaded_stands_and_is_loaded_by_the_next_run(pipeline: Pipeline) -> None:
    began = datetime(2024, 6, 3, 18, 30, tzinfo=EXCHANGE_ZONE)
    path = archive_report(Report.of("build", Outcome(), began, began), "build-1", pipeline.archive)
    elsewhere = pipeline.environment | {"BIGQUERY_EMULATOR_HOST": "http://127.0.0.1:1"}
    load_report(path, pipeline.archive, Settings.from_environment(elsewhere))
    assert pipeline.replay().loaded == 1
    assert pipeline.query("select _run_id, exit_status from `{d}_raw.extract_runs`") == [("build-1", 0)]


def test_a_webhook_that_is_no_address_is_refused_without_being_quoted(pipeline: Pipeline) -> None:
    done = pipeline.command("status", environment={"ALERT_WEBHOOK_URL": SECRET})
    assert (done.returncode, "ALERT_WEBHOOK_URL is not an address" in done.stderr) == (2, True)
    assert SECRET not in done.stderr


def test_status_says_what_is_wrong_and_what_mends_it_within_eighty_columns(populated: Populated) -> None:
    done = populated.pipeline.command("status", environment={"COLUMNS": "80"})
    assert done.returncode == 3
    lines = done.stdout.splitlines()
    # What is to be typed stands on one line, to be copied.
    assert max(len(line) for line in lines if not line.lstrip().startswith("> ")) <= 80
    alerts = [tuple(row) for row in populated.pipeline.query(_ALERTS)]
    # The verdict comes first, then what is wrong, and what to type.
    assert lines[0].startswith("Something is wrong. ")
    assert lines[1].startswith(("CRITICAL ", "ERROR ")) or lines[2].startswith(("CRITICAL ", "ERROR "))
    for _, severity, _, text, remedy in alerts:
        first_words = " ".join(text.split()[:4])
        assert any(line.startswith(f"{severity:8} {first_words}") for line in lines), text
        assert remedy is None or f"         > {remedy}" in map(str.rstrip, lines)
    told = json.loads(populated.pipeline.command("status", "--json").stdout)
    names = ("alert_id", "severity", "subject", "text", "remedy")
    assert {tuple(alert[name] for name in names) for alert in told["alerts"]} >= set(alerts)
    assert (told["verdict"], told["reasons"][0]["severity"]) == ("wrong", told["alerts"][0]["severity"])


def test_diagnose_tells_what_the_last_run_took_and_what_a_run_needs(populated: Populated) -> None:
    pipeline = populated.pipeline
    key = {"KITE_API_KEY": "k"}
    done = pipeline.command("diagnose", environment=key | {"COLUMNS": "80"})
    assert done.returncode == 3
    lines = done.stdout.splitlines()
    assert max(len(line) for line in lines if not line.lstrip().startswith("> ")) <= 80
    # Nobody has logged in where the token comes from here.
    assert "> trading-data kite-login" in done.stdout
    told = json.loads(pipeline.command("diagnose", "--json", environment=key).stdout)
    checks = {check["subject"]: check["is_ok"] for check in told["checks"]}
    assert checks == {
        "archive": True,
        "writer": True,
        "kite session": False,
        "warehouse": True,
        "marts": True,
        "last build": True,
        "loads": True,
    }
    (run, *_) = told["runs"]
    (finished,) = [line for line in populated.log if line["message"] == "run finished"]
    assert (run["run_id"], run["request_count"]) == (finished["run_id"], finished["request_count"])
    assert {source["source_id"]: source["failed_count"] for source in told["sources"]} == {"kite": 1, "yahoo": 1}
    assert sum(source["request_count"] for source in told["sources"]) >= 2 * len(SYMBOLS)
    started = datetime.fromisoformat(run["started_at"]).astimezone(EXCHANGE_ZONE)
    (line,) = [line for line in lines if line.startswith(f"{started:%Y-%m-%d %H:%M}")]
    assert line.split()[2:4] == ["run", "3"]
    assert told["statements"], "BigQuery remembers none"
    assert (told["bill"], "This warehouse bills nothing." in lines) == (None, True)
    # Of a batch that was archived long ago and never loaded.
    unloaded = write_bars(
        pipeline.archive, KITE_DAILY_BARS, "killed", datetime(2024, 1, 2, tzinfo=UTC), {"symbol": "TCS"}
    )
    said = pipeline.command("diagnose", environment={"COLUMNS": "300"}).stdout
    assert f"raw lacks 1 batch of the archive, such as {unloaded}" in said
    assert "> trading-data replay" in said
    (pipeline.archive_dir / unloaded).unlink()


def test_diagnose_where_nothing_is_says_what_to_type(pipeline: Pipeline) -> None:
    done = pipeline.command("diagnose")
    assert done.returncode == 3
    assert "nothing has been built yet" in done.stdout
    assert "> trading-data run" in done.stdout
    no_folder = pipeline.warehouse_dir / "file"
    no_folder.touch()
    for setting in ("ARCHIVE_URI", "LEASE_URI"):
        done = pipeline.command("diagnose", environment={setting: str(no_folder)})
        said = " ".join(done.stdout.split())
        assert (done.returncode, "cannot be opened" in said) == (3, True)
        assert f"> correct {setting}, or the access rights to it" in said


def test_the_webhook_is_told_what_is_new_worse_or_gone_and_once_a_day_what_stands(pipeline: Pipeline) -> None:
    now = datetime(2024, 6, 5, 18, 40, tzinfo=EXCHANGE_ZONE)
    late = Alert("late_data", "WARNING", "2024-06-05", 250, "It is late.", "trading-data run")
    down = Alert("source_down", "ERROR", "kite", 250, "Kite is down.", None)
    known = Alert("dispute", "INFO", "2024-06-05", 3, "They are apart.", None)

    with loopback.serving(Webhook()) as webhook:
        settings = Settings.from_environment(pipeline.environment | {"ALERT_WEBHOOK_URL": webhook.url})

        def said(alerts: list[Alert], later: timedelta) -> list[str]:
            """What is sent, without its heading."""
            webhook.bodies.clear()
            send(alerts, settings, "run-1", now + later)
            return [line for body in webhook.bodies for line in body["text"].splitlines()[1:]]

        def sent_failure(alert: Alert, later: timedelta) -> list[str]:
            webhook.bodies.clear()
            send_failure(alert, settings, "run-1", now + later)
            return [line for body in webhook.bodies for line in body["text"].splitlines()[1:]]

        assert said([known], timedelta()) == []
        assert said([late, known], timedelta()) == ["WARNING: It is late.", "    trading-data run"]
        heading = webhook.bodies[0]["text"].splitlines()[0]
        assert heading == f"{pipeline.warehouse_dir}, run run-1, 2024-06-05 18:40 IST"
        assert said([late, known], timedelta(hours=14)) == []
        assert said([down, late], timedelta(hours=14)) == ["ERROR: Kite is down."]
        some = Alert("unserved_symbols", "WARNING", "2024-06-05", 1, "One is missing.", None)
        more, many = (
            replace(some, symbol_count=2, text="Two are missing."),
            replace(some, symbol_count=3, text="Three."),
        )
        assert said([down, late, some], timedelta(hours=14, minutes=1)) == ["WARNING: One is missing."]
        assert said([down, late, more], timedelta(hours=14, minutes=2)) == ["WARNING: Two are missing."]
        assert said([down, late, many], timedelta(hours=14, minutes=3)) == []
        assert said([down, late], timedelta(hours=14, minutes=4)) == ["RESOLVED: Two are missing."]
        worse = replace(late, severity="CRITICAL")
        assert said([worse, down], timedelta(hours=15)) == ["CRITICAL: It is late.", "    trading-data run"]
        # A day after it was sent.
        assert said([worse, down], timedelta(hours=34, minutes=30)) == ["ERROR: Kite is down."]
        assert said([worse], timedelta(hours=34, minutes=40)) == ["RESOLVED: Kite is down."]
        assert said([worse], timedelta(hours=34, minutes=50)) == []
        # Another file of a person's beside those that tell what was sent.
        (kept_in,) = (pipeline.archive_dir / "alerts").iterdir()
        (kept_in / "notes.json").write_text("{}")
        # What nobody took is sent again.
        webhook.status = 500
        assert said([worse, down], timedelta(hours=34, minutes=55)) == ["ERROR: Kite is down."]
        webhook.status = 200
        assert said([worse, down], timedelta(hours=34, minutes=58)) == ["ERROR: Kite is down."]
        # It is new, though it was told before: it was gone meanwhile.
        assert said([], timedelta(hours=35)) == ["RESOLVED: It is late.", "RESOLVED: Kite is down."]
        assert said([down], timedelta(hours=35)) == ["ERROR: Kite is down."]
        # A command that failed tells nothing of the other alerts.
        failed = Alert("run_failed", "ERROR", "run", None, "The last run failed (run-2).", None)
        assert sent_failure(failed, timedelta(hours=36)) == ["ERROR: The last run failed (run-2)."]
        later = replace(failed, text="The last run failed (run-3).")
        assert sent_failure(later, timedelta(hours=36, minutes=1)) == []
        assert said([down, later], timedelta(hours=37)) == []
        assert said([down], timedelta(hours=38)) == ["RESOLVED: The last run failed (run-2)."]
        assert sent_failure(failed, timedelta(hours=39)) == ["ERROR: The last run failed (run-2)."]


def test_a_command_that_ends_well_makes_earlier_failures_good_as_the_view_has_it() -> None:
    failed = Alert("run_failed", "ERROR", "run", None, "The last run failed.", None)
    late = Alert("unserved_symbols", "WARNING", "2024-06-05", 2, "Two are missing.", None)
    known = Alert("dispute", "INFO", "2024-06-05", 3, "They are apart.", None)
    verdict = Verdict("wrong", [failed, late, known])
    assert verdict.after("run") == Verdict("incomplete", [late, known])
    # The bars that a run could not fetch are not here after a backfill.
    assert verdict.after("backfill") == verdict
    stopped = Alert("run_failed", "ERROR", "import", None, "The last import failed.", None)
    assert Verdict("wrong", [failed, stopped, known]).after("backfill") == Verdict("wrong", [failed, known])
    assert Verdict("wrong", [failed, stopped, known]).after("run") == Verdict("ok", [known])
    assert Verdict("ok", [known]).beside([late]) == Verdict("incomplete", [late, known])
    assert Verdict("wrong", [failed, known]).beside([late]) == verdict
    assert Verdict("ok", []).beside([]) == Verdict("ok", [])
