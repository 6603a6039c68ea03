"""Yahoo Finance: the chart route, as yfinance reads it."""

from bisect import bisect_left
from collections import defaultdict
from datetime import date, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from extract.seeds import EXCHANGE_ZONE
from infra.local.providers.faults import Fault
from infra.local.providers.state import Providers, opening, prices_of
from infra.local.series import TICKS_PER_RUPEE, ex_date_of


def chart(providers: Providers, request: Request) -> Response:  # noqa: C901 One branch for each fault.
    """The daily bars of one symbol, and its dividends and splits."""
    faults = request.state.faults
    symbols = providers.symbols(request)
    if not symbols or "missing_symbol" in faults:
        return _chart_error(404, "Not Found", "No data found, symbol may be delisted")
    row = providers.rows[symbols[0]]
    # `range=1d` means today's session.
    now = providers.clock()
    period1 = float(request.query_params.get("period1", now.timestamp() - 86_400))
    period2 = float(request.query_params.get("period2", now.timestamp()))
    first, last = (datetime.fromtimestamp(p, EXCHANGE_ZONE) for p in (period1, period2 - 1))
    days = providers.days(providers.market.yahoo, row, first.date(), last.date())
    if "stale_last_bar" in faults:
        days = days[:-1]
    bars = providers.market.yahoo
    shown = [*days[:-1], days[-2]] if "repeated_last_bar" in faults and len(days) > 1 else days
    has_prices = bars.has_prices[row, days]
    if "null_last_row" in faults:
        has_prices[-1:] = False
    stamps = [opening(providers.market.sessions[day].trade_date) for day in days]
    named = zip(("open", "high", "low", "close"), prices_of(bars), strict=True)
    quote = {name: _yahoo_column(values[row, shown] / TICKS_PER_RUPEE, has_prices) for name, values in named}
    quote["volume"] = bars.volume[row, shown].tolist()
    sent_close = (bars.close[row, shown] / TICKS_PER_RUPEE).astype(np.float32).astype(np.float64)
    adjusted = _yahoo_column(sent_close * providers.market.dividend_factor[row, shown], has_prices)
    for phantom in providers.market.phantom_days:
        if first.date() <= phantom <= last.date() and stamps and symbols[0] in _shown_on_phantom_days(providers):
            _insert_phantom(phantom, stamps, quote, adjusted)
    _insert_odd_days(faults, providers.day_to_come(), stamps, [*quote.values(), adjusted])
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
        if events := _events(providers, symbols[0], first.date(), last.date()):
            result["events"] = events
        result["indicators"] = {"quote": [quote], "adjclose": [{"adjclose": adjusted}]}
    else:
        result["indicators"] = {"quote": [{}], "adjclose": [{}]}
    return JSONResponse({"chart": {"result": [result], "error": None}})


def _shown_on_phantom_days(providers: Providers) -> set[str]:
    return {s for d in providers.market.defects if d.check_id == "is_on_session" for s in d.symbols}


def _events(providers: Providers, symbol: str, first: date, last: date) -> dict[str, Any]:
    events: dict[str, Any] = defaultdict(dict)
    for action in providers.market.corporate_actions:
        day = ex_date_of(action)
        if action["symbol"] != symbol or not first <= day <= last:
            continue
        stamp = opening(day)
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


def _insert_phantom(
    day: date, stamps: list[int], quote: dict[str, list[float | None]], adjusted: list[float | None]
) -> None:
    """Insert a flat bar without volume on a holiday, at the close before it."""
    place = bisect_left(stamps, opening(day))
    if not place:
        return
    for name in ("open", "high", "low"):
        quote[name].insert(place, quote["close"][place - 1])
    quote["close"].insert(place, quote["close"][place - 1])
    quote["volume"].insert(place, 0)
    adjusted.insert(place, adjusted[place - 1])
    stamps.insert(place, opening(day))


def _insert_odd_days(
    faults: dict[str, Fault], day_to_come: date, stamps: list[int], columns: list[list[float | None]]
) -> None:
    """Insert a bar of a future day, or a second bar of the first day, if that fault is active."""
    odd = [(len(stamps), opening(day_to_come))] if "day_to_come" in faults else []
    odd += [(1, stamps[0])] if "repeated_day" in faults and stamps else []
    for place, stamp in odd:
        stamps.insert(place, stamp)
        for column in columns:
            column.insert(place, 2 * (column[0] or 0))


def _yahoo_column(values: npt.NDArray[np.float64], is_shown: npt.NDArray[np.bool_]) -> list[float | None]:
    """Prices in Yahoo's form: 1892.20 arrives as 1892.199951171875."""
    written = values.astype(np.float32).tolist()
    return [value if shown else None for value, shown in zip(written, is_shown.tolist(), strict=True)]


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


def _chart_error(status: int, code: str, description: str) -> Response:
    error = {"code": code, "description": description}
    return JSONResponse({"chart": {"result": None, "error": error}}, status)
