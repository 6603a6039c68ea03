"""The HTTP API: is the pipeline well, is the data there, and can it be trusted?"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from typing import Annotated, Literal

import structlog
from fastapi import Depends, FastAPI, HTTPException, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

from extract.archive import Archive
from extract.errors import ConfigurationError, PipelineError
from extract.settings import Settings
from extract.sources import Clock
from extract.status import SourceStatus, read_status
from extract.warehouse import Warehouse

_log = structlog.get_logger()

# A run ends well each evening and each morning; see the alert "No good run in 26 hours".
_LONGEST_SILENCE = timedelta(hours=26)


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


class Wrong(BaseModel):
    """Why there is no answer, and what to do."""

    detail: str


def application(settings: Settings, warehouse: Callable[[], Warehouse], clock: Clock) -> FastAPI:
    """The API of a warehouse.

    Args:
        settings: the archive, and who may ask.
        warehouse: gives the warehouse; it may fail, which ``/health`` tells.
        clock: the time, with zone.
    """
    # Its own documentation pages load from elsewhere.
    app = FastAPI(title="Trading data", version="1", docs_url=None, redoc_url=None)
    bearer = HTTPBearer(auto_error=False, description="API_TOKEN")

    def allowed(given: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> None:
        if settings.api_token is None:
            raise HTTPException(403, "API_TOKEN is not set where this runs: only /health is answered")
        if given is None or not secrets.compare_digest(given.credentials.encode(), settings.api_token.encode()):
            raise HTTPException(401, "send the header Authorization: Bearer API_TOKEN", {"WWW-Authenticate": "Bearer"})

    def look_at_warehouse() -> datetime | None:
        with _unavailable():
            return warehouse().last_built_at()

    def look_at_archive() -> None:
        with _unavailable():
            next(iter(Archive(settings.archive_uri).listed()), None)

    @app.get("/live")
    def live() -> Alive:
        """Whether the process answers: for probes, which must not depend on the data."""
        return Alive()

    @app.get("/ready", responses={503: {"model": Wrong}})
    def ready() -> Alive:
        """Whether the warehouse and the archive answer, whatever they hold: for a release, and who sends it traffic."""
        look_at_warehouse()
        look_at_archive()
        return Alive()

    @app.get("/health", responses={503: {"model": Health}})
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
        elif now - built_at > _LONGEST_SILENCE:
            told["last_good_build"] = f"it was {(now - built_at) // timedelta(hours=1)} hours ago"
        is_healthy = set(told.values()) == {"ok"}
        if not is_healthy:
            response.status_code = 503
            _log.warning("unhealthy", **told)
        return Health(
            status="healthy" if is_healthy else "unhealthy", timestamp=now, last_good_build_at=built_at, **told
        )

    @app.get(
        "/data-status",
        dependencies=[Depends(allowed)],
        responses={401: {"model": Wrong}, 403: {"model": Wrong}, 503: {"model": Wrong}},
    )
    def data_status() -> DataStatus:
        """Whether the latest session is here and can be trusted, as ``trading-data status`` tells it."""
        with _unavailable():
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

    return app


@contextmanager
def _unavailable() -> Iterator[None]:
    """Answer 503, with the reason, where what is asked fails."""
    try:
        yield
    except (ConfigurationError, PipelineError) as error:
        raise HTTPException(503, str(error)) from error
