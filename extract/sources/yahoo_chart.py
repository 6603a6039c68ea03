"""Check Yahoo's answers before yfinance parses them: yfinance checks no status, currency or ticker."""

import json
import math
import re
from collections import defaultdict
from datetime import date, datetime
from typing import Annotated, Any, Literal

import curl_cffi.requests
import requests
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from extract.errors import SourceRefused, SourceUnavailable
from extract.network import shortened
from extract.seeds import EXCHANGE_ZONE

# How Yahoo writes rupees and the NSE. A lower-case last letter marks a hundredth of a currency, as in GBp, so INr would
# not be rupees.
_RUPEES = {"INR", "inr"}
_NSE = {"NSI", "NSE", "NATIONAL STOCK EXCHANGE OF INDIA"}
# The statuses with which Yahoo blocks a client; 999 is Yahoo's own.
_BLOCKED = {401, 403, 999}
# The numbers of an event that must be above zero, by kind of event.
_EVENTS = {"dividends": ("date", "amount"), "splits": ("date", "numerator", "denominator")}


class _Sent(BaseModel):
    """A part of a chart; numbers must be finite, and not strings or booleans."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


# yfinance converts it to a 64-bit integer: a fraction would be lost, and a larger number would become another one.
_Volume = Annotated[int, Field(ge=-(2**63), lt=2**63)]
_Column = list[float | None]


class _Quote(_Sent):
    open: _Column
    high: _Column
    low: _Column
    close: _Column
    volume: list[_Volume | None]


class _Adjusted(_Sent):
    adjclose: _Column


class _Indicators(_Sent):
    quote: list[_Quote]
    adjclose: list[_Adjusted] = []


class _Dividend(_Sent):
    date: int
    amount: float


class _Split(_Sent):
    date: int
    numerator: float
    denominator: float


class _Events(_Sent):
    dividends: dict[str, _Dividend] = {}
    splits: dict[str, _Split] = {}


class _Meta(_Sent):
    # yfinance dates the bars in this time zone, and accepts a number of seconds from UTC too.
    exchangeTimezoneName: Literal["Asia/Kolkata"]  # noqa: N815 Yahoo's name.
    dataGranularity: Literal["1d"]  # noqa: N815


class _Chart(_Sent):
    """The parts of an answer with prices that are checked."""

    meta: _Meta
    timestamp: list[int]
    indicators: _Indicators
    events: _Events = _Events()


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


def read_chart(response: curl_cffi.requests.Response) -> dict[str, Any] | None:
    """The prices and their description in an answer, as JSON; None if it has neither."""
    try:
        # Parsed from bytes, as yfinance's client does: this accepts a byte-order mark.
        chart = json.loads(response.content)["chart"]["result"][0]
    except (ValueError, KeyError, TypeError, IndexError):
        return None
    return chart if isinstance(chart, dict) else None


def fault(response: curl_cffi.requests.Response, chart: dict[str, Any] | None) -> SourceUnavailable | None:
    """What is wrong with an answer. Yahoo's own errors in JSON, and answers without prices, are left to yfinance."""
    if chart is None:
        return _page(response)
    if "timestamp" not in chart:
        return None
    if response.status_code >= 400:
        return SourceUnavailable(f"Yahoo answered {response.status_code}")
    try:
        twice = _repeated(_Chart.model_validate(chart))
    except ValidationError as error:
        (first, *_) = error.errors(include_url=False, include_context=False)
        place = ".".join(map(str, first["loc"])) or "the chart"
        return SourceUnavailable(
            f"Yahoo's answer is malformed: {place} is {shortened(repr(first['input']))}: {first['msg']}"
        )
    except (ValueError, OverflowError, OSError) as error:
        return SourceUnavailable(f"Yahoo's answer is malformed: {shortened(str(error))}")
    if twice is None:
        return None
    return SourceUnavailable(f"Yahoo's answer is malformed: {twice} comes twice, with different values")


def _page(response: curl_cffi.requests.Response) -> SourceUnavailable | None:
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


def _repeated(chart: _Chart) -> date | None:
    """The first day that occurs twice, with different values; yfinance would take one of the two."""
    (quote,) = chart.indicators.quote
    columns = zip(quote.open, quote.high, quote.low, quote.close, quote.volume, strict=True)
    rows = sorted(zip(chart.timestamp, columns, strict=True), key=lambda row: row[0])
    if len(rows) > 1 and rows[-2][0] < rows[-1][0] and _day(rows[-2][0]) == _day(rows[-1][0]):
        # The last day may have two bars, one at its opening and one at the last trade: yfinance takes the latter.
        del rows[-2]
    seen: dict[date, tuple[float | None, ...]] = {}
    for second, values in rows:
        day = _day(second)
        if seen.setdefault(day, values) != values:
            return day
    return None


def chart_days(chart: dict[str, Any]) -> list[date]:
    """The days of a chart's bars; empty if they cannot be read."""
    try:
        return [_day(second) for second in chart.get("timestamp", [])]
    except (TypeError, ValueError, OverflowError, OSError):
        return []


def chart_actions(chart: dict[str, Any]) -> list[tuple[date, float, float]]:
    """The day, dividend and split ratio of each day with corporate actions; 0 where there is none of that kind.

    Not from yfinance's frame: it moves an action of a day without a bar to the bar before it, and drops those before
    the first bar.

    Raises:
        ValueError: an amount or ratio is too large for a number.
    """
    events = _Chart.model_validate(chart).events
    dividends: dict[date, float] = defaultdict(float)
    for dividend in events.dividends.values():
        dividends[_day(dividend.date)] += dividend.amount
    # Yahoo has some splits twice.
    ratios: dict[date, set[float]] = defaultdict(set)
    for split in events.splits.values():
        ratios[_day(split.date)].add(split.numerator / split.denominator)
    days = sorted({*dividends, *ratios})
    actions = [(day, dividends.get(day, 0.0), math.prod(ratios[day]) if day in ratios else 0.0) for day in days]
    if not all(math.isfinite(value) for _, *values in actions for value in values):
        raise ValueError("a corporate action is not finite")
    return actions


def _day(second: int) -> date:
    return datetime.fromtimestamp(second, EXCHANGE_ZONE).date()


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


def take_odd_events(chart: dict[str, Any]) -> list[str]:
    """Remove corporate actions without content, such as a split to zero shares, from a chart; return their texts."""
    events = chart.get("events")
    if not isinstance(events, dict):
        return []
    taken = []
    for kind, names in _EVENTS.items():
        of_kind = events.get(kind)
        if not isinstance(of_kind, dict):
            continue
        for key, event in list(of_kind.items()):
            if isinstance(event, dict) and (
                any(_says_nothing(event.get(name)) for name in names) or _is_no_day(event["date"])
            ):
                del of_kind[key]
                taken.append(f"an event of Yahoo's {kind} is left out: {shortened(str(event))}")
    return taken


def _is_no_day(second: object) -> bool:
    """Whether a time is too far away for a calendar, such as one in milliseconds; no number is a different fault."""
    if type(second) is not int:
        return False
    try:
        _day(second)
    except (ValueError, OverflowError, OSError):
        return True
    return False


def _says_nothing(value: object) -> bool:
    """Whether a number is absent or not above zero; a value that is not a number is a different fault."""
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and value <= 0)
