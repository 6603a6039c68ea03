"""Kite Connect: https://kite.trade/docs/connect/v3."""

import csv
import hashlib
import io
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from extract.seeds import EXCHANGE_ZONE
from infra.local.providers.state import ACCESS_TOKEN, API_KEY, API_SECRET, Providers, prices_of
from infra.local.series import TICKS_PER_RUPEE, Bars

# Kite's messages with status 403. They have the same error type, but different causes and remedies.
_FORBIDDEN = {
    "no_plan": "Insufficient permission for that call.",
    "not_enabled": "The user is not enabled for the app.",
    "address_refused": "No IPs configured for this app. Add allowed IPs on the Kite developer console.",
}


def refused(providers: Providers, request: Request, *, is_too_fast: bool) -> Response | None:
    """The refusal of a request; None if it is answered."""
    faults = request.state.faults
    if request.method == "POST":
        return None
    if "dead_token" in faults:
        providers.tokens.clear()
    key, _, token = request.headers.get("Authorization", "").removeprefix("token ").partition(":")
    if key != API_KEY or token not in providers.tokens:
        return error(403, "TokenException", "Incorrect `api_key` or `access_token`.")
    for fault, message in _FORBIDDEN.items():
        if fault in faults:
            return error(403, "PermissionException", message)
    if is_too_fast or "rate_limit" in faults:
        seconds = faults["rate_limit"].seconds if "rate_limit" in faults else None
        return error(429, "NetworkException", "Too many requests", seconds)
    if "unknown_token" in faults and "token" in request.path_params:
        return error(400, "InputException", "invalid token")
    return None


def session(providers: Providers, request: Request) -> Response:
    """Exchange a login's request token for an access token, which ends the one before."""
    form = request.state.form
    token = form.get("request_token", "")
    checksum = hashlib.sha256(f"{API_KEY}{token}{API_SECRET}".encode()).hexdigest()
    if token not in providers.request_tokens or form.get("checksum") != checksum:
        return error(403, "TokenException", "Token is invalid or has expired.")
    providers.request_tokens.remove(token)
    providers.tokens = {f"{ACCESS_TOKEN}{len(providers.answered)}{providers.seen['kite']}"}
    return JSONResponse(
        {
            "status": "success",
            "data": {
                "user_type": "individual",
                "user_id": "XX0000",
                "api_key": API_KEY,
                "access_token": next(iter(providers.tokens)),
                "refresh_token": "",
                "login_time": f"{providers.clock().astimezone(EXCHANGE_ZONE):%Y-%m-%d %H:%M:%S}",
            },
        }
    )


def instruments(providers: Providers, request: Request) -> Response:
    """The day's dump of instruments."""
    columns = "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size"
    missing = request.state.faults.get("missing_symbol")
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow([*columns.split(","), "instrument_type", "segment", "exchange"])
    for instrument in providers.market.instruments:
        if missing and instrument.symbol in missing.symbols:
            continue
        number = instrument.instrument_id
        named = [instrument.kite_tradingsymbol, instrument.symbol]
        rows.writerow([256 * number + 1, number, *named, "0.0", "", "0.0", "0.05", 1, "EQ", "NSE", "NSE"])
    return Response(text.getvalue(), media_type="text/csv")


def candles(providers: Providers, request: Request) -> Response:
    """The daily candles of one instrument."""
    symbol = providers.by_token(request.path_params["token"])
    if symbol is None:
        return error(400, "InputException", "invalid token")
    asked = [datetime.fromisoformat(request.query_params[name]) for name in ("from", "to")]
    if (asked[1] - asked[0]).days > 2000:
        return error(400, "InputException", "interval exceeds max limit: 2000 days")
    # A `to` without hours means midnight, before the session of that day.
    last = asked[1].date() if asked[1].hour >= 9 else asked[1].date() - timedelta(days=1)
    faults = request.state.faults
    zone = "-0500" if "other_zone" in faults else "+0530"
    days = providers.days(providers.market.kite, providers.rows[symbol], asked[0].date(), last)
    candles: list[list[Any]] = [
        [f"{providers.market.sessions[day].trade_date}T00:00:00{zone}", *values]
        for day, values in zip(days, _values(providers, providers.rows[symbol], days), strict=True)
    ]
    if "stale_last_bar" in faults:
        candles = candles[:-1]
    if "repeated_last_bar" in faults and len(candles) > 1:
        candles[-1][1:] = candles[-2][1:]
    if "day_to_come" in faults and candles:
        candles.append([f"{providers.day_to_come()}T00:00:00{zone}", *candles[-1][1:]])
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


def quotes(providers: Providers, request: Request) -> Response:
    """The latest trade of many instruments, and the day's bar so far."""
    now = providers.clock().astimezone(EXCHANGE_ZONE)
    faults = request.state.faults
    missing = faults["missing_symbol"].symbols if "missing_symbol" in faults else ()
    names = {f"NSE:{i.kite_tradingsymbol}": i.symbol for i in providers.market.instruments if i.symbol not in missing}
    quotes = {}
    for key in request.query_params.getlist("i"):
        row = providers.rows.get(names.get(key, ""))
        days = [] if row is None else providers.days(providers.market.kite, row, date.min, now.date())
        if row is None or len(days) < 2:
            continue
        if "stale_last_bar" in faults:
            days = days[:-1]
        before, (opened, high, low, last_price, volume) = _values(providers, row, days[-2:])
        traded_at = providers.market.sessions[days[-1]].closes_at.astimezone(EXCHANGE_ZONE)
        quotes[key] = {
            "instrument_token": 256 * providers.market.instruments[row].instrument_id + 1,
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


def _values(providers: Providers, row: int, days: Sequence[int]) -> list[list[float]]:
    """Open, high, low, close and volume in Kite's present state: on the day itself, the close is not official."""
    today = providers.clock().astimezone(EXCHANGE_ZONE).date()
    values = _kite_columns(providers.market.kite, row, days)
    # A whole history is read at once: a server slower than its client would distort the benchmark.
    for place, day in enumerate(days):
        if providers.market.sessions[day].trade_date == today:
            (values[place],) = _kite_columns(providers.same_day, row, [day])
    return values


def _kite_columns(bars: Bars, row: int, days: Sequence[int]) -> list[list[float]]:
    """Bars in Kite's form: whole prices are integers."""
    prices = [np.round(values[row, days] / TICKS_PER_RUPEE, 2).tolist() for values in prices_of(bars)]
    written = [[int(price) if price.is_integer() else price for price in column] for column in prices]
    return [list(values) for values in zip(*written, bars.volume[row, days].tolist(), strict=True)]


def error(status: int, error_type: str, message: str, retry_after: float | None = None) -> Response:
    """An error in the form that Kite sends."""
    body = {"status": "error", "message": message, "data": None, "error_type": error_type}
    return JSONResponse(body, status, headers={"Retry-After": f"{retry_after:.0f}"} if retry_after else None)
