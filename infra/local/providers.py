"""Simulated providers: a server that speaks the wire formats of Kite Connect, Yahoo Finance and Alpha Vantage.

It serves the simulated market of ``infra.local.market``, enforces the limits that the real providers document, and on
request fails in the ways in which they have been seen to fail. Its prices cannot be taken for real ones: every series
starts at 100.00.

    python -m infra.local.providers --first 2021-01-01

prints the settings that point ``trading-data`` at it, and serves until Ctrl-C. ``PUT /simulation`` sets its faults, its
clock and its limits.
"""

import argparse
import asyncio
import csv
import hashlib
import io
import json
import random
import socket
import sys
import threading
import time
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import numpy.typing as npt
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from extract.seeds import EXCHANGE_ZONE, last_closed_session
from infra.local.market import DEFAULT_FIRST, DEFAULT_SEED, TICKS_PER_RUPEE, Bars, Draft, draft_market, same_day_bars

API_KEY = "simulatedkey"
API_SECRET = "simulatedsecret"  # noqa: S105 It opens nothing.
ACCESS_TOKEN = "simulatedtoken"  # noqa: S105

_OPENS_AT = timedelta(hours=9, minutes=15)

# Kite's messages with status 403. They have the same error type, but different causes and remedies.
_FORBIDDEN = {
    "no_plan": "Insufficient permission for that call.",
    "not_enabled": "The user is not enabled for the app.",
    "address_refused": "No IPs configured for this app. Add allowed IPs on the Kite developer console.",
}

# The kinds of faults; `_strike` shows what each does.
FAULTS = (
    "latency",
    "rate_limit",
    "error_500",
    "error_502_page",
    "cut_json",
    "null_fields",
    "closed_connection",
    "empty",
    "dead_token",
    "no_plan",
    "not_enabled",
    "address_refused",
    "blocked",
    "day_to_come",
    "repeated_day",
    "other_symbol",
    "unknown_token",
    "missing_symbol",
    "stale_last_bar",
    "repeated_last_bar",
    "restated_history",
    "null_last_row",
    "other_zone",
    "burst",
    "daily_limit",
    "bad_key",
    "premium",
)


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of a provider.

    Attributes:
        source: ``kite``, ``yahoo`` or ``alpha_vantage``.
        kind: one of ``FAULTS``.
        share: the share of the matching requests that fail, at random.
        symbols: only requests for these symbols fail; empty for all.
        after: the number of requests to the source that pass before the first fault.
        times: the maximum number of faults; None for no limit.
        seconds: of latency, or of ``Retry-After``.
    """

    source: str
    kind: str
    share: float = 1.0
    symbols: tuple[str, ...] = ()
    after: int = 0
    times: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        """Refuse values that would silently have no effect."""
        if self.kind not in FAULTS or self.source not in ("kite", "yahoo", "alpha_vantage"):
            raise ValueError(f"there is no fault {self.source}/{self.kind}")


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of the providers, in requests a second and a day; the defaults are documented or usual."""

    kite_candles: float = 3
    kite_quotes: float = 1
    kite_others: float = 10
    yahoo: float = 2
    alpha_vantage: float = 1
    alpha_vantage_a_day: int = 25


@dataclass(slots=True)
class Providers:
    """The three providers of one market.

    Attributes:
        market: the market that they serve.
        clock: the time, with zone; later data is not served, and data of the current day is provisional.
        limits: the limits beyond which they refuse.
        faults: the active faults.
        answered: the number of requests by source and status.
    """

    market: Draft
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    limits: Limits = field(default_factory=Limits)
    faults: list[Fault] = field(default_factory=list)
    seed: int = 0
    answered: Counter[tuple[str, int]] = field(default_factory=Counter)
    tokens: set[str] = field(default_factory=lambda: {ACCESS_TOKEN})
    request_tokens: set[str] = field(default_factory=lambda: {"simulatedrequesttoken"})
    _arrivals: dict[str, deque[float]] = field(default_factory=lambda: defaultdict(deque))
    _seen: Counter[str] = field(default_factory=Counter)
    _struck: Counter[Fault] = field(default_factory=Counter)
    _random: random.Random = field(init=False)
    _rows: dict[str, int] = field(init=False)
    _same_day: Bars = field(init=False)

    def __post_init__(self) -> None:
        """Prepare the parts that do not change."""
        self._random = random.Random(self.seed)  # noqa: S311 Its faults are to be the same again.
        self._rows = {instrument.symbol: row for row, instrument in enumerate(self.market.instruments)}
        self._same_day = same_day_bars(self.market.kite)

    def fail(self, *faults: Fault) -> None:
        """Replace the active faults by these; ``after`` counts from now."""
        self.faults = list(faults)
        self._seen.clear()
        self._struck.clear()

    def application(self) -> Starlette:
        """The three providers' routes, and ``/simulation``."""
        return Starlette(
            routes=[
                Route("/instruments/NSE", self._answering("kite", self._instruments)),
                Route("/instruments/historical/{token:int}/day", self._answering("kite", self._candles)),
                Route("/quote", self._answering("kite", self._quotes)),
                Route("/session/token", self._answering("kite", self._session), methods=["POST"]),
                Route("/v8/finance/chart/{ticker}", self._answering("yahoo", self._chart)),
                Route("/v1/test/getcrumb", lambda _: PlainTextResponse("crumb")),
                Route("/query", self._answering("alpha_vantage", self._query)),
                Route("/simulation", self._simulation, methods=["GET", "PUT"]),
                # yfinance fetches its cookie here.
                Route("/", lambda _: PlainTextResponse("")),
            ]
        )

    def _answering(self, source: str, answer: Callable[[Request], Response]) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            self._seen[source] += 1
            struck = self._strikes(source, request)
            for fault in struck:
                if fault.kind == "latency":
                    await asyncio.sleep(fault.seconds or 0.1)
            if source == "kite" and request.method == "POST":
                request.state.form = dict(parse_qsl((await request.body()).decode()))
            request.state.faults = {fault.kind: fault for fault in struck}
            response = self._refused(source, request) or answer(request)
            response = _spoilt(response, request.state.faults)
            self.answered[source, response.status_code] += 1
            return response

        return endpoint

    def _strikes(self, source: str, request: Request) -> list[Fault]:
        symbols = set(self._symbols(request))
        struck = []
        for fault in self.faults:
            if (
                fault.source == source
                and self._seen[source] > fault.after
                and (fault.times is None or self._struck[fault] < fault.times)
                and self._concerns(fault, symbols)
                and self._random.random() < fault.share
            ):
                self._struck[fault] += 1
                struck.append(fault)
        return struck

    def _concerns(self, fault: Fault, symbols: set[str]) -> bool:
        # A request for a list matches if the list would contain the symbol.
        return (
            not fault.symbols or bool(symbols & set(fault.symbols)) or (not symbols and fault.kind == "missing_symbol")
        )

    def _symbols(self, request: Request) -> list[str]:
        """The symbols that a request asks for; empty for a list."""
        if "token" in request.path_params:
            instrument = self._by_token(request.path_params["token"])
            return [instrument] if instrument else []
        asked = request.path_params.get("ticker") or request.query_params.get("symbol") or ""
        return [i.symbol for i in self.market.instruments if asked in (i.yahoo_ticker, i.alpha_vantage_ticker)]

    def _by_token(self, token: int) -> str | None:
        by_id = {instrument.instrument_id: instrument.symbol for instrument in self.market.instruments}
        return by_id.get(token // 256) if token % 256 == 1 else None

    def _refused(self, source: str, request: Request) -> Response | None:
        faults = request.state.faults
        if "error_500" in faults:
            message = "Something went wrong, please try again"
            return (
                _kite_error(500, "GeneralException", message) if source == "kite" else PlainTextResponse(message, 500)
            )
        if "error_502_page" in faults:
            page = "<html>\n<head><title>502 Bad Gateway</title></head>\n<body>502 Bad Gateway</body></html>"
            return Response(page, 502, media_type="text/html")
        if "closed_connection" in faults:
            # Announces more bytes than it sends, which no client accepts as an answer.
            return Response(b"{", 200, headers={"content-length": "1000"}, media_type="application/json")
        is_too_fast = not self._is_within_limit(source, request)
        if source == "kite":
            return self._kite_refused(request, is_too_fast=is_too_fast)
        if source == "yahoo" and "blocked" in faults:
            return Response("<html><body>Forbidden</body></html>", 403, media_type="text/html")
        if source == "yahoo" and (is_too_fast or "rate_limit" in faults):
            return PlainTextResponse("Too Many Requests\r\n", 429)
        if source == "alpha_vantage":
            return self._alpha_vantage_refused(request, is_too_fast=is_too_fast)
        return None

    def _is_within_limit(self, source: str, request: Request) -> bool:
        what, limit = source, {"yahoo": self.limits.yahoo, "alpha_vantage": self.limits.alpha_vantage}.get(source, 0.0)
        if source == "kite":
            what, limit = {
                "quote": ("kite_quotes", self.limits.kite_quotes),
                "instruments": (
                    ("kite_candles", self.limits.kite_candles)
                    if "token" in request.path_params
                    else ("kite_others", self.limits.kite_others)
                ),
            }.get(request.url.path.split("/")[1], ("kite_others", self.limits.kite_others))
        arrivals = self._arrivals[what]
        # A limit below one request a second means one request in several seconds.
        span, most = (1.0, limit) if limit >= 1 else (1 / limit, 1)
        now = time.monotonic()
        while arrivals and now - arrivals[0] >= span:
            arrivals.popleft()
        if len(arrivals) >= most:
            return False
        arrivals.append(now)
        return True

    # Kite Connect: https://kite.trade/docs/connect/v3

    def _kite_refused(self, request: Request, *, is_too_fast: bool) -> Response | None:
        faults = request.state.faults
        if request.method == "POST":
            return None
        if "dead_token" in faults:
            self.tokens.clear()
        key, _, token = request.headers.get("Authorization", "").removeprefix("token ").partition(":")
        if key != API_KEY or token not in self.tokens:
            return _kite_error(403, "TokenException", "Incorrect `api_key` or `access_token`.")
        for fault, message in _FORBIDDEN.items():
            if fault in faults:
                return _kite_error(403, "PermissionException", message)
        if is_too_fast or "rate_limit" in faults:
            seconds = faults["rate_limit"].seconds if "rate_limit" in faults else None
            return _kite_error(429, "NetworkException", "Too many requests", seconds)
        if "unknown_token" in faults and "token" in request.path_params:
            return _kite_error(400, "InputException", "invalid token")
        return None

    def _session(self, request: Request) -> Response:
        form = request.state.form
        token = form.get("request_token", "")
        checksum = hashlib.sha256(f"{API_KEY}{token}{API_SECRET}".encode()).hexdigest()
        if token not in self.request_tokens or form.get("checksum") != checksum:
            return _kite_error(403, "TokenException", "Token is invalid or has expired.")
        self.request_tokens.remove(token)
        self.tokens = {f"{ACCESS_TOKEN}{len(self.answered)}{self._seen['kite']}"}
        return JSONResponse(
            {
                "status": "success",
                "data": {
                    "user_type": "individual",
                    "user_id": "XX0000",
                    "api_key": API_KEY,
                    "access_token": next(iter(self.tokens)),
                    "refresh_token": "",
                    "login_time": f"{self.clock().astimezone(EXCHANGE_ZONE):%Y-%m-%d %H:%M:%S}",
                },
            }
        )

    def _instruments(self, request: Request) -> Response:
        columns = "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size"
        missing = request.state.faults.get("missing_symbol")
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow([*columns.split(","), "instrument_type", "segment", "exchange"])
        for instrument in self.market.instruments:
            if missing and instrument.symbol in missing.symbols:
                continue
            number = instrument.instrument_id
            named = [instrument.kite_tradingsymbol, instrument.symbol]
            rows.writerow([256 * number + 1, number, *named, "0.0", "", "0.0", "0.05", 1, "EQ", "NSE", "NSE"])
        return Response(text.getvalue(), media_type="text/csv")

    def _candles(self, request: Request) -> Response:
        symbol = self._by_token(request.path_params["token"])
        if symbol is None:
            return _kite_error(400, "InputException", "invalid token")
        asked = [datetime.fromisoformat(request.query_params[name]) for name in ("from", "to")]
        if (asked[1] - asked[0]).days > 2000:
            return _kite_error(400, "InputException", "interval exceeds max limit: 2000 days")
        # A `to` without hours means midnight, before the session of that day.
        last = asked[1].date() if asked[1].hour >= 9 else asked[1].date() - timedelta(days=1)
        faults = request.state.faults
        zone = "-0500" if "other_zone" in faults else "+0530"
        days = self._days(self.market.kite, self._rows[symbol], asked[0].date(), last)
        candles: list[list[Any]] = [
            [f"{self.market.sessions[day].trade_date}T00:00:00{zone}", *values]
            for day, values in zip(days, self._kite_values(self._rows[symbol], days), strict=True)
        ]
        if "stale_last_bar" in faults:
            candles = candles[:-1]
        if "repeated_last_bar" in faults and len(candles) > 1:
            candles[-1][1:] = candles[-2][1:]
        if "day_to_come" in faults and candles:
            candles.append([f"{self._day_to_come()}T00:00:00{zone}", *candles[-1][1:]])
        if "repeated_day" in faults and candles:
            candles.insert(1, [candles[0][0], *(2 * value for value in candles[0][1:])])
        if "null_fields" in faults and candles:
            candles[-1][4] = None
        if "empty" in faults:
            candles = []
        if "restated_history" in faults:
            # As after a split of one share into two: prices halve, volumes double.
            candles = [[day, *(round(p / 2, 2) for p in prices), 2 * v] for day, *prices, v in candles]
        return JSONResponse({"status": "success", "data": {"candles": candles}})

    def _day_to_come(self) -> date:
        return self.clock().astimezone(EXCHANGE_ZONE).date() + timedelta(days=40)

    def _days(self, bars: Bars, row: int, first: date, last: date) -> list[int]:
        """The sessions of a range for which a source has a bar by now."""
        now = self.clock().astimezone(EXCHANGE_ZONE)
        opened = (
            now.date()
            if now - datetime.combine(now.date(), datetime.min.time(), EXCHANGE_ZONE) >= _OPENS_AT
            else (now.date() - timedelta(days=1))
        )
        dates = [session.trade_date for session in self.market.sessions]
        start, end = bisect_left(dates, first), bisect_right(dates, min(last, opened))
        return [start + int(day) for day in np.flatnonzero(bars.is_sent[row, start:end])]

    def _kite_values(self, row: int, days: Sequence[int]) -> list[list[float]]:
        """Open, high, low, close and volume in Kite's present state: on the day itself, the close is not official."""
        today = self.clock().astimezone(EXCHANGE_ZONE).date()
        values = _kite_columns(self.market.kite, row, days)
        # A whole history is read at once: a server slower than its client would distort the benchmark.
        for place, day in enumerate(days):
            if self.market.sessions[day].trade_date == today:
                (values[place],) = _kite_columns(self._same_day, row, [day])
        return values

    def _quotes(self, request: Request) -> Response:
        now = self.clock().astimezone(EXCHANGE_ZONE)
        faults = request.state.faults
        missing = faults["missing_symbol"].symbols if "missing_symbol" in faults else ()
        names = {f"NSE:{i.kite_tradingsymbol}": i.symbol for i in self.market.instruments if i.symbol not in missing}
        quotes = {}
        for key in request.query_params.getlist("i"):
            row = self._rows.get(names.get(key, ""))
            days = [] if row is None else self._days(self.market.kite, row, date.min, now.date())
            if row is None or len(days) < 2:
                continue
            if "stale_last_bar" in faults:
                days = days[:-1]
            before, (opened, high, low, last_price, volume) = self._kite_values(row, days[-2:])
            traded_at = self.market.sessions[days[-1]].closes_at.astimezone(EXCHANGE_ZONE)
            quotes[key] = {
                "instrument_token": 256 * self.market.instruments[row].instrument_id + 1,
                "timestamp": f"{now:%Y-%m-%d %H:%M:%S}",
                "last_trade_time": f"{min(traded_at, now):%Y-%m-%d %H:%M:%S}",
                "last_price": None if "null_fields" in faults else last_price,
                "last_quantity": 1,
                "volume": volume,
                "average_price": last_price,
                "ohlc": {
                    "open": opened,
                    "high": high,
                    "low": low,
                    "close": before[3],
                },
            }
        return JSONResponse({"status": "success", "data": {} if "empty" in faults else quotes})

    # Yahoo Finance: the chart route, as yfinance reads it.

    def _chart(self, request: Request) -> Response:
        faults = request.state.faults
        symbols = self._symbols(request)
        if not symbols or "missing_symbol" in faults:
            return _chart_error(404, "Not Found", "No data found, symbol may be delisted")
        row = self._rows[symbols[0]]
        # `range=1d` means today's session.
        now = self.clock()
        period1 = float(request.query_params.get("period1", now.timestamp() - 86_400))
        period2 = float(request.query_params.get("period2", now.timestamp()))
        first, last = (datetime.fromtimestamp(p, EXCHANGE_ZONE) for p in (period1, period2 - 1))
        days = self._days(self.market.yahoo, row, first.date(), last.date())
        if "stale_last_bar" in faults:
            days = days[:-1]
        bars = self.market.yahoo
        shown = [*days[:-1], days[-2]] if "repeated_last_bar" in faults and len(days) > 1 else days
        has_prices = bars.has_prices[row, days]
        if "null_last_row" in faults:
            has_prices[-1:] = False
        stamps = [_opening(self.market.sessions[day].trade_date) for day in days]
        named = zip(("open", "high", "low", "close"), _prices(bars), strict=True)
        quote = {name: _yahoo_column(values[row, shown] / TICKS_PER_RUPEE, has_prices) for name, values in named}
        quote["volume"] = bars.volume[row, shown].tolist()
        sent_close = (bars.close[row, shown] / TICKS_PER_RUPEE).astype(np.float32).astype(np.float64)
        adjusted = _yahoo_column(sent_close * self.market.dividend_factor[row, shown], has_prices)
        for phantom in self.market.phantom_days:
            if first.date() <= phantom <= last.date() and stamps and symbols[0] in self._shown_on_phantom_days():
                _insert_phantom(phantom, stamps, quote, adjusted)
        _insert_odd_days(faults, self._day_to_come(), stamps, [*quote.values(), adjusted])
        if "null_fields" in faults and stamps:
            quote["close"][-1] = None
        if "restated_history" in faults:
            for name in ("open", "high", "low", "close"):
                quote[name] = [None if value is None else value / 2 for value in quote[name]]
            quote["volume"] = [2 * (value or 0) for value in quote["volume"]]
        zone = "America/New_York" if "other_zone" in faults else EXCHANGE_ZONE.key
        ticker = "OTHER.NS" if "other_symbol" in faults else request.path_params["ticker"]
        result: dict[str, Any] = {"meta": _meta(ticker, now, zone)}
        if stamps and "empty" not in faults:
            result["timestamp"] = stamps
            if events := self._events(symbols[0], first.date(), last.date()):
                result["events"] = events
            result["indicators"] = {"quote": [quote], "adjclose": [{"adjclose": adjusted}]}
        else:
            result["indicators"] = {"quote": [{}], "adjclose": [{}]}
        return JSONResponse({"chart": {"result": [result], "error": None}})

    def _shown_on_phantom_days(self) -> set[str]:
        return {s for d in self.market.defects if d.check_id == "is_on_session" for s in d.symbols}

    def _events(self, symbol: str, first: date, last: date) -> dict[str, Any]:
        events: dict[str, Any] = defaultdict(dict)
        for action in self.market.corporate_actions:
            when = action["date"]
            assert isinstance(when, datetime)
            if action["symbol"] != symbol or not first <= when.date() <= last:
                continue
            stamp = _opening(when.date())
            if action["dividend"]:
                events["dividends"][str(stamp)] = {"amount": action["dividend"], "date": stamp}
            if action["split_ratio"]:
                ratio = action["split_ratio"]
                events["splits"][str(stamp)] = {
                    "date": stamp,
                    "numerator": ratio,
                    "denominator": 1.0,
                    "splitRatio": f"{ratio:g}:1",
                }
        return dict(events)

    # Alpha Vantage: https://www.alphavantage.co/documentation/

    def _alpha_vantage_refused(self, request: Request, *, is_too_fast: bool) -> Response | None:
        faults = request.state.faults
        key = request.query_params.get("apikey", "")
        if "rate_limit" in faults:
            return PlainTextResponse("Too Many Requests", 429)
        if "bad_key" in faults or not key:
            return JSONResponse({"Error Message": "the parameter apikey is invalid or missing."})
        if is_too_fast or "burst" in faults:
            return JSONResponse(
                {
                    "Information": "Please consider spreading out your free API requests more sparingly (1 request per"
                    " second). You may subscribe to a premium plan to lift the free key rate limit (25 requests per"
                    " day) and instantly unlock all premium endpoints"
                }
            )
        if "daily_limit" in faults or self.answered["alpha_vantage", 200] >= self.limits.alpha_vantage_a_day:
            return JSONResponse(
                {
                    "Information": f"We have detected your API key as {key} and our standard API rate limit is 25"
                    " requests per day. Please subscribe to a premium plan to remove all daily rate limits."
                }
            )
        if "premium" in faults or request.query_params.get("outputsize") == "full":
            return JSONResponse({"Information": "This is a premium endpoint. You may subscribe to a premium plan"})
        if "empty" in faults:
            return JSONResponse({})
        return None

    def _query(self, request: Request) -> Response:
        symbols = self._symbols(request)
        if not symbols or "missing_symbol" in request.state.faults:
            return JSONResponse({"Error Message": "Invalid API call. Please retry or visit the documentation."})
        row = self._rows[symbols[0]]
        bars = self.market.truth
        days = self._days(bars, row, date.min, date.max)[-100:]
        series = {}
        for day in reversed(days):
            # The BSE closes one tick away, and trades a tenth of the volume.
            prices = (f"{(int(values[row, day]) + 1) / TICKS_PER_RUPEE:.4f}" for values in _prices(bars))
            numbered = ("1. open", "2. high", "3. low", "4. close")
            fields: dict[str, Any] = dict(zip(numbered, prices, strict=True))
            series[self.market.sessions[day].trade_date.isoformat()] = fields | {
                "5. volume": str(int(bars.volume[row, day]) // 10)
            }
        if "day_to_come" in request.state.faults:
            series = {self._day_to_come().isoformat(): next(iter(series.values()))} | series
        if "null_fields" in request.state.faults:
            series[next(iter(series))] = {"1. open": None}
        return JSONResponse(
            {
                "Meta Data": {
                    "1. Information": "Daily Prices (open, high, low, close) and Volumes",
                    "2. Symbol": "IBM" if "other_symbol" in request.state.faults else request.query_params["symbol"],
                    "3. Last Refreshed": next(iter(series)),
                    "4. Output Size": "Compact",
                    "5. Time Zone": "US/Eastern",
                },
                "Time Series (Daily)": series,
            }
        )

    async def _simulation(self, request: Request) -> Response:
        if request.method == "PUT":
            wanted = await request.json()
            if "faults" in wanted:
                self.fail(
                    *(Fault(**fault | {"symbols": tuple(fault.get("symbols", ()))}) for fault in wanted["faults"])
                )
            if "now" in wanted:
                fixed = datetime.fromisoformat(wanted["now"])
                self.clock = lambda: fixed
            if "limits" in wanted:
                self.limits = replace(self.limits, **wanted["limits"])
            if "request_tokens" in wanted:
                self.request_tokens = set(wanted["request_tokens"])
        answered = {f"{source} {status}": count for (source, status), count in sorted(self.answered.items())}
        return JSONResponse(
            {"answered": answered, "faults": [asdict(fault) for fault in self.faults], "limits": asdict(self.limits)}
        )


def _spoilt(response: Response, faults: dict[str, Fault]) -> Response:
    """The response, with its body cut off if that fault is active."""
    if "cut_json" not in faults or response.status_code != 200:
        return response
    body = bytes(response.body)
    return Response(body[: len(body) // 2], 200, media_type=response.media_type)


def _kite_error(status: int, error_type: str, message: str, retry_after: float | None = None) -> Response:
    body = {"status": "error", "message": message, "data": None, "error_type": error_type}
    return JSONResponse(body, status, headers={"Retry-After": f"{retry_after:.0f}"} if retry_after else None)


def _chart_error(status: int, code: str, description: str) -> Response:
    error = {"code": code, "description": description}
    return JSONResponse({"chart": {"result": None, "error": error}}, status)


def _meta(ticker: str, now: datetime, zone: str) -> dict[str, Any]:
    return {
        "currency": "INR",
        "symbol": ticker,
        "exchangeName": "NSI",
        "fullExchangeName": "NSE",
        "instrumentType": "EQUITY",
        "firstTradeDate": 1025495100,
        "regularMarketTime": int(now.timestamp()),
        "hasPrePostMarketData": False,
        "gmtoffset": 19800,
        "timezone": "IST",
        "exchangeTimezoneName": zone,
        "priceHint": 2,
        "dataGranularity": "1d",
        "range": "",
        "validRanges": ["1d", "5d", "1mo", "3mo", "6mo", "1y", "2y", "5y", "10y", "ytd", "max"],
    }


def _insert_phantom(
    day: date, stamps: list[int], quote: dict[str, list[float | None]], adjusted: list[float | None]
) -> None:
    """Insert a flat bar without volume on a holiday, at the close before it."""
    place = bisect_left(stamps, _opening(day))
    if not place:
        return
    for name in ("open", "high", "low"):
        quote[name].insert(place, quote["close"][place - 1])
    quote["close"].insert(place, quote["close"][place - 1])
    quote["volume"].insert(place, 0)
    adjusted.insert(place, adjusted[place - 1])
    stamps.insert(place, _opening(day))


def _insert_odd_days(
    faults: dict[str, Fault], day_to_come: date, stamps: list[int], columns: list[list[float | None]]
) -> None:
    """Insert a bar of a future day, or a second bar of the first day, if that fault is active."""
    odd = [(len(stamps), _opening(day_to_come))] if "day_to_come" in faults else []
    odd += [(1, stamps[0])] if "repeated_day" in faults and stamps else []
    for place, stamp in odd:
        stamps.insert(place, stamp)
        for column in columns:
            column.insert(place, 2 * (column[0] or 0))


def _opening(day: date) -> int:
    return int((datetime.combine(day, datetime.min.time(), EXCHANGE_ZONE) + _OPENS_AT).timestamp())


def _prices(bars: Bars) -> tuple[Any, ...]:
    return bars.open, bars.high, bars.low, bars.close


def _kite_columns(bars: Bars, row: int, days: Sequence[int]) -> list[list[float]]:
    """Bars in Kite's form: whole prices are integers."""
    prices = [np.round(values[row, days] / TICKS_PER_RUPEE, 2).tolist() for values in _prices(bars)]
    written = [[int(price) if price.is_integer() else price for price in column] for column in prices]
    return [list(values) for values in zip(*written, bars.volume[row, days].tolist(), strict=True)]


def _yahoo_column(values: npt.NDArray[np.float64], is_shown: npt.NDArray[np.bool_]) -> list[float | None]:
    """Prices in Yahoo's form: 1892.20 arrives as 1892.199951171875."""
    written = values.astype(np.float32).tolist()
    return [value if shown else None for value, shown in zip(written, is_shown.tolist(), strict=True)]


@contextmanager
def serving(providers: Providers) -> Iterator[str]:
    """Serve in a thread of this process, on a free port of 127.0.0.1; yield the address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(
            uvicorn.Config(providers.application(), log_level="critical", timeout_graceful_shutdown=1, lifespan="off")
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve from the command line until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m infra.local.providers", description="Serve simulated providers.")
    day = date.fromisoformat
    parser.add_argument("--first", type=day, default=DEFAULT_FIRST, help="YYYY-MM-DD (default: %(default)s)")
    parser.add_argument("--last", type=day, help="YYYY-MM-DD (default: the last session that has closed)")
    parser.add_argument("--symbols", metavar="A,B", help="default: all of seeds/instruments.csv")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="of the random walks (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        market = draft_market(
            first=options.first,
            last=options.last or last_closed_session(datetime.now(UTC)),
            symbols=options.symbols.split(",") if options.symbols else None,
            seed=options.seed,
        )
    except ValueError as error:
        parser.error(str(error))
    with serving(Providers(market)) as address:
        for name, value in environment(address).items():
            sys.stdout.write(f"export {name}={value}\n")
        sys.stdout.write(
            f"# A login's request token: simulatedrequesttoken. Faults: PUT {address}/simulation {json.dumps(FAULTS)}\n"
        )
        sys.stdout.flush()
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
