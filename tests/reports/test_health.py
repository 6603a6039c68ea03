"""The real server, asked over HTTP: how is the pipeline, and is the data there?"""

import json
from datetime import UTC, datetime, timedelta

import pytest
from fastapi import FastAPI

from extract.api.health import health_routes
from extract.errors import PipelineError
from extract.reporting.status import Status, read_status
from extract.warehouse.notes import note_build
from tests.conftest import Pipeline
from tests.reports.conftest import AUTHORIZATION, TOKEN, Populated, answering, serving


def test_without_a_token_only_the_health_is_answered(pipeline: Pipeline) -> None:
    with serving(pipeline) as client:
        assert client.get("/live").json() == {"status": "alive"}
        assert client.get("/ready").status_code == 200
        answer = client.get("/health")
        assert answer.status_code == 503
        assert answer.json()["status"] == "unhealthy"
        assert (answer.json()["warehouse"], answer.json()["last_good_build"]) == ("ok", "nothing was built yet")
        assert answer.json()["verdict"] is None
        answer = client.get("/data-status", headers=AUTHORIZATION)
        assert (answer.status_code, "API_TOKEN is not set" in answer.json()["detail"]) == (403, True)


def test_who_sends_the_token_is_told_the_state_of_the_data(built_pipeline: Pipeline) -> None:
    with serving(built_pipeline, API_TOKEN=TOKEN) as client:
        answer = client.get("/health")
        assert (answer.status_code, answer.json()["status"]) == (200, "healthy")
        for headers in ({}, {"Authorization": "Bearer other"}, {"Authorization": "Basic eDp5"}):
            assert client.get("/data-status", headers=headers).status_code == 401
        status = client.get("/data-status", headers=AUTHORIZATION).json()
        assert (status["latest_date"], status["total_records"], status["is_degraded"]) == (None, 0, True)
        with built_pipeline.warehouse() as warehouse:
            old = datetime.now(UTC) - timedelta(hours=30)
            list(
                warehouse.query(f"update `{warehouse.raw}.builds` set built_at = timestamp '{old:%F %T}+00' where true")
            )
        answer = client.get("/health")
        assert (answer.status_code, answer.json()["last_good_build"]) == (503, "it was 30 hours ago")


def test_the_verdict_for_probes_is_kept_until_a_build_and_a_failure_is_not(built_pipeline: Pipeline) -> None:
    told: list[str] = []
    with built_pipeline.warehouse() as warehouse:
        status = read_status(warehouse)

        def read() -> Status:
            told.append("asked")
            if len(told) == 3:
                raise PipelineError("it was busy")
            return status

        app = FastAPI()
        app.include_router(health_routes(built_pipeline.settings, lambda: warehouse, lambda: datetime.now(UTC), read))
        with answering(app) as client:
            verdicts = [client.get("/health").json()["verdict"] for _ in range(4)]
            state = status.verdict.state
            # After the first probe, the build that it saw was new.
            assert (verdicts, len(told)) == ([state] * 4, 2)
            note_build(warehouse, "another", None)
            verdicts = [client.get("/health").json()["verdict"] for _ in range(5)]
            # The probe that sees the build still has the earlier verdict.
            assert (verdicts, len(told)) == ([state, None, state, state, state], 4)


def test_the_reasons_are_those_of_the_command(populated: Populated) -> None:
    told = json.loads(populated.pipeline.command("status", "--json").stdout)
    assert "INFO" in {alert["severity"] for alert in told["alerts"]}
    with serving(populated.pipeline, API_TOKEN=TOKEN) as client:
        status = client.get("/data-status", headers=AUTHORIZATION).json()
        schemas = client.get("/openapi.json").json()["components"]["schemas"]
        overview = client.get("/dashboard/overview", headers=AUTHORIZATION).json()
        health = client.get("/health").json()
    # All give the same verdict, and the health nothing else of the data.
    headline = populated.told[0]["text"].splitlines()[1]
    assert (told["verdict"], headline) == ("wrong", status["verdict"]["headline"])
    assert {health["verdict"], overview["verdict"]["state"], status["verdict"]["state"]} == {told["verdict"]}
    assert set(health) == {
        "status", "verdict", "timestamp", "warehouse", "archive", "last_good_build", "last_good_build_at"
    }  # fmt: skip
    assert [(reason["severity"], reason["text"]) for reason in status["verdict"]["reasons"]] == [
        (reason["severity"], reason["text"].strip()) for reason in told["reasons"]
    ]
    # The counts are about this session, which is not always the latest.
    assert status["assessed_date"] == told["assessed_trade_date"]
    plain = {"verdict"}
    assert {name for name, field in schemas["DataStatus"]["properties"].items() if "description" not in field} <= plain


def test_an_archive_that_cannot_be_read_is_unhealthy(built_pipeline: Pipeline) -> None:
    built_pipeline.archive_dir.write_text("not a folder")
    with serving(built_pipeline) as client:
        assert client.get("/ready").status_code == 503
        answer = client.get("/health")
        assert (answer.status_code, answer.json()["warehouse"]) == (503, "ok")
        assert answer.json()["archive"] == "it does not answer"
        # Anybody may ask.
        assert str(built_pipeline.archive_dir) not in answer.text + client.get("/ready").text


@pytest.mark.parametrize("port", ["http", "-"])
def test_a_port_that_is_none_is_refused(pipeline: Pipeline, port: str) -> None:
    done = pipeline.command("serve", "--port", port)
    assert (done.returncode, "--port" in done.stderr) == (2, True)
