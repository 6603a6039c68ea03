"""Whether the pipeline is well, for machines; and whether the data is there, and can be trusted."""

from collections.abc import Callable
from datetime import date, datetime
from typing import Literal

import structlog
from fastapi import APIRouter, HTTPException, Response
from pydantic import BaseModel

from extract.api.access import REFUSALS, Wrong, unavailable
from extract.archive import Archive
from extract.diagnosis import LONGEST_SILENCE
from extract.settings import Settings
from extract.sources import Clock
from extract.status import SourceStatus, read_status
from extract.warehouse import Warehouse

_log = structlog.get_logger()


class Alive(BaseModel):
    """What was looked at answers."""

    status: Literal["alive"] = "alive"


class Health(BaseModel):
    """Whether the pipeline is well, and what was looked at: ``ok``, or what is wrong."""

    status: Literal["healthy", "unhealthy"]
    timestamp: datetime
    warehouse: str
    archive: str
    last_good_build: str
    last_good_build_at: datetime | None


class DataStatus(BaseModel):
    """The view data_status in short, and the last run's sources."""

    latest_date: date | None
    due_date: date
    sessions_behind: int | None
    total_symbols: int
    records_today: int
    total_records: int
    data_quality_score: float | None
    is_degraded: bool
    degraded_symbols: list[str]
    stale_sources: list[str]
    sources: list[SourceStatus]


def health_routes(settings: Settings, warehouse: Callable[[], Warehouse], clock: Clock) -> APIRouter:
    """The routes that anybody may ask: they tell nothing of the data.

    Args:
        settings: the archive.
        warehouse: gives the warehouse; it may fail, which they tell.
        clock: the time, with zone.
    """
    routes = APIRouter()

    def look_at_warehouse() -> datetime | None:
        with unavailable():
            return warehouse().last_built_at()

    def look_at_archive() -> None:
        with unavailable():
            next(iter(Archive(settings.archive_uri).listed()), None)

    @routes.get("/live")
    def live() -> Alive:
        """Whether the process answers: for probes, which must not depend on the data."""
        return Alive()

    @routes.get("/ready", responses={503: {"model": Wrong}})
    def ready() -> Alive:
        """Whether the warehouse and the archive answer, whatever they hold: for a release, and who sends it traffic."""
        look_at_warehouse()
        look_at_archive()
        return Alive()

    @routes.get("/health", responses={503: {"model": Health}})
    def health(response: Response) -> Health:
        """Whether the warehouse and the archive answer, and the last good build is not long ago."""
        built_at: datetime | None = None
        told = {"warehouse": "ok", "archive": "ok", "last_good_build": "ok"}
        now = clock()
        try:
            built_at = look_at_warehouse()
        except HTTPException as error:
            told["warehouse"] = error.detail
        try:
            look_at_archive()
        except HTTPException as error:
            told["archive"] = error.detail
        if built_at is None:
            told["last_good_build"] = "nothing was built yet"
        elif now - built_at > LONGEST_SILENCE:
            told["last_good_build"] = f"it was {(now - built_at).total_seconds() // 3600:.0f} hours ago"
        is_healthy = set(told.values()) == {"ok"}
        if not is_healthy:
            response.status_code = 503
            _log.warning("unhealthy", **told)
        return Health(
            status="healthy" if is_healthy else "unhealthy", timestamp=now, last_good_build_at=built_at, **told
        )

    return routes


def data_routes(warehouse: Callable[[], Warehouse]) -> APIRouter:
    """The state of the data; ``warehouse`` may fail."""
    routes = APIRouter()

    @routes.get("/data-status", responses=REFUSALS)
    def data_status() -> DataStatus:
        """Whether the latest session is here and can be trusted, as ``trading-data status`` tells it."""
        with unavailable():
            status = read_status(warehouse())
        return DataStatus(
            latest_date=status.latest_trade_date,
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
