"""What an answer of a provider holds, read in another way than the extractor does."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

from extract.landing.raw import ALPHA_VANTAGE_DAILY_BARS, KITE_DAILY_BARS, YAHOO_CORPORATE_ACTIONS, YAHOO_DAILY_BARS
from extract.seeds import EXCHANGE_ZONE

_PRICES = ("open", "high", "low", "close")
FIRST, LAST = date(2024, 12, 2), date(2024, 12, 31)

# No price, volume or ratio is so large, and none that is sent is taken.
_TOO_LARGE = 10**12

type _Row = tuple[object, ...]
type Reader = Callable[[Any], set[_Row]]


def exchange_day(when: object) -> date:
    """The exchange's date of a moment, or the date itself."""
    if isinstance(when, datetime):
        return when.astimezone(EXCHANGE_ZONE).date()
    assert isinstance(when, date)
    return when


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_TOO_LARGE < value < _TOO_LARGE:
        raise ValueError(f"{value!r} is not a price, a volume or a ratio")
    return float(value)


def _whole(value: object) -> int:
    if _number(value) != int(value):  # type: ignore[call-overload]
        raise ValueError(f"{value!r} is not whole")
    return int(value)  # type: ignore[call-overload, no-any-return]


def _start(text: str) -> datetime:
    if not text.endswith("+0530"):
        raise ValueError(f"{text} is not in the time zone of India")
    return datetime.fromisoformat(text)


def _readable[Part](parts: Iterable[Part], read: Callable[[Part], set[_Row]]) -> set[_Row]:
    """What is read of the parts; each that cannot be read costs itself alone."""
    rows: set[_Row] = set()
    for part in parts:
        try:
            rows |= read(part)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError):
            continue
    return rows


def _kite_rows(answer: Any) -> set[_Row]:
    def bar(candle: Any) -> set[_Row]:
        day, *prices, volume = candle[:6]
        opened, high, low, close = map(_number, prices)
        return {(_start(day), opened, high, low, close, _whole(volume))}

    return _readable(answer["data"]["candles"], bar)


def _yahoo_rows(answer: Any) -> set[_Row]:
    """The rows of Yahoo's columns; a null price or volume is missing."""
    result = answer["chart"]["result"][0]
    quote = result["indicators"]["quote"][0]
    adjusted = result["indicators"]["adjclose"][0]["adjclose"] if "adjclose" in result["indicators"] else quote["close"]
    columns = [*(quote[name] for name in _PRICES), adjusted]

    def bar(numbered: tuple[int, object]) -> set[_Row]:
        number, second = numbered
        prices = [None if column[number] is None else _number(column[number]) for column in columns]
        volume = quote["volume"][number]
        return {(when, *prices, None if volume is None else _whole(volume)) for when in _times(second)}

    return _readable(enumerate(result["timestamp"]), bar)


def _yahoo_actions(answer: Any) -> set[_Row]:
    """The actions of the days that were asked for; others are not taken."""
    told: defaultdict[object, list[float]] = defaultdict(lambda: [0.0, 0.0])
    events = answer["chart"]["result"][0].get("events")
    for place, kind, names in ((0, "dividends", ("amount",)), (1, "splits", ("numerator", "denominator"))):
        of_kind = events.get(kind) if isinstance(events, dict) else None
        parts = of_kind.values() if isinstance(of_kind, dict) else ()
        for when, value in _readable(parts, partial(_action, names=names)):
            told[when][place] = float(value)  # type: ignore[arg-type]
    return {(when, *values) for when, values in told.items() if FIRST <= exchange_day(when) <= LAST}


def _action(event: dict[str, object], names: tuple[str, ...]) -> set[_Row]:
    """The times and the value of an event: its amount, or the ratio of its two numbers."""
    numbers = [_number(event[name]) for name in names]
    value = numbers[0] / math.prod(numbers[1:])
    if min(numbers) <= 0 or (not 1 / _TOO_LARGE < value < _TOO_LARGE and len(numbers) > 1):
        raise ValueError(f"{event} says nothing")
    return {(when, value) for when in _times(event["date"])}


def _times(second: object) -> tuple[datetime, datetime]:
    """The time of a bar in Yahoo's answer, and midnight of its day, which yfinance returns for daily bars."""
    moment = datetime.fromtimestamp(_whole(second), UTC)
    return moment, datetime.combine(moment.astimezone(EXCHANGE_ZONE).date(), datetime.min.time(), EXCHANGE_ZONE)


def _alpha_vantage_rows(answer: Any) -> set[_Row]:
    def bar(named: tuple[str, Any]) -> set[_Row]:
        text, fields = named
        day = date.fromisoformat(text)
        values = {key.partition(". ")[2]: value for key, value in fields.items()}
        row = [values[name] for name in (*_PRICES, "volume")]
        if not all(isinstance(value, str) for value in row):
            raise ValueError(f"{row} are not texts")
        return {(day, *row)} if FIRST <= day <= LAST else set()

    return _readable(answer["Time Series (Daily)"].items(), bar)


READERS: dict[str, dict[str, Reader]] = {
    "kite": {KITE_DAILY_BARS.name: _kite_rows},
    "yahoo": {YAHOO_DAILY_BARS.name: _yahoo_rows, YAHOO_CORPORATE_ACTIONS.name: _yahoo_actions},
    "alpha_vantage": {ALPHA_VANTAGE_DAILY_BARS.name: _alpha_vantage_rows},
}
