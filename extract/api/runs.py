"""The routes that start a run and follow it."""

import threading
from collections.abc import Callable
from dataclasses import fields
from datetime import date, timedelta
from typing import Annotated

import structlog
from fastapi import APIRouter, Body, Depends, Path, Query, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from google.cloud import bigquery

from extract.api.access import REFUSALS, refuse_other_sites
from extract.api.launch import CloudRunJob, Launcher, LocalProcesses, Rate, State, start, state_of
from extract.api.orders import Orders, new_order
from extract.api.problems import Refusal, problem, refusals, unavailable
from extract.api.run_models import EXAMPLES, Runs, RunStatus, Trigger, Triggered
from extract.landing.announced import read_announcements
from extract.landing.archive import Archive
from extract.landing.lease import holder
from extract.landing.lease_record import Record
from extract.reporting.past_runs import Run, read_runs
from extract.run_id import RUN_ID
from extract.seeds import FIRST_DAY, Announcements, Clock, exchange_date, last_closed_session, trading_sessions
from extract.settings import Settings
from extract.warehouse.connection import Warehouse

_log = structlog.get_logger()

# The exchange is never closed for so long.
_LONGEST_PAUSE = timedelta(days=14)


def run_routes(settings: Settings, warehouse: Callable[[], Warehouse], clock: Clock) -> APIRouter:  # noqa: C901 Three routes.
    """The routes that start a run and return its state.

    Args:
        settings: where runs are started, and how many within an hour.
        warehouse: returns the warehouse; it may fail.
        clock: the time, with zone.
    """
    routes = APIRouter(tags=["Runs"])

    def announced() -> Announcements:
        return read_announcements(Archive(settings.archive_uri))

    launcher = _launcher(settings, clock)

    def at_work() -> Record | None:
        """The command that holds the lease, whoever started it."""
        return holder(Archive(settings.lease_uri, setting="LEASE_URI"), clock())

    rate = Rate(settings.api_triggers_per_hour, clock)
    one_at_a_time = threading.Lock()

    @routes.post(
        "/trigger-daily-ingestion",
        summary="Start a run",
        status_code=202,
        response_model=Triggered,
        dependencies=[Depends(refuse_other_sites)],
        responses=REFUSALS | refusals(400, 409, 429),
    )
    def trigger(wanted: Annotated[Trigger | None, Body(openapi_examples=EXAMPLES)] = None) -> Response:
        """Start a run, and do not wait for it: `/runs/{run_id}`, which the header `Location` names, has its state.

        Only one run may be under way for a session at a time (else 409, with that run's id), and only a few may be
        started within an hour (else 429, with the seconds to wait in `Retry-After`).
        """
        now = clock()
        wanted = wanted or Trigger()
        with unavailable(), one_at_a_time:
            told = announced()
            day = None if wanted.date is None else _session_of(wanted.date, exchange_date(now), told)
            ordered = new_order(now, wanted.only_provider, wanted.symbols, day, told)
            held = at_work()
            scheduled = {last_closed_session(now, told): held.run_id} if held and held.command.startswith("run") else {}
            if busy := (scheduled | launcher.running()).get(ordered.trade_date):
                text = f"A run for {ordered.trade_date} is under way: {busy}. GET /runs/{busy} says when it has ended."
                return problem(409, text, "run-under-way", instance=f"/runs/{busy}", run_id=busy)
            if wait := rate.wait():
                text = f"{settings.api_triggers_per_hour} runs were started within the hour; wait {wait:.0f} seconds."
                raise Refusal(429, "too-many-runs", text, {"Retry-After": f"{wait:.0f}"})
            start(launcher, ordered)
        _log.info("run triggered", triggered_run_id=ordered.run_id, arguments=ordered.arguments, asked_by=wanted.source)
        started = Triggered(run_id=ordered.run_id, trade_date=ordered.trade_date)
        return JSONResponse(started.model_dump(mode="json"), 202, {"Location": f"/runs/{ordered.run_id}"})

    @routes.get("/runs", summary="The last runs", responses=REFUSALS)
    def runs(
        limit: Annotated[int, Query(ge=1, le=100, description="As many at most.")] = 20,
        before: Annotated[
            str | None,
            Query(pattern=f"^{RUN_ID}$", description="Only those that started before this run; `next` gives it."),
        ] = None,
    ) -> Runs:
        """Runs of the last ninety days, the latest first. A run that has not reported anything yet is not listed."""
        with unavailable():
            reports = _reports_before(warehouse(), limit + 1, before)
            running = set[str]()
            if any(report.exit_status is None for report in reports):
                held = at_work()
                running = {*launcher.running().values(), *([held.run_id] if held else [])}
        listed = [
            RunStatus(run_id=report.run_id, state=_state(report, running), report=report) for report in reports[:limit]
        ]
        more = len(reports) > limit
        return Runs(runs=listed, next=f"/runs?limit={limit}&before={listed[-1].run_id}" if more else None)

    @routes.get("/runs/{run_id}", summary="One run", responses=REFUSALS | refusals(404))
    def run(
        run_id: Annotated[str, Path(pattern=f"^{RUN_ID}$", description="As /trigger-daily-ingestion has given it.")],
    ) -> RunStatus:
        """The state of a run: one that was triggered, or any of the last ninety days."""
        with unavailable():
            state = launcher.state(run_id)
            if state is None and (held := at_work()) is not None and held.run_id == run_id:
                state = "running"
            reports = _reports(warehouse(), run_id) if state != "running" else []
        if reports and reports[0].exit_status is not None:
            return RunStatus(run_id=run_id, state=state_of(reports[0].exit_status), report=reports[0])
        if state is None and reports:
            # The run has landed something, and no process of it is known.
            state = "killed"
        if state is None:
            raise Refusal(404, "unknown-run", f"No run {run_id} is known here. GET /runs lists the last ones.")
        return RunStatus(run_id=run_id, state=state, report=None)

    return routes


def _launcher(settings: Settings, clock: Clock) -> Launcher:
    if settings.trigger_job and settings.orders_uri:
        return CloudRunJob(settings.trigger_job, Orders(settings.orders_uri), clock, settings.run_url)
    return LocalProcesses(settings)


def _session_of(day: date, today: date, announced: Announcements) -> date:
    """The last session up to a day: that of the day, if it has one."""
    fault = f"not between {FIRST_DAY} and today, {today}"
    if FIRST_DAY <= day <= today:
        sessions = trading_sessions(max(FIRST_DAY, day - _LONGEST_PAUSE), day, announced)
        if sessions:
            return sessions[-1].trade_date
        fault = f"no session of the exchange between {FIRST_DAY} and this day"
    # In the form of FastAPI's errors about a model.
    raise RequestValidationError([{"type": "value_error", "loc": ("body", "date"), "msg": fault, "input": str(day)}])


def _state(report: Run, running: set[str]) -> State:
    if report.exit_status is not None:
        return state_of(report.exit_status)
    return "running" if report.run_id in running else "killed"


def _reports_before(warehouse: Warehouse, limit: int, before: str | None) -> list[Run]:
    """The last runs, the latest first; or those that started before one."""
    if not warehouse.exists(f"{warehouse.dataset}_operations.operations_runs"):
        return []
    names = ", ".join(field.name for field in fields(Run))
    rows = warehouse.query(
        f"""
        with
        runs as (
            select {names} from `{warehouse.client.project}.{warehouse.dataset}_operations.operations_runs`
        ),
        ends as (
            select max(if(run_id = @before, started_at, null)) as started_at from runs
        )
        select runs.*
        from runs
        cross join ends
        where
            @before is null
            or runs.started_at < ends.started_at
            or (runs.started_at = ends.started_at and runs.run_id < @before)
        order by runs.started_at desc, runs.run_id desc
        limit {limit}
        """,
        [bigquery.ScalarQueryParameter("before", "STRING", before)],
    )
    return [Run(**dict(row.items())) for row in rows]


def _reports(warehouse: Warehouse, run_id: str) -> list[Run]:
    if not warehouse.exists(f"{warehouse.dataset}_operations.operations_runs"):
        return []
    return read_runs(warehouse, 1, run_id)
