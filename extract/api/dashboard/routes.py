"""The routes that the page for people calls."""

import threading
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi import Path as PathParameter

from extract.api.access import REFUSALS
from extract.api.dashboard.overview import Overview
from extract.api.dashboard.reader import Reader
from extract.api.dashboard.symbol import SymbolView
from extract.api.days import Day
from extract.api.problems import refusals, unavailable
from extract.api.symbols import our_symbol


def dashboard_routes(reader: Reader, *, is_asked: bool) -> APIRouter:
    """The routes that the page calls.

    Args:
        reader: reads the warehouse.
        is_asked: whether any caller can be let through; if not, the overview is not read in advance.
    """
    routes = APIRouter(prefix="/dashboard", tags=["Page"], responses=REFUSALS)

    @routes.get("/overview", summary="What the first screen shows")
    def overview(request: Request) -> Overview:
        """The verdict, the figures and the data of the panels. It is read again after each run, or with `no-cache`."""
        with unavailable():
            return reader.overview(again=_asks_anew(request))

    @routes.get("/symbols/{symbol}", summary="What the page of a symbol shows", responses=refusals(404))
    def of_symbol(
        request: Request,
        symbol: Annotated[
            str,
            PathParameter(max_length=30, description="In any case.", openapi_examples={"tcs": {"value": "TCS"}}),
        ],
        first: Annotated[Day | None, Query(alias="from", description="The first day; by default a year ago.")] = None,
        last: Annotated[Day | None, Query(alias="to", description="The last day; by default today.")] = None,
    ) -> SymbolView:
        """A symbol's bars, the versions of bars that have several, its corporate actions and its score."""
        known = our_symbol(symbol)
        with unavailable():
            return reader.symbol(known, first, last, again=_asks_anew(request))

    if is_asked:
        threading.Thread(target=reader.warm, daemon=True).start()
    return routes


def _asks_anew(request: Request) -> bool:
    return "no-cache" in request.headers.get("Cache-Control", "")
