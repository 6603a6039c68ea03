"""Answers of Yahoo that are refused as a whole: pages in place of prices, and prices of another share."""

import re
from typing import Any

import curl_cffi.requests
import requests

from extract.errors import SourceRefused, SourceUnavailable

# How Yahoo writes rupees and the NSE. A lower-case last letter marks a hundredth of a currency, as in GBp, so INr would
# not be rupees.
_RUPEES = {"INR", "inr"}
_NSE = {"NSI", "NSE", "NATIONAL STOCK EXCHANGE OF INDIA"}
# The statuses with which Yahoo blocks a client; 999 is Yahoo's own.
_BLOCKED = {401, 403, 999}


def blocked(told: str, *, is_rate_limit: bool) -> SourceUnavailable:
    """The error for an answer with which Yahoo blocks us; it stops the source for this run."""
    what = "limits our requests" if is_rate_limit else "blocks our requests"
    return SourceUnavailable(
        f"Yahoo {what} ({told.strip()}): it has blocked this machine's address for now; the next run asks again for"
        " what is missing. Wait an hour; if it happens again, lower YAHOO_REQUESTS_PER_SECOND, or ask from another"
        " address",
        stops_source=True,
        is_rate_limit=is_rate_limit,
    )


def page(response: curl_cffi.requests.Response) -> SourceUnavailable | None:
    """The error for an answer without a chart; None if it is one of Yahoo's own errors in JSON."""
    status = response.status_code
    text = response.content[:5000].decode("utf-8-sig", errors="replace").strip()
    words = " ".join(re.sub(r"<[^>]*>", " ", text).split())[:80]
    is_rate_limit = status == requests.codes.too_many_requests or "too many requests" in text.lower()
    if is_rate_limit or status in _BLOCKED:
        return blocked(f"{status} {words}", is_rate_limit=is_rate_limit)
    if status >= 500 or "will be right back" in text.lower():
        return SourceUnavailable(f"Yahoo is out of order: it answered {status}, with no JSON")
    if text.startswith("<"):
        return blocked(f"{status}, a page in place of prices: {words}", is_rate_limit=False)
    return None


def other_instrument(chart: dict[str, Any], tickers: set[str]) -> SourceRefused | None:
    """The error if a chart is not of the share that was asked for, on the NSE and in rupees; else None."""
    if not isinstance(meta := chart.get("meta"), dict):
        # ``fault`` reports this as malformed.
        return None
    told = {
        name: str(meta.get(name) or "").strip() for name in ("symbol", "currency", "exchangeName", "fullExchangeName")
    }
    exchanges = {told[name].upper() for name in ("exchangeName", "fullExchangeName")} - {""}
    if told["symbol"].upper() not in {ticker.upper() for ticker in tickers}:
        named = told["symbol"][:40] or "no named ticker"
        return SourceRefused(
            f"Yahoo's answer for {' or '.join(sorted(tickers))} is of {named}, and is not taken; where the share was"
            " renamed, correct yahoo_ticker in seeds/instruments.csv"
        )
    wrong = None
    if told["currency"] not in _RUPEES:
        wrong = f"in {told['currency'][:40] or 'no named currency'}, and not in INR"
    elif not exchanges or not exchanges <= _NSE:
        wrong = f"of {' and '.join(sorted(exchanges))[:40] or 'no named exchange'}, and not of the NSE"
    if wrong is None:
        return None
    return SourceRefused(
        f"Yahoo's answer for {told['symbol']} is {wrong}; it is not taken. Check yahoo_ticker in seeds/instruments.csv,"
        " and run it again"
    )
