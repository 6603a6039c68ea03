"""Start a run, and follow it."""

import threading
from collections.abc import Callable
from datetime import date
from typing import Annotated, Literal

import structlog
from fastapi import APIRouter, Depends, HTTPException, Path, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, field_validator

from extract.api.access import REFUSALS, Wrong, refuse_other_sites, unavailable
from extract.api.launch import CloudRunJob, Launcher, LocalProcesses, Rate, State, order
from extract.errors import INCOMPLETE, OK
from extract.landing.announced import read_announcements
from extract.landing.archive import Archive
from extract.reporting.diagnosis import Run, read_runs
from extract.run_id import RUN_ID
from extract.seeds import FIRST_DAY, Announcements, Clock, exchange_date, listed_instruments, trading_sessions
from extract.settings import Settings
from extract.warehouse.connection import Warehouse

_log = structlog.get_logger()

_SYMBOLS = [instrument.symbol for instrument in listed_instruments()]


# Outside, because in the class below the field hides the type.
_Day = Annotated[
    date | None,
    Field(description=f"A session of the exchange since {FIRST_DAY}; by default the last one that has closed."),
]


class Trigger(BaseModel):
    """What to fetch: all of it optional. Nothing at all is the scheduled job."""

    model_config = ConfigDict(extra="forbid")

    source: Annotated[
        Literal["kite", "yahoo", "alpha_vantage"] | None, Field(description="The only source to ask.")
    ] = None
    symbols: Annotated[
        list[Annotated[str, Field(json_schema_extra={"enum": _SYMBOLS})]] | None,
        Field(
            min_length=1,
            max_length=len(_SYMBOLS),
            json_schema_extra={"uniqueItems": True},
            description="The only symbols to ask for.",
        ),
    ] = None
    date: _Day = None

    @field_validator("symbols")
    @classmethod
    def _are_listed(cls, symbols: list[str] | None) -> list[str] | None:
        if unknown := sorted(set(symbols or []) - set(_SYMBOLS)):
            raise ValueError(f"{', '.join(unknown)}: not among the instruments")
        if len(set(symbols or [])) < len(symbols or []):
            raise ValueError("each symbol once")
        return symbols


class Triggered(BaseModel):
    """A run that was started."""

    run_id: str
    trade_date: date


class Conflict(BaseModel):
    """Why no run was started: another one is on its way for the same session."""

    detail: str
    run_id: str


class RunStatus(BaseModel):
    """How a run is, and what it told of itself when it ended."""

    run_id: str
    state: State
    report: Annotated[Run | None, Field(description="Its row of operations_runs; null until it has ended.")]


def run_routes(settings: Settings, warehouse: Callable[[], Warehouse], clock: Clock) -> APIRouter:
    """The routes that start a run and tell how it is.

    Args:
        settings: where runs are started, and how many of them within an hour.
        warehouse: gives the warehouse; it may fail.
        clock: the time, with zone.
    """
    routes = APIRouter()

    def announced() -> Announcements:
        return read_announcements(Archive(settings.archive_uri))

    launcher: Launcher = (
        CloudRunJob(settings.trigger_job, clock, settings.run_url, announced=announced)
        if settings.trigger_job
        else LocalProcesses(settings, clock)
    )
    rate = Rate(settings.api_triggers_per_hour, clock)
    one_at_a_time = threading.Lock()

    @routes.post(
        "/trigger-daily-ingestion",
        status_code=202,
        response_model=Triggered,
        dependencies=[Depends(refuse_other_sites)],
        responses=REFUSALS | {400: {"model": Wrong}, 409: {"model": Conflict}, 429: {"model": Wrong}},
    )
    def trigger(wanted: Trigger | None = None) -> Response:
        """Start a run, and do not wait for it: ``/runs/{run_id}`` tells how it is."""
        now = clock()
        wanted = wanted or Trigger()
        with unavailable(), one_at_a_time:
            told = announced()
            if wanted.date is not None:
                _check_session(wanted.date, exchange_date(now), told)
            ordered = order(now, wanted.source, wanted.symbols, wanted.date, told)
            if busy := launcher.running().get(ordered.trade_date):
                conflict = Conflict(detail=f"a run for {ordered.trade_date} is on its way", run_id=busy)
                return JSONResponse(conflict.model_dump(), 409)
            if wait := rate.wait():
                raise HTTPException(
                    429,
                    f"{settings.api_triggers_per_hour} runs were started within the hour",
                    {"Retry-After": f"{wait:.0f}"},
                )
            launcher.start(ordered)
        _log.info("run triggered", triggered_run_id=ordered.run_id, arguments=ordered.arguments)
        started = Triggered(run_id=ordered.run_id, trade_date=ordered.trade_date)
        return JSONResponse(started.model_dump(mode="json"), 202, {"Location": f"/runs/{ordered.run_id}"})

    @routes.get("/runs/{run_id}", responses=REFUSALS | {404: {"model": Wrong}})
    def run(run_id: Annotated[str, Path(pattern=f"^{RUN_ID}$")]) -> RunStatus:
        """How a run is: one that was triggered, or any of the last ninety days."""
        with unavailable():
            state = launcher.state(run_id)
            reports = _reports(warehouse(), run_id) if state != "running" else []
        if reports and reports[0].exit_status is not None:
            state = "succeeded" if reports[0].exit_status in (OK, INCOMPLETE) else "failed"
            return RunStatus(run_id=run_id, state=state, report=reports[0])
        if state is None and reports:
            # It has landed something, and nobody knows of a process of it.
            state = "failed"
        if state is None:
            raise HTTPException(404, f"no run {run_id} is known")
        return RunStatus(run_id=run_id, state=state, report=None)

    return routes


def _check_session(day: date, today: date, announced: Announcements) -> None:
    fault = None
    if not FIRST_DAY <= day <= today:
        fault = f"not between {FIRST_DAY} and today, {today}"
    elif not trading_sessions(day, day, announced):
        fault = "no session of the exchange"
    if fault:
        # As FastAPI tells of what a model does not take.
        raise RequestValidationError(
            [{"type": "value_error", "loc": ("body", "date"), "msg": fault, "input": str(day)}]
        )


def _reports(warehouse: Warehouse, run_id: str) -> list[Run]:
    if not warehouse.exists(f"{warehouse.dataset}_operations.operations_runs"):
        return []
    return read_runs(warehouse, 1, run_id)
