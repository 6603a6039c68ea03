"""What an answer of a provider holds, read in another way than the extractor does."""

import math
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import numpy as np

from extract.landing.raw import ALPHA_VANTAGE_DAILY_BARS, KITE_DAILY_BARS, YAHOO_CORPORATE_ACTIONS, YAHOO_DAILY_BARS
from extract.seeds import EXCHANGE_ZONE

_PRICES = ("open", "high", "low", "close")
FIRST, LAST = date(2024, 12, 2), date(2024, 12, 31)

type Reader = Callable[[Any], set[tuple[object, ...]]]


def exchange_day(when: object) -> date:
    """The exchange's date of a moment, or the date itself."""
    if isinstance(when, datetime):
        return when.astimezone(EXCHANGE_ZONE).date()
    assert isinstance(when, date)
    return when


def no_number(text: str) -> float:
    """Refuse NaN and the infinities, which Python's reader of JSON would take."""
    raise ValueError(f"{text} is not a JSON number")


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a number")
    return float(value)


def _whole(value: object) -> int:
    if _number(value) != int(value):  # type: ignore[call-overload]
        raise ValueError(f"{value!r} is not whole")
    return int(value)  # type: ignore[call-overload, no-any-return]


def _start(text: str) -> datetime:
    if not text.endswith("+0530"):
        raise ValueError(f"{text} is not in the time zone of India")
    return datetime.fromisoformat(text)


def _kite_rows(answer: Any) -> set[tuple[object, ...]]:
    return {
        (_start(day), *map(_number, prices), _whole(volume))
        for day, *prices, volume in (candle[:6] for candle in answer["data"]["candles"])
    }


def _yahoo_rows(answer: Any) -> set[tuple[object, ...]]:
    """The rows of Yahoo's columns; a null price is missing, and a null volume is zero."""
    result = answer["chart"]["result"][0]
    quote = result["indicators"]["quote"][0]
    adjusted = result["indicators"]["adjclose"][0]["adjclose"] if "adjclose" in result["indicators"] else quote["close"]

    def price(value: object) -> float | None:
        return None if value is None else float(np.float64(_number(value)))

    rows: set[tuple[object, ...]] = set()
    for number, second in enumerate(result["timestamp"]):
        try:
            prices = [price(column[number]) for column in (*(quote[name] for name in _PRICES), adjusted)]
            volume = quote["volume"][number]
            rows |= {(when, *prices, 0 if volume is None else _whole(volume)) for when in _times(second)}
        except OverflowError:
            # There is no such time or number, and no such row.
            continue
    return rows


def _yahoo_actions(answer: Any) -> set[tuple[object, ...]]:
    """The actions of the days that were asked for; others are not taken."""
    result = answer["chart"]["result"][0]
    told: defaultdict[datetime, list[float]] = defaultdict(lambda: [0.0, 0.0])
    events = result.get("events", {})
    for event in events.get("dividends", {}).values():
        for when in _times(event["date"]) if _tells(event, "amount") else ():
            told[when][0] = _number(event["amount"])
    for event in events.get("splits", {}).values():
        for when in _times(event["date"]) if _tells(event, "numerator", "denominator") else ():
            told[when][1] = _number(event["numerator"]) / _number(event["denominator"])
    return {(when, *values) for when, values in told.items() if FIRST <= exchange_day(when) <= LAST}


def _tells(event: dict[str, object], *names: str) -> bool:
    """Whether a corporate action has these numbers, above zero; one without them is left out."""
    try:
        if event.get("date") is not None:
            _times(event["date"])
        return all(event.get(name) is not None and _number(event[name]) > 0 for name in ("date", *names))
    except OverflowError:
        # There is no such time or number, and no such action.
        return False


def _times(second: object) -> tuple[datetime, datetime]:
    """The time of a bar in Yahoo's answer, and midnight of its day, which yfinance returns for daily bars."""
    moment = datetime.fromtimestamp(_whole(second), UTC)
    return moment, datetime.combine(moment.astimezone(EXCHANGE_ZONE).date(), datetime.min.time(), EXCHANGE_ZONE)


def _alpha_vantage_rows(answer: Any) -> set[tuple[object, ...]]:
    rows = set()
    for text, fields in answer["Time Series (Daily)"].items():
        day = date.fromisoformat(text)
        if not FIRST <= day <= LAST:
            continue
        named = {key.partition(". ")[2]: value for key, value in fields.items()}
        rows.add((day, *(named[name] for name in (*_PRICES, "volume"))))
    return rows


READERS: dict[str, dict[str, Reader]] = {
    "kite": {KITE_DAILY_BARS.name: _kite_rows},
    "yahoo": {YAHOO_DAILY_BARS.name: _yahoo_rows, YAHOO_CORPORATE_ACTIONS.name: _yahoo_actions},
    "alpha_vantage": {ALPHA_VANTAGE_DAILY_BARS.name: _alpha_vantage_rows},
}
