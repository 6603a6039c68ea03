"""Runs that are started over HTTP: on this machine by the real server, in the cloud against a double of Cloud Run."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path, PurePosixPath

import httpx
import pytest
from rich.console import Console

from extract.api import application, launch
from extract.api.launch import CloudRunJob, CloudRunRefused, Rate, StartUnknown, state_of
from extract.api.orders import Orders, Provider, new_order
from extract.api.run_models import Trigger
from extract.errors import ConfigurationError, PipelineError
from extract.landing.lease import held
from extract.landing.raw import EXTRACT_REQUESTS
from extract.reporting.diagnosis import Diagnosis
from extract.reporting.past_runs import Bill, read_bill, read_runs
from extract.reporting.report import Outcome, Report, archive_report
from extract.reporting.screen import diagnosis_screen, show
from extract.seeds import last_closed_session, trading_sessions
from extract.settings import Settings
from extract.warehouse.connection import Warehouse
from infra.local.demo import simulate
from tests.conftest import Pipeline, write_bars
from tests.reports.cloud_run_double import CANDIDATE, JOB, CloudRun, Fault
from tests.reports.cloud_run_double import TOKEN as GOOGLE_TOKEN
from tests.reports.cloud_run_double import serving as serving_cloud_run
from tests.reports.conftest import AUTHORIZATION, FIRST, SYMBOLS, TOKEN, answering, ended, serving

NOW = datetime(2024, 12, 31, 13, 0, tzinfo=UTC)
ID = "run-20241231T130000Z-0a1b2c"


def _trigger(client: httpx.Client, **wanted: object) -> httpx.Response:
    return client.post("/trigger-daily-ingestion", json=wanted, headers=AUTHORIZATION)


def test_a_triggered_run_is_followed_to_its_end_and_not_started_twice(
    built_pipeline: Pipeline, market: Mapping[str, str]
) -> None:
    # So slow that the second trigger comes while it runs.
    simulate(market, faults=[{"source": "yahoo", "kind": "latency", "seconds": 2.0}])
    with serving(built_pipeline, API_TOKEN=TOKEN, API_TRIGGERS_PER_HOUR="2", **market) as client:
        first = _trigger(client, symbols=list(SYMBOLS[:2]))
        assert first.status_code == 202
        run_id = first.json()["run_id"]
        assert first.json()["trade_date"] == str(last_closed_session(datetime.now(UTC)))
        assert first.headers["Location"] == f"/runs/{run_id}"
        second = _trigger(client)
        assert (second.status_code, second.json()["run_id"]) == (409, run_id)
        assert client.get(f"/runs/{run_id}", headers=AUTHORIZATION).json()["state"] == "running"
        simulate(market, faults=[])
        told = ended(client, run_id)
        report = told["report"]
        assert isinstance(report, dict)
        assert told["state"] == {0: "succeeded", 3: "incomplete"}[report["exit_status"]]
        assert report["command"] == "run"
        assert report["request_count"] >= 4
        assert report["landed_row_count"] > 0
        # One is left within the hour: of an earlier day, which is asked for though it has been answered. The day after
        # it has no session, so that it means this one.
        days = [s.trade_date for s in trading_sessions(FIRST + timedelta(days=300), FIRST + timedelta(days=330))]
        earlier = next(day for day in days[:-1] if day + timedelta(days=1) not in days)
        saturday = str(earlier + timedelta(days=1))
        third = _trigger(client, source="manual", provider="yahoo", symbols=["tcs"], date=saturday)
        assert (third.status_code, third.json()["trade_date"]) == (202, str(earlier))
        fourth = _trigger(client, date="2024-01-02")
        assert (fourth.status_code, int(fourth.headers["Retry-After"]) > 3000) == (429, True)
        report = ended(client, third.json()["run_id"])["report"]
        assert isinstance(report, dict)
        assert (report["command"], report["exit_status"], report["request_count"]) == ("backfill", 0, 1)
        asked = built_pipeline.query(
            "select symbol, source_id, asked_from, asked_to from `{d}_raw.extract_requests`"
            f" where _run_id = '{third.json()['run_id']}'"
        )
        assert asked == [("TCS", "yahoo", earlier, earlier)]
        # The last first; a page of one leads to the next.
        page = client.get("/runs", params={"limit": 1}, headers=AUTHORIZATION).json()
        pages = [page]
        while page["next"]:
            page = client.get(page["next"], headers=AUTHORIZATION).json()
            pages.append(page)
        listed = [run for page in pages for run in page["runs"]]
        assert [run["run_id"] for run in listed[:2]] == [third.json()["run_id"], run_id]
        assert len(listed) == len({run["run_id"] for run in listed}) == len(pages)
        whole = client.get("/runs", headers=AUTHORIZATION).json()
        assert (whole["runs"], whole["next"]) == (listed, None)
        assert listed[1] == told


def test_what_cannot_be_asked_for_is_refused_and_starts_nothing(pipeline: Pipeline) -> None:
    with serving(pipeline, API_TOKEN=TOKEN) as client:
        for wanted, said in (
            ({"symbols": ["NOSUCH"]}, "NOSUCH is not among the symbols"),
            ({"symbols": ["zomato"]}, "ZOMATO is ETERNAL now"),
            ({"symbols": ["TCS", "tcs"]}, "each symbol once"),
            ({"symbols": []}, "at least 1 item"),
            ({"provider": "nse"}, "'kite', 'yahoo' or 'alpha_vantage'"),
            ({"source": "nse"}, "'manual', 'scheduled'"),
            ({"date": "2009-12-31"}, "not between 2010-01-01 and today"),
            ({"date": "0001-01-05"}, "not between 2010-01-01 and today"),
            ({"date": str((datetime.now(UTC) + timedelta(days=2)).date())}, "not between 2010-01-01 and today"),
            ({"date": "soon"}, "valid date"),
            ({"dates": "2024-01-02"}, "Extra inputs"),
        ):
            answer = _trigger(client, **wanted)
            assert answer.status_code == 422, wanted
            assert said in answer.json()["errors"][0]["detail"]
        # Half a character, which the answer quotes.
        sent = AUTHORIZATION | {"Content-Type": "application/json"}
        half = client.post("/trigger-daily-ingestion", content=b'{"symbols": ["\\ud800"]}', headers=sent)
        assert (half.status_code, half.json()["errors"][0]["location"]) == (422, "body/symbols")
        half = client.post("/trigger-daily-ingestion", content=b'{"\\ud800": 1}', headers=sent)
        assert (half.status_code, half.headers["Content-Type"]) == (422, "application/problem+json")
        assert client.post("/trigger-daily-ingestion", json={}).status_code == 401
        assert client.get(f"/runs/{ID}").status_code == 401
        assert client.get(f"/runs/{ID}", headers=AUTHORIZATION).status_code == 404
        assert client.get("/runs/..%2Fhealth", headers=AUTHORIZATION).status_code == 404
        assert client.get("/runs/no~id", headers=AUTHORIZATION).status_code == 422
        # The name of an execution, as Cloud Run's own list has it, is no run's id.
        assert client.get("/runs/trading-data-abc12", headers=AUTHORIZATION).status_code == 404
        for site, status in (("cross-site", 403), ("same-site", 403), ("same-origin", 422)):
            sent = AUTHORIZATION | {"Sec-Fetch-Site": site}
            assert client.post("/trigger-daily-ingestion", json={"source": "nse"}, headers=sent).status_code == status
    assert pipeline.archive.paths() == []


@pytest.mark.parametrize(
    ("provider", "symbols", "trade_date", "command", "arguments"),
    [
        (None, None, None, "run", ()),
        (None, ["TCS", "M&M"], date(2024, 12, 31), "run", ("--symbols", "TCS,M&M")),
        (
            "kite",
            None,
            None,
            "backfill",
            ("--again", "--from", "2024-12-31", "--to", "2024-12-31", "--source", "kite"),
        ),
        (None, None, date(2024, 1, 2), "backfill", ("--again", "--from", "2024-01-02", "--to", "2024-01-02")),
    ],
)
def test_an_order_is_the_scheduled_job_or_one_day_anew(
    provider: Provider | None,
    symbols: list[str] | None,
    trade_date: date | None,
    command: str,
    arguments: tuple[str, ...],
) -> None:
    ordered = new_order(NOW, provider, symbols, trade_date)
    # By the id alone the alert for a run that was killed knows its command.
    assert ordered.run_id.startswith(f"{command}-20241231T130000Z-")
    assert ordered.trade_date == (trade_date or date(2024, 12, 31))
    assert ordered.arguments == (command, "--run-id", ordered.run_id, *arguments)


def test_an_execution_takes_its_order_and_cloud_run_knows_what_runs(tmp_path: Path) -> None:
    cloud_run, orders = CloudRun(polls=6), Orders(str(tmp_path))
    with serving_cloud_run(cloud_run) as address:
        job = CloudRunJob(JOB, orders, lambda: NOW, address, lambda: GOOGLE_TOKEN)
        assert (job.running(), job.state(ID)) == ({}, None)
        # A candidate is another job.
        cloud_run.run(CANDIDATE, {})
        first, second = new_order(NOW, None, None, date(2024, 1, 2)), new_order(NOW, None, ["TCS"], None)
        job.start(first)
        # It runs from the moment of its start, also while the container starts.
        assert job.running() == {date(2024, 1, 2): first.run_id}
        assert (job.state(first.run_id), job.state(second.run_id)) == ("running", None)
        assert orders.take(_last(cloud_run), NOW) == first
        job.start(second)
        assert orders.take(_last(cloud_run), NOW) == second
        assert job.running() == {date(2024, 1, 2): first.run_id, date(2024, 12, 31): second.run_id}
        assert job.state(first.run_id) == "running"
        _drain(job)
        assert [job.state(order.run_id) for order in (first, second)] == ["succeeded", "succeeded"]
        cloud_run.is_failing = True
        third = new_order(NOW, "yahoo", None, None)
        job.start(third)
        assert orders.take(_last(cloud_run), NOW) == third
        _drain(job)
        assert job.state(third.run_id) == "failed"


def _last(cloud_run: CloudRun) -> str:
    """The name of the execution that was started last, as its container is told it."""
    return str(cloud_run.runs[-1]["name"]).rpartition("/")[2]


def test_an_order_is_taken_once_and_the_next_attempt_takes_the_same(tmp_path: Path) -> None:
    orders = Orders(str(tmp_path))
    left = new_order(NOW - timedelta(minutes=14), None, None, date(2024, 1, 2))
    ordered = new_order(NOW, None, None, date(2024, 1, 3))
    for each in (left, ordered):
        orders.add(each)
    with pytest.raises(PipelineError, match="there is another order"):
        orders.add(ordered.model_copy(update={"trade_date": date(2024, 1, 4)}))
    # Where the answer to a first try was lost, the store's client is told that the object exists.
    orders.add(ordered)
    # The older one may be of an execution that did not start.
    assert orders.take("triggered-a", NOW) == ordered
    assert orders.take("triggered-a", NOW + timedelta(hours=3)) == ordered
    assert [orders.taken_by(each.run_id) for each in (ordered, left)] == ["triggered-a", None]
    # What was ordered a quarter of an hour ago is fetched by no later execution.
    with pytest.raises(ConfigurationError, match="no order waits"):
        orders.take("triggered-b", NOW + timedelta(minutes=2))
    assert orders.take("triggered-b", NOW) == left
    with pytest.raises(ConfigurationError, match="no order waits"):
        orders.take("triggered-c", NOW)


ORDER = {"command": "backfill", "run_id": "backfill-20241231T130000Z-0a1b2c", "trade_date": "2024-01-02"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"command": "query"}, "Input should be 'run' or 'backfill'"),
        ({"arguments": ["query", "drop table t"]}, "Extra inputs are not permitted"),
        ({"environment": {"KITE_BASE_URL": "https://elsewhere.example"}}, "Extra inputs are not permitted"),
        ({"symbols": ["TCS", "--again"]}, "--again is not among the symbols"),
        ({"provider": "nse"}, "Input should be 'kite', 'yahoo' or 'alpha_vantage'"),
        ({"trade_date": "2009-01-02"}, "greater than or equal to 2010-01-01"),
        ({"command": "run", "provider": "kite"}, "is not the id of a run"),
        ({"run_id": "backfill-20241231T130000Z-other1"}, "is about another run"),
    ],
)
def test_an_order_can_ask_for_nothing_but_bars(tmp_path: Path, change: dict[str, object], said: str) -> None:
    # Written by somebody who has the API's rights, and not by the API.
    folder = tmp_path / "ordered"
    folder.mkdir()
    (folder / f"{ORDER['run_id']}.json").write_text(json.dumps(ORDER | change))
    with pytest.raises(PipelineError, match=re.escape(said)):
        Orders(str(tmp_path)).take("triggered-a", NOW)


def test_the_triggered_job_runs_its_order(built_pipeline: Pipeline, market: Mapping[str, str], tmp_path: Path) -> None:
    orders = Orders(str(tmp_path))
    # Yahoo has a bar of this day.
    (day, *_) = trading_sessions(FIRST + timedelta(days=300), FIRST + timedelta(days=330))
    ordered = new_order(datetime.now(UTC), "yahoo", ["TCS"], day.trade_date)
    orders.add(ordered)
    cloud = dict(market) | {"ORDERS_URI": str(tmp_path), "CLOUD_RUN_EXECUTION": "trading-data-triggered-a1b2c"}
    done = built_pipeline.command("ordered", environment=cloud)
    assert done.returncode == 0, done.stderr[-2000:]
    assert orders.taken_by(ordered.run_id) == "trading-data-triggered-a1b2c"
    asked = built_pipeline.query(
        "select symbol, source_id, asked_from, asked_to, _run_id from `{d}_raw.extract_requests`"
        f" where _run_id = '{ordered.run_id}'"
    )
    assert asked == [("TCS", "yahoo", day.trade_date, day.trade_date, ordered.run_id)]
    reported = built_pipeline.query("select command, exit_status, _run_id from `{d}_raw.extract_runs`")
    assert ("backfill", 0, ordered.run_id) in reported
    # An execution that nobody ordered fetches nothing, and raises no alert.
    again = built_pipeline.command(
        "ordered", environment=cloud | {"CLOUD_RUN_EXECUTION": "trading-data-triggered-d3e4f"}
    )
    assert (again.returncode, "no order waits" in again.stderr) == (0, True)
    typed = built_pipeline.command("ordered")
    assert (typed.returncode, "use `trading-data run`" in typed.stderr) == (2, True)


def _drain(job: CloudRunJob) -> None:
    """Look until nothing runs: each look lets the double's time pass."""
    for _ in range(20):
        if not job.running():
            return
    raise AssertionError("it runs for ever")


def test_an_order_that_cloud_run_refuses_is_taken_by_no_other_execution(tmp_path: Path) -> None:
    cloud_run, orders = CloudRun(polls=6), Orders(str(tmp_path))
    with serving_cloud_run(cloud_run) as address:
        job = CloudRunJob(JOB, orders, lambda: NOW, address, lambda: GOOGLE_TOKEN)
        accepted, refused = new_order(NOW, None, None, date(2024, 1, 2)), new_order(NOW, None, None, date(2024, 1, 3))
        job.start(accepted)
        cloud_run.faults = [Fault("POST", ":run$", 429)]
        with pytest.raises(PipelineError, match="Cloud Run answered 429"):
            job.start(refused)
        # The container of the first execution is ready only now.
        assert orders.take(_last(cloud_run), NOW) == accepted
        assert (job.state(accepted.run_id), job.state(refused.run_id)) == ("running", None)


@pytest.mark.parametrize("kind", [403, 503, "reset"])
def test_cloud_run_that_fails_is_told_in_one_sentence(tmp_path: Path, kind: int | str) -> None:
    cloud_run = CloudRun(faults=[Fault("POST", ":run$", kind)])
    with serving_cloud_run(cloud_run) as address:
        job = CloudRunJob(JOB, Orders(str(tmp_path)), lambda: NOW, address, lambda: GOOGLE_TOKEN)
        with pytest.raises(PipelineError, match=r"Cloud Run (answered \d+|gave no answer) to POST"):
            job.start(new_order(NOW, None, None, None))
        # Nothing runs, so that the next trigger is not refused.
        assert job.running() == {}
        # Sent once: an execution may have begun.
        assert [request for request in cloud_run.requests if request[0] == "POST"] == [("POST", f"/v2/{JOB}:run")]


@pytest.mark.parametrize("is_done", [True, False])
@pytest.mark.parametrize("kind", [500, 503, "reset"])
def test_a_run_that_may_have_begun_is_neither_lost_nor_started_twice(
    tmp_path: Path, kind: int | str, *, is_done: bool
) -> None:
    now = [NOW]
    cloud_run = CloudRun(polls=20, faults=[Fault("POST", ":run$", kind, is_done=is_done)])
    orders = Orders(str(tmp_path))
    with serving_cloud_run(cloud_run) as address:
        job = CloudRunJob(JOB, orders, lambda: now[0], address, lambda: GOOGLE_TOKEN)
        ordered = new_order(NOW, None, None, None)
        with pytest.raises(StartUnknown, match="so the run may have begun"):
            job.start(ordered)
        # An execution that has begun takes the order, and no second one is started beside it.
        assert job.running() == ({ordered.trade_date: ordered.run_id} if is_done else {})
        assert job.state(ordered.run_id) == ("running" if is_done else "unknown")
        if is_done:
            assert orders.take(_last(cloud_run), NOW) == ordered
            assert job.state(ordered.run_id) == "running"
        now[0] += timedelta(minutes=16)
        assert job.state(ordered.run_id) == ("running" if is_done else None)
        # Another one that is started in between takes its own order.
        later = new_order(now[0], None, ["TCS"], None)
        job.start(later)
        assert orders.take(_last(cloud_run), now[0]) == later


def test_who_orders_a_run_that_may_have_begun_is_told_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud_run = CloudRun(polls=20, faults=[Fault("POST", ":run$", 503, is_done=True)])
    # A machine that is not in Google's cloud has no credentials.
    monkeypatch.setattr(launch, "default_token", lambda: lambda: GOOGLE_TOKEN)

    def no_warehouse() -> Warehouse:
        raise PipelineError("no warehouse is asked")

    with serving_cloud_run(cloud_run) as address:
        cloud = {"TRIGGER_JOB": JOB, "ORDERS_URI": str(tmp_path / "orders"), "RUN_API_URL": address}
        settings = Settings.from_environment(cloud | {"ARCHIVE_URI": str(tmp_path / "archive"), "API_TOKEN": TOKEN})
        app = application(settings, no_warehouse, lambda: datetime.now(UTC))
        with answering(app) as client:
            told = _trigger(client)
            assert (told.status_code, told.json()["type"]) == (503, "/docs#start-unknown")
            run_id = told.json()["run_id"]
            assert told.json()["detail"].startswith(
                f"Cloud Run answered 503 to POST {JOB}:run, so the run may have begun. GET /runs/"
            )
            assert told.headers["Location"] == told.json()["instance"] == f"/runs/{run_id}"
            assert client.get(f"/runs/{run_id}", headers=AUTHORIZATION).json() == {
                "run_id": run_id,
                "state": "running",
                "report": None,
            }
            again = _trigger(client)
            assert (again.status_code, again.json()["run_id"]) == (409, run_id)


def test_what_cloud_run_no_longer_knows_is_unknown(tmp_path: Path) -> None:
    cloud_run, orders = CloudRun(), Orders(str(tmp_path))
    with serving_cloud_run(cloud_run) as address:
        job = CloudRunJob(JOB, orders, lambda: NOW, address, lambda: GOOGLE_TOKEN)
        ordered = new_order(NOW, None, None, None)
        job.start(ordered)
        orders.take(_last(cloud_run), NOW)
        assert job.state(ordered.run_id) == "running"
        # Of the executions of a job, Cloud Run keeps the last thousand.
        cloud_run.runs.clear()
        assert (job.state(ordered.run_id), job.running()) == ("unknown", {})


def test_an_order_is_given_up_where_cloud_run_was_never_reached(tmp_path: Path) -> None:
    orders = Orders(str(tmp_path))
    with serving_cloud_run(CloudRun()) as address:
        pass
    job = CloudRunJob(JOB, orders, lambda: NOW, address, lambda: GOOGLE_TOKEN)
    ordered = new_order(NOW, None, None, None)
    with pytest.raises(CloudRunRefused, match="Cloud Run cannot be reached"):
        job.start(ordered)
    assert (job.state(ordered.run_id), orders.waiting(NOW)) == (None, [])


def test_each_end_of_a_run_is_a_state(built_pipeline: Pipeline) -> None:
    states = {0: "succeeded", 1: "failed", 2: "refused", 3: "incomplete", 130: "interrupted"}
    assert {status: state_of(status) for status in states} == states
    assert state_of(-9) == "killed"
    began = datetime.now(UTC)
    for status in states:
        report = replace(Report.of("run", Outcome(), began, began), exit_status=status)
        archive_report(report, f"run-20241231T130000Z-{status:06}", built_pipeline.archive)
    built_pipeline.replay()
    with serving(built_pipeline, API_TOKEN=TOKEN) as client:
        listed = client.get("/runs", headers=AUTHORIZATION).json()["runs"]
        ours = {run["run_id"]: run for run in listed if run["run_id"].startswith("run-2024")}
        assert {run["report"]["exit_status"]: run["state"] for run in ours.values()} == states
        for run_id, run in ours.items():
            assert client.get(f"/runs/{run_id}", headers=AUTHORIZATION).json() == run


def test_the_bill_is_of_the_last_thirty_days(built_pipeline: Pipeline) -> None:
    now = datetime.now(UTC)
    with built_pipeline.warehouse() as warehouse:
        before = read_bill(warehouse, now)
    for days, billed in ((1, 3 * 2**40), (2, None), (29, 2**40), (31, 2**42)):
        began = now - timedelta(days=days)
        report = replace(Report.of("run", Outcome(), began, began), bytes_billed=billed)
        archive_report(report, f"run-billed-{days}", built_pipeline.archive)
    built_pipeline.replay()
    with built_pipeline.warehouse() as warehouse:
        bill, runs = read_bill(warehouse, now), read_runs(warehouse, 1)
    # The embedded warehouse has billed nothing for what was built before.
    assert (before.bytes_billed, before.estimated_price) == (0, 0.0)
    assert bill == Bill(30, before.run_count + 2, 4 * 2**40, 25.0)
    console = Console(width=80)
    with console.capture() as printed:
        show(console, diagnosis_screen(Diagnosis(None, [], [], runs, [], [], bill)))
    assert "BigQuery billed 4,398.0 GB" in printed.get()
    assert "estimated at 25.00 US$" in " ".join(printed.get().split())


def test_a_command_without_a_report_is_at_work_while_it_holds_the_lease(built_pipeline: Pipeline) -> None:
    # Typed in another terminal: this server did not start it.
    run_id, now = "backfill-20241231T130000Z-abcdef", datetime.now(UTC)
    asked = {"symbol": "TCS", "source_id": "kite", "raw_table": "kite_daily_bars", "outcome": "ok", "requested_at": now}
    asked |= {"attempts": 1, "elapsed_ms": 200, "row_count": 1}
    write_bars(built_pipeline.archive, EXTRACT_REQUESTS, run_id, now, asked)
    built_pipeline.replay()

    def told(client: httpx.Client) -> tuple[set[str], bool, str | None, list[str] | None]:
        runs = client.get("/runs", headers=AUTHORIZATION).json()["runs"]
        (listed,) = [run for run in runs if run["run_id"] == run_id]
        one = client.get(f"/runs/{run_id}", headers=AUTHORIZATION).json()
        status = built_pipeline.command("status")
        as_json = json.loads(built_pipeline.command("status", "--json").stdout)
        (line,) = [line for line in built_pipeline.command("diagnose").stdout.splitlines() if " backfill " in line]
        overview = client.get("/dashboard/overview", headers=AUTHORIZATION).json()
        word = line.split(" backfill ")[1].split()[0]
        is_told = f"{run_id} (backfill ALL) is running now" in status.stdout
        return {listed["state"], one["state"], word}, is_told, as_json["at_work"], overview["at_work"]

    with serving(built_pipeline, API_TOKEN=TOKEN) as client:
        with held(built_pipeline.archive, run_id, "backfill ALL", lambda: now):
            # The page takes its word from the last of these.
            assert told(client) == ({"running"}, True, run_id, [run_id])
        assert told(client) == ({"killed"}, False, None, [])
        # Without the lease, nobody can tell whether the command is running or was killed.
        archive = built_pipeline.archive
        last = max(int(PurePosixPath(path).stem) for path in archive.listed("leases/"))
        archive.create(f"leases/000000/{last + 1:09}.json", b"{")
        for path in ("/runs", f"/runs/{run_id}"):
            answer = client.get(path, headers=AUTHORIZATION)
            assert (answer.status_code, "does not tell who writes" in answer.text) == (503, True)
        assert client.get("/dashboard/overview", headers=AUTHORIZATION).json()["at_work"] is None
        (line,) = [line for line in built_pipeline.command("diagnose").stdout.splitlines() if " backfill " in line]
        assert line.split(" backfill ")[1].split()[0] == "unknown"


def test_who_asks_and_whom_to_ask_are_two_things() -> None:
    assert Trigger().only_provider is None
    assert Trigger(source="scheduled", provider="kite").only_provider == "kite"
    # As it was called before.
    assert Trigger(source="yahoo").only_provider == "yahoo"


def test_a_rate_is_of_each_hour() -> None:
    now = [NOW]
    rate = Rate(2, lambda: now[0])
    assert [rate.wait(), rate.wait()] == [0.0, 0.0]
    now[0] += timedelta(minutes=20)
    assert rate.wait() == 2400.0
    now[0] += timedelta(minutes=40)
    assert [rate.wait(), rate.wait(), rate.wait()] == [0.0, 0.0, 3600.0]


def test_each_attempt_of_a_task_has_an_id_of_its_own(pipeline: Pipeline, market: Mapping[str, str]) -> None:
    asked = ("extract", "--symbols", "TCS", "--source", "yahoo", "--run-id", ID)
    for attempt in ("0", "1"):
        done = pipeline.command(*asked, environment=dict(market) | {"CLOUD_RUN_TASK_ATTEMPT": attempt})
        assert done.returncode == 0, done.stderr[-2000:]
    ids = pipeline.query("select _run_id from `{d}_raw.extract_runs` order by _run_id")
    assert ids == [(ID,), (f"{ID}.1",)]
    done = pipeline.command(*asked[:-1], "../x")
    assert (done.returncode, "'../x' is not an id" in done.stderr) == (2, True)


def test_an_id_answers_for_its_own_attempts_and_for_no_other_run(built_pipeline: Pipeline) -> None:
    began = datetime.now(UTC)
    for run_id in ("nightly", "nightly.1", "nightly.2024-06-03", "nightly-2"):
        archive_report(Report.of("run", Outcome(), began, began), run_id, built_pipeline.archive)
    built_pipeline.replay()
    with built_pipeline.warehouse() as warehouse:
        assert {run.run_id for run in read_runs(warehouse, 9, "nightly")} == {"nightly", "nightly.1"}
