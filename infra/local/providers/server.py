"""The server: the routes of the three providers, their limits, and the faults that strike."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from infra.local.providers import alpha_vantage, kite, yahoo
from infra.local.providers.faults import Fault
from infra.local.providers.state import API_KEY, API_SECRET, Providers


def application(providers: Providers) -> Starlette:
    """The three providers' routes, and ``/simulation``."""
    return Starlette(
        routes=[
            Route("/instruments/NSE", _answering(providers, "kite", kite.instruments)),
            Route("/instruments/historical/{token:int}/day", _answering(providers, "kite", kite.candles)),
            Route("/quote", _answering(providers, "kite", kite.quotes)),
            Route("/session/token", _answering(providers, "kite", kite.session), methods=["POST"]),
            Route("/v8/finance/chart/{ticker}", _answering(providers, "yahoo", yahoo.chart)),
            Route("/v1/test/getcrumb", lambda _: PlainTextResponse("crumb")),
            Route("/query", _answering(providers, "alpha_vantage", alpha_vantage.query)),
            Route("/simulation", partial(_simulation, providers), methods=["GET", "PUT"]),
            # yfinance fetches its cookie here.
            Route("/", lambda _: PlainTextResponse("")),
        ]
    )


def _answering(
    providers: Providers, source: str, answer: Callable[[Providers, Request], Response]
) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        providers.seen[source] += 1
        struck = _strikes(providers, source, request)
        for fault in struck:
            if fault.kind == "latency":
                await asyncio.sleep(fault.seconds or 0.1)
        if source == "kite" and request.method == "POST":
            request.state.form = dict(parse_qsl((await request.body()).decode()))
        request.state.faults = {fault.kind: fault for fault in struck}
        response = _refused(providers, source, request) or answer(providers, request)
        response = _spoilt(response, request.state.faults)
        providers.answered[source, response.status_code] += 1
        return response

    return endpoint


def _strikes(providers: Providers, source: str, request: Request) -> list[Fault]:
    symbols = set(providers.symbols(request))
    struck = []
    for fault in providers.faults:
        if (
            fault.source == source
            and providers.seen[source] > fault.after
            and (fault.times is None or providers.struck[fault] < fault.times)
            and _concerns(fault, symbols)
            and providers.drawn.random() < fault.share
        ):
            providers.struck[fault] += 1
            struck.append(fault)
    return struck


def _concerns(fault: Fault, symbols: set[str]) -> bool:
    # A request for a list matches if the list would contain the symbol.
    return not fault.symbols or bool(symbols & set(fault.symbols)) or (not symbols and fault.kind == "missing_symbol")


def _refused(providers: Providers, source: str, request: Request) -> Response | None:
    faults = request.state.faults
    if "error_500" in faults:
        message = "Something went wrong, please try again"
        return kite.error(500, "GeneralException", message) if source == "kite" else PlainTextResponse(message, 500)
    if "error_502_page" in faults:
        page = "<html>\n<head><title>502 Bad Gateway</title></head>\n<body>502 Bad Gateway</body></html>"
        return Response(page, 502, media_type="text/html")
    if "closed_connection" in faults:
        # Announces more bytes than it sends, which no client accepts as an answer.
        return Response(b"{", 200, headers={"content-length": "1000"}, media_type="application/json")
    is_too_fast = not _is_within_limit(providers, source, request)
    if source == "kite":
        return kite.refused(providers, request, is_too_fast=is_too_fast)
    if source == "yahoo" and "blocked" in faults:
        return Response("<html><body>Forbidden</body></html>", 403, media_type="text/html")
    if source == "yahoo" and (is_too_fast or "rate_limit" in faults):
        return PlainTextResponse("Too Many Requests\r\n", 429)
    if source == "alpha_vantage":
        return alpha_vantage.refused(providers, request, is_too_fast=is_too_fast)
    return None


def _is_within_limit(providers: Providers, source: str, request: Request) -> bool:
    limits = providers.limits
    what, limit = source, {"yahoo": limits.yahoo, "alpha_vantage": limits.alpha_vantage}.get(source, 0.0)
    if source == "kite":
        what, limit = {
            "quote": ("kite_quotes", limits.kite_quotes),
            "instruments": (
                ("kite_candles", limits.kite_candles)
                if "token" in request.path_params
                else ("kite_others", limits.kite_others)
            ),
        }.get(request.url.path.split("/")[1], ("kite_others", limits.kite_others))
    arrivals = providers.arrivals[what]
    # A limit below one request a second means one request in several seconds.
    span, most = (1.0, limit) if limit >= 1 else (1 / limit, 1)
    now = time.monotonic()
    while arrivals and now - arrivals[0] >= span:
        arrivals.popleft()
    if len(arrivals) >= most:
        return False
    arrivals.append(now)
    return True


async def _simulation(providers: Providers, request: Request) -> Response:
    if request.method == "PUT":
        wanted = await request.json()
        if "faults" in wanted:
            providers.fail(
                *(Fault(**fault | {"symbols": tuple(fault.get("symbols", ()))}) for fault in wanted["faults"])
            )
        if "now" in wanted:
            fixed = datetime.fromisoformat(wanted["now"])
            providers.clock = lambda: fixed
        if "limits" in wanted:
            providers.limits = replace(providers.limits, **wanted["limits"])
        if "request_tokens" in wanted:
            providers.request_tokens = set(wanted["request_tokens"])
    answered = {f"{source} {status}": count for (source, status), count in sorted(providers.answered.items())}
    faults = [asdict(fault) for fault in providers.faults]
    return JSONResponse({"answered": answered, "faults": faults, "limits": asdict(providers.limits)})


def _spoilt(response: Response, faults: dict[str, Fault]) -> Response:
    """The response, with its body cut off if that fault is active."""
    if "cut_json" not in faults or response.status_code != 200:
        return response
    body = bytes(response.body)
    return Response(body[: len(body) // 2], 200, media_type=response.media_type)


@contextmanager
def serving(providers: Providers) -> Iterator[str]:
    """Serve in a thread of this process, on a free port of 127.0.0.1; yield the address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(
            uvicorn.Config(application(providers), log_level="critical", timeout_graceful_shutdown=1, lifespan="off")
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield "http://{}:{}".format(*listener.getsockname())
        finally:
            server.should_exit = True
            thread.join(timeout=10)


def environment(address: str) -> dict[str, str]:
    """The settings that point ``trading-data`` at the server."""
    return {
        "KITE_BASE_URL": address,
        "KITE_API_KEY": API_KEY,
        "KITE_API_SECRET": API_SECRET,
        "YAHOO_BASE_URL": address,
        "ALPHA_VANTAGE_BASE_URL": address,
        "ALPHA_VANTAGE_API_KEY": "simulated",
    }
