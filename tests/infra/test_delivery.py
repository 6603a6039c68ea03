"""A release reaches the job and the service, or is taken back; a candidate's marts are compared with the live ones."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from extract.landing.raw import YAHOO_DAILY_BARS
from extract.settings import PROJECT_DIR
from infra.delivery.compare import compared_tables, comparison, main
from infra.doubles import loopback
from infra.doubles.loopback import Loopback
from tests.conftest import Pipeline, write_bars
from tests.infra.gcloud import refused_commands

OLD, NEW, NEWER = (f"asia-south1-docker.pkg.dev/market/images/trading-data@sha256:{c * 64}" for c in "012")
SCRIPT = PROJECT_DIR / "infra" / "delivery" / "deliver.sh"


class Api(Loopback):
    """The service: answers a path as the test says, for whoever shows the right identity."""

    def __init__(self) -> None:
        """Listen on a free port; everything is answered."""
        super().__init__(_Handler)
        self.ill: set[str] = set()
        self.identity = "print-identity-token"
        self.asked: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    server: Api

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        known = self.headers["Authorization"] == f"Bearer {self.server.identity}"
        self.server.asked.append(self.path)
        self.send_response(403 if not known else 500 if self.path in self.server.ill else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps({"token": f"identity for {wanted['audience']}"}).encode()
        self.send_response(200 if self.headers["Authorization"] == "Bearer print-access-token" else 403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@dataclass
class Deliveries:
    """The script, with a double of gcloud and a comparison whose outcome the test sets."""

    folder: Path
    api: Api
    compares: int = 0
    environment: dict[str, str] = field(default_factory=dict)
    said: str = ""

    @property
    def state(self) -> dict[str, Any]:
        read: dict[str, Any] = json.loads((self.folder / "state.json").read_text())
        return read

    def put(self, **changes: Any) -> None:
        (self.folder / "state.json").write_text(json.dumps(self.state | changes))

    def __call__(self, *arguments: str) -> int:
        comparing = self.folder / "python"
        comparing.write_text(f'#!/bin/sh\necho "$@" > "{self.folder}/compared"\nexit {self.compares}\n')
        comparing.chmod(0o755)
        done = subprocess.run(
            [str(SCRIPT), *arguments],
            env={
                "PATH": f"{self.folder}:{os.environ['PATH']}",
                "GCLOUD_STATE": str(self.folder / "state.json"),
                "PROJECT": "market",
                "REGION": "asia-south1",
                "PYTHON": str(comparing),
                "PAUSE": "0",
                "IAM_CREDENTIALS": self.api.address,
                "no_proxy": "*",
                **self.environment,
            },
            cwd=PROJECT_DIR,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.said = done.stderr
        return done.returncode

    def image(self, job: str) -> str:
        return str(self.state["jobs"][job]["image"])

    def refused(self) -> list[str]:
        """What the double was given and the real gcloud would not take."""
        return refused_commands(["gcloud", *given] for given in self.state["given"])

    def serving(self) -> str:
        (revision,) = [entry["revisionName"] for entry in self.state["traffic"] if entry.get("percent") == 100]
        return str(self.state["revisions"][revision])


@pytest.fixture
def deliveries(tmp_path: Path) -> Iterator[Deliveries]:
    gcloud = tmp_path / "gcloud"
    gcloud.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).with_name("gcloud_double.py")} "$@"\n')
    gcloud.chmod(0o755)
    with loopback.serving(Api()) as api:
        made = Deliveries(tmp_path, api)
        jobs = ("trading-data", "trading-data-triggered", "trading-data-candidate", "trading-data-watch")
        first = {
            "jobs": {name: {"image": OLD, "labels": {}} for name in jobs},
            "revisions": {"revision-1": OLD},
            "traffic": [{"revisionName": "revision-1", "percent": 100}],
            "url": api.address,
            "executed": [],
            "given": [],
            "failing": [],
        }
        (tmp_path / "state.json").write_text(json.dumps(first))
        yield made


def test_a_job_whose_marts_are_the_same_is_delivered_and_builds(deliveries: Deliveries) -> None:
    assert deliveries("job", NEW, "dim_instruments") == 0
    assert deliveries.state["executed"] == [["trading-data-candidate", NEW, ""], ["trading-data", NEW, "build"]]
    assert (deliveries.folder / "compared").read_text() == "-m infra.delivery --accept=dim_instruments\n"
    assert deliveries.image("trading-data-triggered") == NEW
    # Again, as after a kill: the candidate is not tried a second time, and the build is made sure of.
    assert deliveries("job", NEW) == 0
    assert deliveries.state["executed"][2:] == [["trading-data", NEW, "build"]]
    assert deliveries("rollback-job") == 0
    assert deliveries.image("trading-data") == deliveries.image("trading-data-triggered") == OLD
    assert deliveries.state["executed"][-1] == ["trading-data", OLD, "build"]
    # Called twice, it does not bring the new one back.
    assert deliveries("rollback-job") == 1
    assert "does not tell which image it had before" in deliveries.said
    assert deliveries.image("trading-data") == OLD
    assert deliveries.refused() == []


@pytest.mark.parametrize("what", ["marts that differ", "a candidate that fails"])
def test_the_job_stays_as_it_is(deliveries: Deliveries, what: str) -> None:
    if what == "marts that differ":
        deliveries.compares = 1
    else:
        deliveries.put(failing=["run jobs execute trading-data-candidate"])
    assert deliveries("job", NEW) != 0
    assert deliveries.image("trading-data") == OLD
    assert ["trading-data", NEW, "build"] not in deliveries.state["executed"]


def test_a_live_build_that_fails_says_how_to_go_back(deliveries: Deliveries) -> None:
    # The candidate's name begins with the live one's.
    deliveries.put(
        failing=["run jobs execute trading-data"],
        jobs=deliveries.state["jobs"] | {"trading-data": {"image": NEW, "labels": {}}},
    )
    assert deliveries("job", NEW) == 1
    assert "rollback-job" in deliveries.said


def test_a_service_that_answers_gets_all_traffic_and_goes_back(deliveries: Deliveries) -> None:
    assert deliveries("service", NEW) == 0
    assert deliveries.serving() == deliveries.image("trading-data-watch") == NEW
    paths = ["/data-status", "/dashboard/overview"]
    assert deliveries.api.asked == [*(f"/tags/candidate{path}" for path in paths), *paths]
    assert deliveries("service", NEW) == 0
    assert len(deliveries.state["revisions"]) == 2
    assert deliveries("rollback-service") == 0
    assert deliveries.serving() == OLD
    assert deliveries.refused() == []


def test_a_release_after_others_leaves_a_revision_and_nothing_else_that_grows(deliveries: Deliveries) -> None:
    def left() -> tuple[int, ...]:
        state = deliveries.state
        labels = sum(len(job["labels"]) for job in state["jobs"].values())
        return len(state["jobs"]), labels, len(state["traffic"]), len(state["revisions"])

    for release in range(1, 4):
        image = f"{OLD.partition('@')[0]}@sha256:{release:064x}"
        assert deliveries("job", image) == deliveries("service", image) == 0
        assert left() == (4, 2, 2, release + 1)


@pytest.mark.parametrize("path", ["/data-status", "/dashboard/overview"])
def test_a_revision_that_does_not_answer_gets_no_traffic(deliveries: Deliveries, path: str) -> None:
    deliveries.api.ill = {f"/tags/candidate{path}"}
    assert deliveries("service", NEW) == 1
    assert "gets no traffic" in deliveries.said
    assert deliveries.serving() == OLD
    assert deliveries.image("trading-data-watch") == OLD


def test_a_revision_that_answers_no_more_is_taken_back(deliveries: Deliveries) -> None:
    deliveries.api.ill = {"/dashboard/overview"}
    assert deliveries("service", NEW) == 1
    assert "has all traffic again" in deliveries.said
    assert deliveries.serving() == OLD
    deliveries.api.ill = set()
    assert deliveries("service", NEWER) == 0
    assert deliveries.serving() == NEWER


def test_a_federated_deployer_asks_with_the_probers_identity(deliveries: Deliveries) -> None:
    deliveries.api.identity = f"identity for {deliveries.api.address}"
    assert deliveries("service", NEW) == 1
    deliveries.environment = {"PROBER": "prober@market.iam.gserviceaccount.com"}
    assert deliveries("service", NEW) == 0


def test_divided_traffic_is_left_alone(deliveries: Deliveries) -> None:
    deliveries.put(traffic=[{"revisionName": "revision-1", "percent": 50}, {"revisionName": "other", "percent": 50}])
    assert deliveries("service", NEW) == 1
    assert "the revision that you trust" in deliveries.said
    assert "deploy" not in str(deliveries.state["given"])


@pytest.mark.parametrize(
    "arguments",
    [(), ("job",), ("service", "registry/trading-data:latest"), ("job", f"registry/x@sha256:{'G' * 64}"), ("no-such",)],
)
def test_bad_usage_touches_nothing(deliveries: Deliveries, arguments: tuple[str, ...]) -> None:
    assert deliveries(*arguments) == 1
    assert deliveries.said.startswith("deliver.sh: ")
    assert deliveries.state["given"] == []


def test_without_a_predecessor_a_service_cannot_go_back(deliveries: Deliveries) -> None:
    assert deliveries("rollback-service") == 1
    assert "name one" in deliveries.said


def test_the_script_has_no_faults() -> None:
    shellcheck = shutil.which("shellcheck", path=f"{PROJECT_DIR}/.venv-infra/bin:{os.environ['PATH']}")
    if shellcheck is None:
        pytest.skip("shellcheck is not installed")
    done = subprocess.run([shellcheck, str(SCRIPT)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


@pytest.fixture
def candidate(built_pipeline: Pipeline) -> Pipeline:
    """A pipeline with marts, and a candidate's beside them that are the same."""
    with built_pipeline.warehouse() as live:
        other = replace(live, dataset="trading_data_candidate")
        other.create_raw()
        for suffix in ("", "_quality"):
            live.client.create_dataset(f"{other.dataset}{suffix}", timeout=60)
        for table, suffix in compared_tables().items():
            live.query(
                f"create table `{other.dataset}{suffix}.{table}` as select * from `{live.dataset}{suffix}.{table}`"
            )
    return built_pipeline


def test_every_mart_and_quality_view_is_compared(candidate: Pipeline, capsys: pytest.CaptureFixture[str]) -> None:
    assert {"fct_price_restatements", "fct_adjustment_factors", "dim_index_memberships", "data_status"} <= set(
        compared_tables()
    )

    def compare(*arguments: str) -> tuple[int, str]:
        status = main(arguments, candidate.environment)
        return status, capsys.readouterr().out

    assert compare()[0] == 0
    candidate.query("update `{d}_candidate.dim_instruments` set name = 'Another' where symbol = 'TCS'")
    candidate.query("drop table `{d}_candidate_quality.quality_coverage`")
    status, said = compare()
    assert status == 1
    assert "dim_instruments: 250 rows live, 250 of the candidate, of another content" in said
    assert "quality_coverage: only in trading_data" in said
    assert "if it is meant, name them with --accept" in said
    # A person has to name each, or all.
    assert compare("--accept", "dim_instruments")[0] == 1
    assert compare("--accept", "dim_instruments,quality_coverage")[0] == 0
    assert compare("--accept", "all")[0] == 0
    assert compare("--accept", "no_such_table")[0] == 2
    # A live run in between is named as the cause.
    at = datetime(2024, 6, 3, 13, tzinfo=UTC)
    write_bars(candidate.archive, YAHOO_DAILY_BARS, "run-1", at, {"symbol": "TCS", "date": at, "close": 1.0})
    candidate.replay()
    assert "1 batches that the candidate has not: run this again" in compare()[1]


def test_the_comparison_knows_no_order_and_sees_a_changed_value(pipeline: Pipeline) -> None:
    rows = {
        "live": "('TCS', 0.1), ('INFY', null)",
        "same": "('INFY', null), ('TCS', 0.1)",
        "other": "('TCS', 0.2), ('INFY', null)",
    }
    with pipeline.warehouse() as warehouse:
        named = {side: f"{warehouse.client.project}.{pipeline.dataset}_{side}" for side in rows}
        for side, values in rows.items():
            warehouse.client.create_dataset(named[side], timeout=60)
            warehouse.query(f"create table `{named[side]}.bars` (symbol string, close float64)")
            warehouse.query(f"insert into `{named[side]}.bars` (symbol, close) values {values}")
        (live, same), (_, other) = (
            [row.values()[1:] for row in warehouse.query(comparison("bars", named["live"], named[side]))]
            for side in ("same", "other")
        )
    assert live == same
    assert live != other
    assert live[0] == other[0] == 2
