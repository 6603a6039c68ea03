"""The description of the API is exact: what is generated from it finds no answer that it does not tell of."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from extract.settings import PROJECT_DIR
from tests.reports.conftest import TOKEN, Populated, serving

# Of each operation and phase, a few; or as many as this time allows (`make test-openapi`).
_SECONDS = os.environ.get("OPENAPI_SECONDS")
_BOUNDS = ("--max-examples", "100000", "--max-time", _SECONDS) if _SECONDS else ("--max-examples", "8")


def test_no_generated_request_is_answered_in_a_way_that_is_not_described(
    populated: Populated, market: Mapping[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # One run may start; the others are refused.
    with serving(populated.pipeline, API_TOKEN=TOKEN, API_TRIGGERS_PER_HOUR="1", **market) as client:
        done = subprocess.run(
            [
                Path(sys.executable).with_name("schemathesis"),
                *("--config-file", PROJECT_DIR / "tests/reports/schemathesis.toml"),
                *("run", f"{client.base_url}/openapi.json".replace("//openapi", "/openapi")),
                *("--checks", "all", "--seed", "20241231", *_BOUNDS, "--no-color"),
                *("--header", f"Authorization: Bearer {TOKEN}", "--request-timeout", "60", "--max-response-time", "60"),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=600 + float(_SECONDS or 0),
            check=False,
        )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    tested = re.search(r"(\d+) generated", done.stdout)
    assert tested, done.stdout[-3000:]
    assert int(tested[1]) > 200
    with capsys.disabled():
        print(f"{tested[1]} requests were generated")
    assert done.stderr == ""


def test_without_a_token_no_data_is_told(populated: Populated) -> None:
    with serving(populated.pipeline) as client:
        paths = client.get("/openapi.json").json()["paths"]
        assert sorted(paths) == [
            "/bars",
            "/dashboard/overview",
            "/dashboard/symbols/{symbol}",
            "/data-status",
            "/health",
            "/live",
            "/ready",
            "/runs",
            "/runs/{run_id}",
            "/trigger-daily-ingestion",
        ]
        for path, operations in paths.items():
            for method in operations:
                address = path.format(symbol="TCS", run_id="run-20240101T000000Z-0a1b2c")
                status = client.request(method, address, headers={"Authorization": f"Bearer {TOKEN}"}).status_code
                assert status == (200 if path in ("/health", "/live", "/ready") else 403), path


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"API_AUTHENTICATION": "cloud_run"}, "this is not a Cloud Run service"),
        ({"API_AUTHENTICATION": "none"}, "use token, or cloud_run"),
        ({"TRIGGER_JOB": "trading-data"}, "use projects/<project>/locations/<region>/jobs/<job>"),
        ({"API_TRIGGERS_PER_HOUR": "0"}, "use a whole number of runs, 1 or more"),
        ({"API_TRIGGERS_PER_HOUR": "0.5"}, "use a whole number of runs, 1 or more"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(populated: Populated, settings: dict[str, str], said: str) -> None:
    done = populated.pipeline.command("serve", "--port", "0", environment=settings)
    assert (done.returncode, said in done.stderr) == (2, True)


def test_behind_cloud_runs_own_gate_no_token_is_asked_for(populated: Populated) -> None:
    with serving(populated.pipeline, API_AUTHENTICATION="cloud_run", K_SERVICE="trading-data-api") as client:
        assert client.get("/data-status").status_code == 200
