"""The HTTP API: is the pipeline well, is the data there, can it be trusted; start a run; and a page for people."""

from collections.abc import Callable

from fastapi import Depends, FastAPI
from fastapi.middleware.gzip import GZipMiddleware

from extract.api.access import Access, BoundedBodies
from extract.api.dashboard import dashboard_routes
from extract.api.health import data_routes, health_routes
from extract.api.runs import run_routes
from extract.seeds import Clock
from extract.settings import Settings
from extract.warehouse.connection import Warehouse


def application(settings: Settings, warehouse: Callable[[], Warehouse], clock: Clock) -> FastAPI:
    """The API of a warehouse, and the dashboard.

    Args:
        settings: the archive, who may ask, and where runs are started.
        warehouse: gives the warehouse; it may fail, which ``/health`` tells.
        clock: the time, with zone.
    """
    # Its own documentation pages load from elsewhere.
    app = FastAPI(title="Trading data", version="1", docs_url=None, redoc_url=None)
    # What is asked of the warehouse; the page's own files are compressed already.
    app.add_middleware(GZipMiddleware, minimum_size=10_000, compresslevel=5)
    app.add_middleware(BoundedBodies)
    access = Access(settings)
    allowed = Depends(access)
    app.include_router(health_routes(settings, warehouse, clock))
    app.include_router(data_routes(warehouse), dependencies=[allowed])
    app.include_router(run_routes(settings, warehouse, clock), dependencies=[allowed])
    app.include_router(dashboard_routes(warehouse, clock, allowed, is_asked=access.is_possible))
    return app
