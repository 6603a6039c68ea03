"""The health of the pipeline, for probes; and the state of the data."""

import asyncio
import math
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import date, datetime
from typing import Literal

import structlog
from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from extract.api.access import REFUSALS
from extract.api.dashboard.reader import Reader
from extract.api.problems import Refusal, refusals, unavailable
from extract.api.verdict import Verdict, verdict_of
from extract.landing.archive import Archive
from extract.reporting.alerts import State
from extract.reporting.diagnosis import LONGEST_SILENCE
from extract.reporting.status import SourceStatus, Status
from extract.seeds import Clock
from extract.settings import Settings
from extract.threads import begun
from extract.warehouse.connection import Warehouse
from extract.warehouse.notes import last_built_at

_log = structlog.get_logger()

# A probe gives up after five seconds, and takes the process for dead.
_PROBE_SECONDS = 4.0

# How long the verdict is kept for probes, if nothing is built: it costs a query of half a gigabyte, and any caller may
# ask.
_VERDICT_SECONDS = 3_600.0


class Alive(BaseModel):
    """Everything that was probed answers."""

    status: Literal["alive"] = "alive"


class Health(BaseModel):
    """Whether the pipeline is healthy; for each part ``ok``, or what is wrong."""

    status: Literal["healthy", "unhealthy"]
    verdict: State | None = Field(
        description="The verdict of `/data-status` in one word, read after the last build, or an hour ago at most;"
        " null where it cannot be read in time, or nothing was built yet. It does not change `status`: a pipeline can"
        " be well when data is missing."
    )
    timestamp: datetime
    warehouse: str
    archive: str
    last_good_build: str
    last_good_build_at: datetime | None


class DataStatus(BaseModel):
    """The view data_status in short, the verdict on the data, and the sources of the last run."""

    verdict: Verdict
    latest_date: date | None = Field(
        description="The latest session with a valid bar, of any symbol; null where there is none."
    )
    assessed_date: date | None = Field(
        description="The session that `records_today`, `data_quality_score` and `degraded_symbols` are about: the due"
        " session as soon as it has a valid bar or its run should be over, until then the session before. Null where"
        " there is no session yet."
    )
    due_date: date = Field(description="The latest session that has closed.")
    sessions_behind: int | None = Field(
        description="How many sessions have closed since `latest_date`; null where that is null."
    )
    total_symbols: int = Field(description="How many instruments have any bar.")
    records_today: int = Field(description="How many valid bars `assessed_date` has.")
    total_records: int = Field(description="How many bars all sessions have, valid or not.")
    data_quality_score: float | None = Field(
        description="The score of `assessed_date`, from 0 to 100: how much of the expected data is there and passes its"
        " checks. Null where no bar was expected."
    )
    is_degraded: bool = Field(description="Whether anything is wrong, or anything expected is missing.")
    degraded_symbols: list[str] = Field(description="The instruments without a valid bar on `assessed_date`.")
    stale_sources: list[str] = Field(
        description="The sources that, in two or more sessions of the last ten days, sent less than half of their usual"
        " number of bars."
    )
    sources: list[SourceStatus] = Field(description="What each source answered in the last run that asked any.")


class _Look[T]:
    """A check of something that may hang for minutes; later callers share the running one, and wait some seconds each.

    It runs in a thread of its own, because the server's threads may all be waiting for the same thing. The result of
    an expensive one is kept for ``kept_seconds``.
    """

    def __init__(self, subject: str, look: Callable[[], T], kept_seconds: float = 0.0) -> None:
        self._subject = subject
        self._look = look
        self._kept_seconds = kept_seconds
        self._under_way: Future[T] | None = None
        self._began_at = 0.0

    def renew(self) -> None:
        """Make the check again when it is asked for the next time."""
        self._began_at = -math.inf

    async def __call__(self) -> T:
        """The result of the check.

        Raises:
            Refusal: the check failed, or did not end in time. Only the log says why, because any caller may ask.
        """
        is_old = time.monotonic() - self._began_at >= self._kept_seconds
        has_ended = self._under_way is not None and self._under_way.done()
        # A failure is not kept: the next caller may have more luck.
        if self._under_way is None or (has_ended and (is_old or self._under_way.exception() is not None)):
            self._under_way, self._began_at = begun(self._look), time.monotonic()
        try:
            return await asyncio.wait_for(asyncio.wrap_future(self._under_way), _PROBE_SECONDS)
        except Exception as error:
            reason = str(error) or f"no answer within {_PROBE_SECONDS:g} s"
            _log.warning("unhealthy", subject=self._subject, reason=reason)
            raise Refusal(503, "unavailable", f"The {self._subject} does not answer.") from error


def health_routes(
    settings: Settings, warehouse: Callable[[], Warehouse], clock: Clock, status: Callable[[], Status]
) -> APIRouter:
    """The routes without authentication: they reveal neither where the data is stored nor more of it than the verdict.

    They answer in seconds, whatever the warehouse does.

    Args:
        settings: the archive.
        warehouse: returns the warehouse; it may fail, which the routes report.
        clock: the time, with zone.
        status: reads the state of the data; it may fail.
    """
    routes = APIRouter(tags=["Health"])
    look_at_warehouse = _Look("warehouse", lambda: last_built_at(warehouse().hurried(_PROBE_SECONDS)))
    look_at_verdict = _Look("verdict", lambda: status().verdict.state, _VERDICT_SECONDS)
    last_seen: datetime | BaseException | None = None
    look_at_archive = _Look("archive", lambda: next(iter(Archive(settings.archive_uri).listed()), None))

    @routes.get("/live", summary="Does the process answer?")
    async def live() -> Alive:
        """Whether the process answers: for probes, which must not depend on the data."""
        return Alive()

    @routes.get("/ready", summary="Do the warehouse and the archive answer?", responses=refusals(503))
    async def ready() -> Alive:
        """Whether the warehouse and the archive answer, whatever they hold: for a release, before it gets traffic."""
        await asyncio.gather(look_at_warehouse(), look_at_archive())
        return Alive()

    @routes.get("/health", summary="Is the pipeline well?", responses={503: {"model": Health}})
    async def health(response: Response) -> Health:
        """Whether the warehouse and the archive answer, and the last good build is recent; and the verdict."""
        nonlocal last_seen
        built_at, listed, verdict = await asyncio.gather(
            look_at_warehouse(), look_at_archive(), look_at_verdict(), return_exceptions=True
        )
        told = {"warehouse": "ok", "archive": "ok", "last_good_build": "ok"}
        now = clock()
        if built_at != last_seen:
            look_at_verdict.renew()
            last_seen = built_at
        if isinstance(built_at, BaseException):
            built_at, told["warehouse"], told["last_good_build"] = None, "it does not answer", "it cannot be known now"
        elif built_at is None:
            told["last_good_build"] = "nothing was built yet"
        elif now - built_at > LONGEST_SILENCE:
            told["last_good_build"] = f"it was {(now - built_at).total_seconds() // 3600:.0f} hours ago"
        if isinstance(listed, BaseException):
            told["archive"] = "it does not answer"
        is_healthy = set(told.values()) == {"ok"}
        if not is_healthy:
            response.status_code = 503
            _log.warning("unhealthy", **told)
        return Health(
            status="healthy" if is_healthy else "unhealthy",
            verdict=None if isinstance(verdict, BaseException) else verdict,
            timestamp=now,
            last_good_build_at=built_at,
            **told,
        )

    return routes


def data_routes(reader: Reader) -> APIRouter:
    """The route of the state of the data."""
    routes = APIRouter(tags=["Data"])

    @routes.get("/data-status", summary="Is the latest session here, and can it be trusted?", responses=REFUSALS)
    def data_status() -> DataStatus:
        """The verdict, with its reasons, as `trading-data status` gives it. It is read again after each run."""
        with unavailable():
            status = reader.status()
        return DataStatus(
            verdict=verdict_of(status, status.verdict.reasons),
            latest_date=status.latest_trade_date,
            assessed_date=status.assessed_trade_date,
            due_date=status.due_trade_date,
            sessions_behind=status.sessions_behind,
            total_symbols=status.symbol_count,
            records_today=status.latest_valid_record_count,
            total_records=status.record_count,
            data_quality_score=status.latest_quality_score,
            is_degraded=status.is_degraded,
            degraded_symbols=status.unserved_symbols,
            stale_sources=status.stale_sources,
            sources=status.last_run,
        )

    return routes
