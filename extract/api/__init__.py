"""The HTTP API: the health of the pipeline, the state of the data, bars, runs; and a page for people."""

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import structlog
from fastapi import Depends, FastAPI
from fastapi.middleware.gzip import GZipMiddleware

from extract.api.access import HOW_TO_OPEN, Access, BoundedBodies
from extract.api.bars import bar_routes
from extract.api.dashboard.reader import Reader
from extract.api.dashboard.routes import dashboard_routes
from extract.api.files import file_routes
from extract.api.health import data_routes, health_routes
from extract.api.parameters import refuse_unknown_parameters
from extract.api.problems import KINDS, AnswersHead, answer_with_problems, refusals
from extract.api.runs import run_routes
from extract.seeds import Clock
from extract.settings import Settings
from extract.warehouse.connection import Warehouse

_log = structlog.get_logger()

_DESCRIPTION = """
Daily bars of Indian equities: is the data here, can it be trusted, and the bars themselves.

`/health`, `/ready` and `/live` are open, and so are the pages, such as `/` and `/docs`, and `/openapi.json`, which
contain no data but the verdict in one word. Every other address needs the header `Authorization: Bearer <token>`, where
the token is what `API_TOKEN` is set to where the server runs. Press *Authorize* to try the addresses here.

HEAD is answered wherever GET is. There is no CORS: pages of other sites cannot read the answers. Times are in UTC, days
are the exchange's (Asia/Kolkata), prices are in rupees.

An error is a problem of RFC 9457 (`application/problem+json`). Its `type` is one of these, or `about:blank`:

"""

_TAGS: list[dict[str, Any]] = [
    {"name": "Data", "description": "The state of the data, and the bars."},
    {"name": "Runs", "description": "Start a run, and follow it."},
    {
        "name": "Health",
        "description": "For probes and uptime checks: open to anybody. Of the data, they tell the verdict alone.",
    },
    {"name": "Page", "description": "What the page for people asks for. It changes with the page; programs use Data."},
]


def application(settings: Settings, warehouse: Callable[[], Warehouse], clock: Clock) -> FastAPI:
    """The API of a warehouse, and the page.

    Args:
        settings: the archive, who may call, and where runs are started.
        warehouse: returns the warehouse; it may fail, which ``/health`` reports.
        clock: the time, with zone.
    """
    kinds = "\n".join(f"- `/docs#{kind}`: {title}" for kind, title in KINDS.items())
    app = FastAPI(
        title="Trading data",
        version=version("trading-data"),
        description=_DESCRIPTION.strip() + "\n\n" + kinds,
        openapi_tags=_TAGS,
        # FastAPI's own pages load scripts from other hosts.
        docs_url=None,
        redoc_url=None,
    )
    answer_with_problems(app)
    # For answers from the warehouse; the page's own files are already compressed.
    app.add_middleware(GZipMiddleware, minimum_size=10_000, compresslevel=5)
    app.add_middleware(BoundedBodies)
    app.add_middleware(AnswersHead)
    access = Access(settings)
    if not access.is_possible:
        _log.warning(HOW_TO_OPEN)
    reader = Reader(warehouse, clock, settings.lease_uri)
    # The files alone take any parameter: they answer no question.
    app.include_router(file_routes())
    understood, not_understood = Depends(refuse_unknown_parameters), refusals(422)
    probes = health_routes(settings, warehouse, clock, reader.status)
    app.include_router(probes, dependencies=[understood], responses=not_understood)
    for closed in (
        data_routes(reader),
        bar_routes(warehouse, clock),
        run_routes(settings, warehouse, clock),
        dashboard_routes(reader, is_asked=access.is_possible),
    ):
        app.include_router(closed, dependencies=[Depends(access), understood], responses=not_understood)
    return app
