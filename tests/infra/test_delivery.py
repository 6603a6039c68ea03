"""A release reaches the service and the job, or is taken back; whatever fails, and wherever it is killed."""

import copy
import json
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from extract.settings import PROJECT_DIR
from infra.delivery.cli import DONE, FAILED, USAGE, main
from infra.delivery.job import COMPARED_TABLES, comparison
from infra.delivery.service import split_of
from tests.conftest import Pipeline
from tests.infra.google_double import CANDIDATE, JOB, TOKEN, Fault, Google, serving

OLD, NEW, NEWER = (f"asia-south1-docker.pkg.dev/market/images/trading-data@sha256:{c * 64}" for c in "012")
ARCHIVE = "gs://market-archive/live"

# Reading the certificates takes longer than most deliveries here.
_TLS = ssl.create_default_context()


@dataclass
class Clock:
    """Time that passes only by waiting."""

    now: float = 0.0
    waits: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.waits.append(seconds)


@dataclass
class Deliveries:
    """Commands against the double."""

    google: Google
    base: str
    clock: Clock
    capture: pytest.CaptureFixture[str]
    said: str = ""

    @property
    def environment(self) -> dict[str, str]:
        return {
            "BIGQUERY_PROJECT": "market",
            "ARCHIVE_URI": ARCHIVE,
            "RUN_API_URL": self.base,
            "BIGQUERY_API_URL": self.base,
            "IAM_CREDENTIALS_API_URL": self.base,
            "DELIVERY_ACCESS_TOKEN": TOKEN,
            "DELIVERY_HEALTHY_TIMES": "3",
        }

    def __call__(self, *arguments: str, **environment: str) -> int:
        self.capture.readouterr()
        transport = httpx.HTTPTransport(verify=_TLS)
        status = main(arguments, self.environment | environment, self.clock, self.clock.sleep, transport)
        self.said = self.capture.readouterr().err
        return status

    def stopped(self, *arguments: str, fault: Fault, by: signal.Signals = signal.SIGKILL) -> str:
        """Run a command in a process of its own, which is stopped where the fault says; what it said is returned."""
        # Not os.environ: no proxy or setting of the machine is to decide.
        environment = self.environment | {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(PROJECT_DIR),
            "DELIVERY_POLL_SECONDS": "0.01",
            "DELIVERY_HEALTH_INTERVAL_SECONDS": "0.01",
        }
        with subprocess.Popen(
            [sys.executable, "-m", "infra.delivery", *arguments],
            env=environment,
            cwd=PROJECT_DIR,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            fault.struck = lambda: process.send_signal(by)
            self.google.faults = [fault]
            _, said = process.communicate(timeout=20)
        assert process.returncode == (-signal.SIGKILL if by == signal.SIGKILL else FAILED), said
        self.google.faults = []
        return said


@pytest.fixture
def deliveries(capsys: pytest.CaptureFixture[str]) -> Iterator[Deliveries]:
    google = Google()
    for dataset in ("trading_data", "trading_data_candidate"):
        google.marts |= {f"{dataset}.{table}": (100, 7) for table in COMPARED_TABLES}
    with serving(google) as base:
        google.start_with(OLD)
        yield Deliveries(google, base, Clock(), capsys)


def test_a_healthy_service_gets_the_traffic_in_steps(deliveries: Deliveries) -> None:
    google = deliveries.google
    assert deliveries("service", NEW) == DONE
    assert google.shares_seen[-5:] == [{OLD: 100}, {OLD: 90, NEW: 10}, {OLD: 50, NEW: 50}, {NEW: 100}, {NEW: 100}]
    assert google.tags() == {"stable": NEW, "previous": OLD}
    # What Terraform has set stays.
    assert google.service["annotations"] == {"owner": "data"}
    assert google.service["template"]["containers"][0]["env"] == [{"name": "LEVEL", "value": "info"}]
    assert google.service["template"]["timeout"] == "30s"


def test_each_log_line_is_one_json_object(deliveries: Deliveries) -> None:
    assert deliveries("service", NEW) == DONE
    lines = [json.loads(line) for line in deliveries.said.splitlines()]
    assert {"command", "message", "severity", "time"} <= set.intersection(*(set(line) for line in lines))
    assert lines[-1]["message"] == "delivered"
    assert TOKEN not in deliveries.said


def test_a_delivery_that_is_done_changes_nothing(deliveries: Deliveries) -> None:
    assert deliveries("service", NEW) == DONE
    before = copy.deepcopy(deliveries.google.service)
    assert deliveries("service", NEW) == DONE
    assert deliveries.google.service == before


def test_a_changed_template_of_the_same_image_is_delivered(deliveries: Deliveries) -> None:
    google = deliveries.google
    assert deliveries("service", NEW) == DONE
    # As Terraform changes a variable: a revision without traffic.
    google.revisions["trading-data-api-terraform"] = copy.deepcopy(google.service["template"]) | {"ready": True}
    google.service["latestCreatedRevision"] = google.service["latestReadyRevision"] = (
        "x/revisions/trading-data-api-terraform"
    )
    stable = split_of(google.service).stable
    assert deliveries("service", NEW) == DONE
    assert split_of(google.service).stable != stable
    assert split_of(google.service).previous == stable


@pytest.mark.parametrize("ill_at", [0, 10, 50, 100])
def test_ill_health_gives_the_stable_revision_all_traffic(deliveries: Deliveries, ill_at: int) -> None:
    google = deliveries.google
    google.health = lambda _, percent: 503 if percent == ill_at else 200
    assert deliveries("service", NEW) == FAILED
    assert google.shares() == {OLD: 100}
    assert google.tags() == {"stable": OLD}
    assert f"at {ill_at} % of the traffic" in deliveries.said
    assert "has all traffic" in deliveries.said
    assert max(shares.get(NEW, 0) for shares in google.shares_seen) == ill_at
    # And when it is well again, it gets there.
    google.health = lambda *_: 200
    assert deliveries("service", NEW) == DONE
    assert google.shares() == {NEW: 100}


def test_health_that_flaps_for_the_whole_bound_is_a_breach(deliveries: Deliveries) -> None:
    answers = 0

    def flap(_: str, percent: int) -> int:
        nonlocal answers
        answers += 1
        return 503 if percent == 10 and answers % 3 == 0 else 200

    deliveries.google.health = flap
    assert deliveries("service", NEW) == FAILED
    assert deliveries.google.shares() == {OLD: 100}
    assert deliveries.clock.now < 300


def test_health_that_steadies_in_time_is_none(deliveries: Deliveries) -> None:
    answers = 0

    def steady(*_: object) -> int:
        nonlocal answers
        answers += 1
        return 503 if answers in (1, 2, 4) else 200

    deliveries.google.health = steady
    assert deliveries("service", NEW) == DONE
    assert deliveries.google.requests.count(("GET", "/tags/candidate/ready")) == 4 + 3 + 3 * 3


def test_the_health_check_shows_an_identity(deliveries: Deliveries) -> None:
    deliveries.google.wants_identity = True
    assert deliveries("service", NEW) == FAILED
    assert "set DELIVERY_HEALTH_ACCOUNT" in deliveries.said
    account = "prober@market.iam.gserviceaccount.com"
    assert deliveries("service", NEW, DELIVERY_HEALTH_ACCOUNT=account) == DONE


def test_a_revision_that_does_not_start_gets_no_traffic(deliveries: Deliveries) -> None:
    deliveries.google.broken_images = {NEW}
    assert deliveries("service", NEW) == FAILED
    assert "is not ready and cannot serve traffic" in deliveries.said
    assert "has all traffic" in deliveries.said
    assert deliveries.google.shares() == {OLD: 100}
    assert deliveries.google.tags() == {"stable": OLD}
    assert deliveries("service", NEWER) == DONE
    assert deliveries.google.shares() == {NEWER: 100}


def test_a_newer_image_takes_the_place_of_a_candidate(deliveries: Deliveries) -> None:
    deliveries.google.faults = [Fault("PATCH", "services", 403, after=2, times=9)]
    assert deliveries("service", NEW) == FAILED
    assert "rollback-service" in deliveries.said
    assert deliveries.google.shares() == {OLD: 90, NEW: 10}
    deliveries.google.faults = []
    assert deliveries("service", NEWER) == DONE
    assert deliveries.google.tags() == {"stable": NEWER, "previous": OLD}


def test_a_service_is_taken_back_by_one(deliveries: Deliveries) -> None:
    assert deliveries("service", NEW) == DONE
    assert deliveries("service", NEWER) == DONE
    for _ in range(2):
        assert deliveries("rollback-service") == DONE
        assert deliveries.google.shares() == {NEW: 100}
    assert "already rolled back" in deliveries.said
    assert deliveries("service", NEWER) == DONE
    assert deliveries.google.tags() == {"stable": NEWER, "previous": NEW}
    assert deliveries("rollback-service") == DONE
    assert deliveries.google.shares() == {NEW: 100}


def test_without_a_predecessor_a_rollback_says_what_to_do(deliveries: Deliveries) -> None:
    assert deliveries("rollback-service") == FAILED
    assert "deliver the image that you want by its digest" in deliveries.said
    assert deliveries("rollback-job") == FAILED
    assert "deliver one by its digest" in deliveries.said


def test_divided_traffic_without_a_trusted_revision_is_left_alone(deliveries: Deliveries) -> None:
    google = deliveries.google
    google.revisions["other"] = copy.deepcopy(google.revisions["trading-data-api-00001-abc"])
    kind = "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"
    google.service["traffic"] = [
        {"type": kind, "revision": name, "percent": 50} for name in ("other", "trading-data-api-00001-abc")
    ]
    before = copy.deepcopy(google.service)
    assert deliveries("service", NEW) == FAILED
    assert "give all of it to the revision that you trust" in deliveries.said
    assert google.service == before


def test_a_tag_of_a_persons_own_stays(deliveries: Deliveries) -> None:
    google = deliveries.google
    target = {"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION", "revision": "trading-data-api-00001-abc", "percent": 0}
    google.service["traffic"].append(target | {"tag": "demo"})
    assert deliveries("service", NEW) == DONE
    assert google.tags() == {"stable": NEW, "previous": OLD, "demo": OLD}


def test_a_job_whose_marts_are_the_same_is_delivered(deliveries: Deliveries) -> None:
    google = deliveries.google
    assert deliveries("job", NEW) == DONE
    assert google.image_of(JOB) == google.image_of(CANDIDATE) == NEW
    assert google.jobs[JOB]["annotations"] == {"owner": "data", "previous-image": OLD}
    assert google.jobs[JOB]["template"]["template"]["maxRetries"] == 2
    [run] = google.runs
    container = run["template"]["containers"][0]
    assert container["image"] == NEW
    assert container["args"] == ["replay", "--archive", ARCHIVE]
    assert {"name": "BIGQUERY_DATASET", "value": "trading_data_candidate"} in container["env"]
    assert {"name": "LEVEL", "value": "info"} in container["env"]
    assert deliveries("job", NEW) == DONE
    assert len(google.runs) == 1


@pytest.mark.parametrize("other", [(101, 7), (100, 8)])
def test_marts_that_differ_keep_the_job_as_it_is(deliveries: Deliveries, other: tuple[int, int]) -> None:
    google = deliveries.google
    google.marts |= {"trading_data_candidate.fct_daily_bars": other, "trading_data_candidate.daily_bars": other}
    assert deliveries("job", NEW) == FAILED
    assert "differ from the live ones in fct_daily_bars, daily_bars:" in deliveries.said
    assert "--accept-changes" in deliveries.said
    assert google.image_of(JOB) == OLD
    # A person has to name each.
    assert deliveries("job", NEW, "--accept-changes", "daily_bars") == FAILED
    assert google.image_of(JOB) == OLD
    assert deliveries("job", NEW, "--accept-changes", "daily_bars,fct_daily_bars") == DONE
    assert google.image_of(JOB) == NEW


def test_a_live_run_in_between_is_named_as_the_likely_cause(deliveries: Deliveries) -> None:
    google = deliveries.google
    google.marts["trading_data_candidate.daily_bars"] = (99, 7)
    at_first = google.answer

    def with_a_live_run(method: str, path: str, *rest: Any) -> dict[str, Any]:
        if path.endswith("/queries") and not any(name.startswith(JOB + "/") for name in google.executions):
            google.run(JOB, {})
        return at_first(method, path, *rest)

    google.answer = with_a_live_run  # type: ignore[assignment,method-assign]
    assert deliveries("job", NEW) == FAILED
    assert "the live job ran meanwhile" in deliveries.said


def test_a_table_that_the_candidate_lacks_keeps_the_job_as_it_is(deliveries: Deliveries) -> None:
    del deliveries.google.marts["trading_data_candidate.dim_instruments"]
    assert deliveries("job", NEW) == FAILED
    assert "trading_data_candidate.dim_instruments was not found" in deliveries.said
    assert deliveries.google.image_of(JOB) == OLD


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


def test_a_candidate_that_fails_keeps_the_job_as_it_is(deliveries: Deliveries) -> None:
    deliveries.google.failing_images = {NEW}
    assert deliveries("job", NEW) == FAILED
    assert "read its log: https://console.cloud.google.com/logs" in deliveries.said
    assert deliveries.google.image_of(JOB) == OLD
    assert not any("/queries" in path for _, path in deliveries.google.requests)


def test_an_execution_that_hangs_is_given_up(deliveries: Deliveries) -> None:
    deliveries.google.polls = 10**6
    deliveries.google.jobs[CANDIDATE]["template"]["template"]["containers"][0]["image"] = NEW
    assert deliveries("job", NEW, DELIVERY_POLL_SECONDS="60") == FAILED
    assert "did not end within 7200 s" in deliveries.said


def test_an_operation_that_hangs_is_given_up(deliveries: Deliveries) -> None:
    deliveries.google.polls = 10**6
    assert deliveries("job", NEW, DELIVERY_POLL_SECONDS="60") == FAILED
    assert "did not end within 900 s" in deliveries.said


def test_a_change_of_before_that_hangs_is_given_up(deliveries: Deliveries) -> None:
    deliveries.google.pending["a killed run's"] = (10**6, lambda: None, deliveries.google.service)
    assert deliveries("service", NEW, DELIVERY_POLL_SECONDS="60") == FAILED
    assert "is still being changed" in deliveries.said


def test_a_job_is_taken_back_by_one(deliveries: Deliveries) -> None:
    assert deliveries("job", NEW) == DONE
    for _ in range(2):
        assert deliveries("rollback-job") == DONE
        assert deliveries.google.image_of(JOB) == OLD
    assert "already rolled back" in deliveries.said
    assert deliveries("job", NEW) == DONE
    assert deliveries.google.jobs[JOB]["annotations"] == {"owner": "data", "previous-image": OLD}


FAULTS = [
    ("429", lambda method, path: Fault(method, path, 429, retry_after="7")),
    ("503 twice", lambda method, path: Fault(method, path, 503, times=2)),
    ("reset", lambda method, path: Fault(method, path, "reset")),
    ("lost answer", lambda method, path: Fault(method, path, "reset_after")),
]
PLACES = [
    ("service", "PATCH", "services"),
    ("service", "GET", "services/[a-z-]+$"),
    ("service", "GET", "operations"),
    ("job", "PATCH", "candidate$"),
    ("job", "POST", ":run$"),
    ("job", "GET", "executions"),
    ("job", "POST", "queries$"),
    ("job", "GET", "queries/"),
    ("job", "PATCH", "trading-data$"),
]


@pytest.mark.parametrize(("command", "method", "path"), PLACES, ids=lambda place: place)
@pytest.mark.parametrize("fault", [make for _, make in FAULTS], ids=[name for name, _ in FAULTS])
def test_a_passing_fault_is_waited_out(
    deliveries: Deliveries, command: str, method: str, path: str, fault: Callable[[str, str], Fault]
) -> None:
    google = deliveries.google
    google.faults = [fault(method, path)]
    assert deliveries(command, NEW) == DONE
    assert google.faults[0].times == 0
    if google.faults[0].kind == 429:
        assert 7 in deliveries.clock.waits
    if command == "service":
        assert google.tags() == {"stable": NEW, "previous": OLD}
        assert len(google.revisions) == 2
    else:
        assert google.jobs[JOB]["annotations"] == {"owner": "data", "previous-image": OLD}
        assert google.image_of(JOB) == NEW
        assert len(google.runs) == 1


def test_an_outage_ends_in_one_sentence(deliveries: Deliveries) -> None:
    deliveries.google.faults = [Fault("GET", "jobs", 503, times=99)]
    assert deliveries("job", NEW) == FAILED
    assert "was answered 503" in deliveries.said
    assert "Traceback" not in deliveries.said


def test_a_missing_role_is_named_as_such(deliveries: Deliveries) -> None:
    deliveries.google.faults = [Fault("POST", ":run$", 403)]
    assert deliveries("job", NEW) == FAILED
    assert "the role that this needs" in deliveries.said


# Killed before one change is killed after the one before it.
KILLS = [
    (("service", NEW), "kill", "PATCH", "services", 0),
    *((("service", NEW), "kill_after", "PATCH", "services", after) for after in range(5)),
    (("service", NEW), "kill", "GET", "tags/candidate", 4),
    (("job", NEW), "kill_after", "PATCH", "candidate$", 0),
    (("job", NEW), "kill_after", "POST", ":run$", 0),
    (("job", NEW), "kill", "GET", "executions/", 1),
    (("job", NEW), "kill", "POST", "queries$", 3),
    (("job", NEW), "kill_after", "PATCH", "trading-data$", 0),
    (("rollback-service",), "kill_after", "PATCH", "services", 0),
    (("rollback-job",), "kill_after", "PATCH", "trading-data$", 0),
]


@pytest.mark.parametrize(
    ("arguments", "kind", "method", "path", "after"),
    KILLS,
    ids=[f"{a[0]}-{k}-{m}-{p}-{n}" for a, k, m, p, n in KILLS],
)
def test_killed_anywhere_it_goes_on(
    deliveries: Deliveries, arguments: tuple[str, ...], kind: str, method: str, path: str, after: int
) -> None:
    google = deliveries.google
    # Long enough for an execution to be on its way still when the command is run again.
    google.polls = 5
    # An execution of before fills the first page of their list.
    google.run(CANDIDATE, {})
    google.runs.clear()
    if arguments[0].startswith("rollback"):
        assert deliveries("service", NEW) == DONE
        assert deliveries("job", NEW) == DONE
    deliveries.stopped(*arguments, fault=Fault(method, path, kind, after=after))
    assert deliveries(*arguments) == DONE
    match arguments[0]:
        case "service":
            assert google.shares() == {NEW: 100}
            assert google.tags() == {"stable": NEW, "previous": OLD}
            assert len(google.revisions) == 2
        case "job":
            assert google.image_of(JOB) == NEW
            assert google.jobs[JOB]["annotations"] == {"owner": "data", "previous-image": OLD}
            # An execution on its way is taken over; one that ended with its comparison undone is run again.
            assert len(google.runs) == (2 if "queries" in path else 1)
        case "rollback-service":
            assert google.shares() == {OLD: 100}
            assert google.tags() == {"stable": OLD}
        case "rollback-job":
            assert google.image_of(JOB) == OLD


def test_a_cancelled_workflow_says_how_to_go_on(deliveries: Deliveries) -> None:
    fault = Fault("GET", "tags/candidate", "kill", after=4)
    said = deliveries.stopped("service", NEW, fault=fault, by=signal.SIGTERM)
    assert "run the same command again to go on" in said
    assert deliveries.google.shares() == {OLD: 90, NEW: 10}
    assert deliveries("service", NEW) == DONE


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("service",),
        ("service", "registry/trading-data:latest"),
        ("service", f"registry/trading-data@sha256:{'0' * 63}"),
        ("job", f"registry/trading-data@sha256:{'G' * 64}"),
        ("job", NEW, "--accept-changes", "no_such_table"),
        ("no-such-command",),
    ],
)
def test_bad_usage_touches_nothing(deliveries: Deliveries, arguments: tuple[str, ...]) -> None:
    try:
        status: Any = deliveries(*arguments)
    except SystemExit as leaving:
        status = leaving.code
    assert status == USAGE
    assert not deliveries.google.requests


@pytest.mark.parametrize("arguments", [("--help",), ("service", "--help"), ("job", "--help")])
def test_help_is_printed(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(arguments, {})
    assert leaving.value.code == DONE
    assert "usage: python -m infra.delivery" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BIGQUERY_PROJECT", ""),
        ("RUN_API_URL", "run.googleapis.com"),
        ("BIGQUERY_CANDIDATE_DATASET", "trading_data"),
        ("DELIVERY_CANDIDATE_JOB", "trading-data"),
        ("ARCHIVE_URI", "/tmp/archive"),  # noqa: S108 It is refused.
        ("ARCHIVE_URI", ""),
        ("DELIVERY_HEALTH_BOUND_SECONDS", "0"),
    ],
)
def test_a_bad_setting_is_named(deliveries: Deliveries, variable: str, value: str) -> None:
    assert deliveries("job", NEW, **{variable: value}) == USAGE
    assert variable in deliveries.said
    assert not deliveries.google.requests
