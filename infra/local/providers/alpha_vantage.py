"""Alpha Vantage: https://www.alphavantage.co/documentation/."""

from datetime import date
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from infra.local.providers.state import Providers, prices_of
from infra.local.series import TICKS_PER_RUPEE


def refused(providers: Providers, request: Request, *, is_too_fast: bool) -> Response | None:
    """The refusal of a request; None if it is answered."""
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
    if "daily_limit" in faults or providers.answered["alpha_vantage", 200] >= providers.limits.alpha_vantage_a_day:
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


def query(providers: Providers, request: Request) -> Response:
    """The last hundred bars of a symbol, as the BSE traded it."""
    symbols = providers.symbols(request)
    if not symbols or "missing_symbol" in request.state.faults:
        return JSONResponse({"Error Message": "Invalid API call. Please retry or visit the documentation."})
    row = providers.rows[symbols[0]]
    bars = providers.market.truth
    days = providers.days(bars, row, date.min, date.max)[-100:]
    series = {}
    for day in reversed(days):
        # The BSE closes one tick away, and trades a tenth of the volume.
        prices = (f"{(int(values[row, day]) + 1) / TICKS_PER_RUPEE:.4f}" for values in prices_of(bars))
        numbered = ("1. open", "2. high", "3. low", "4. close")
        fields: dict[str, Any] = dict(zip(numbered, prices, strict=True))
        series[providers.market.sessions[day].trade_date.isoformat()] = fields | {
            "5. volume": str(int(bars.volume[row, day]) // 10)
        }
    if "day_to_come" in request.state.faults:
        series = {providers.day_to_come().isoformat(): next(iter(series.values()))} | series
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
