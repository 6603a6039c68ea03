"""Check Yahoo's answers before yfinance parses them: yfinance checks no status, currency or ticker."""

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Annotated, Any, Literal, Self

import curl_cffi.requests
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from extract.errors import SourceUnavailable
from extract.network import shortened
from extract.seeds import EXCHANGE_ZONE
from extract.sources import LARGEST, Unread
from extract.sources.yahoo_refusals import page


def _day(second: int) -> date:
    return datetime.fromtimestamp(second, EXCHANGE_ZONE).date()


def _of_calendar(second: int) -> int:
    """Refuse a time that is too far away for a calendar, such as one in milliseconds."""
    try:
        _day(second)
    except (OverflowError, OSError) as error:
        raise ValueError(str(error)) from error
    return second


class _Sent(BaseModel):
    """A part of a chart; numbers must be finite, and not strings or booleans."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


_Second = Annotated[int, AfterValidator(_of_calendar)]
_Positive = Annotated[float, Field(gt=0, lt=LARGEST)]
# yfinance converts it to a 64-bit integer: a fraction would be lost.
_Volume = Annotated[int, Field(gt=-LARGEST, lt=LARGEST)]
_Column = list[Annotated[float, Field(gt=-LARGEST, lt=LARGEST)] | None]


class _Quote(_Sent):
    open: _Column
    high: _Column
    low: _Column
    close: _Column
    volume: list[_Volume | None]


class _Adjusted(_Sent):
    adjclose: _Column


_COLUMNS = _Quote.model_fields.keys() | _Adjusted.model_fields.keys()


class _Indicators(_Sent):
    quote: list[_Quote]
    adjclose: list[_Adjusted] = []


class _Dividend(_Sent):
    date: _Second
    amount: _Positive


class _Split(_Sent):
    date: _Second
    numerator: _Positive
    denominator: _Positive

    @property
    def ratio(self) -> float:
        return self.numerator / self.denominator

    @model_validator(mode="after")
    def _has_ratio(self) -> Self:
        if not 1 / LARGEST < self.ratio < LARGEST:
            raise ValueError("there is no such ratio")
        return self


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
    timestamp: list[_Second]
    indicators: _Indicators
    events: _Events = _Events()


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
        return page(response)
    if "timestamp" not in chart:
        return None
    if response.status_code >= 400:
        return SourceUnavailable(f"Yahoo answered {response.status_code}")
    try:
        twice = _repeated(_Chart.model_validate(chart))
    except ValidationError as error:
        return SourceUnavailable(f"Yahoo's answer is malformed: {_told(_parts(error)[0])}")
    except ValueError as error:
        return SourceUnavailable(f"Yahoo's answer is malformed: {shortened(str(error))}")
    if twice is None:
        return None
    return SourceUnavailable(f"Yahoo's answer is malformed: {twice} comes twice, with different values")


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


def sift(chart: dict[str, Any]) -> tuple[list[str], Unread]:
    """Take the bars and the events that cannot be read out of a chart with prices.

    Returns:
        A sentence for each event that was taken out; and the bars.
    """
    bars: dict[int, Mapping[str, Any]] = {}
    events: dict[tuple[str, ...], Mapping[str, Any]] = {}
    for error in _errors(chart):
        match error["loc"]:
            case ("timestamp", int(row)) | ("indicators", "quote" | "adjclose", 0, _, int(row)):
                bars.setdefault(row, error)
            case ("events", *place):
                events.setdefault(tuple(map(str, place[:2])), error)
            case _:
                # ``fault`` reports this as malformed.
                return [], Unread("Yahoo")
    return [_taken_out(chart, place, error) for place, error in events.items()], _without_bars(chart, bars)


def _errors(chart: dict[str, Any]) -> Sequence[Mapping[str, Any]]:
    try:
        _Chart.model_validate(chart)
    except ValidationError as error:
        return _parts(error)
    return []


def _parts(error: ValidationError) -> Sequence[Mapping[str, Any]]:
    return error.errors(include_url=False, include_context=False)


def _told(error: Mapping[str, Any]) -> str:
    place = ".".join(map(str, error["loc"])) or "the chart"
    return f"{place} is {shortened(repr(error['input']))}: {error['msg']}"


def _taken_out(chart: dict[str, Any], place: tuple[str, ...], error: Mapping[str, Any]) -> str:
    """Take one event out of a chart, or all of a kind, or all; return the sentence about it."""
    *ways, last = "events", *place
    here = chart
    for way in ways:
        here = here[way]
    what = f"an event of Yahoo's {place[0]} is" if len(place) > 1 else f"Yahoo's {last} are"
    return f"{what} left out: {shortened(str(here.pop(last)))} ({_told(error)})"


def _without_bars(chart: dict[str, Any], bars: dict[int, Mapping[str, Any]]) -> Unread:
    """Take bars out of a chart, by their place in it; return them with their reasons."""
    times = chart["timestamp"]
    unread = Unread("Yahoo", len(times))
    for row, error in sorted(bars.items()):
        is_dated = row < len(times) and error["loc"][0] != "timestamp"
        unread.add(_day(times[row]) if is_dated else None, _told(error))
    parts = (part for name in ("quote", "adjclose") for part in chart["indicators"].get(name, []))
    for column in (times, *(part[name] for part in parts for name in _COLUMNS & part.keys())):
        column[:] = [value for row, value in enumerate(column) if row not in bars]
    return unread


def chart_days(chart: dict[str, Any]) -> list[date]:
    """The days of a chart's bars."""
    return [_day(second) for second in chart.get("timestamp", [])]


def days_without_volume(chart: dict[str, Any]) -> set[date]:
    """The days of the bars whose volume is null, which yfinance makes zero."""
    (quote,) = chart["indicators"]["quote"]
    volumes: dict[date, int | None] = {}
    # Of two bars of a day, yfinance takes the later one.
    for second, volume in sorted(zip(chart["timestamp"], quote["volume"], strict=True), key=lambda bar: bar[0]):
        volumes[_day(second)] = volume
    return {day for day, volume in volumes.items() if volume is None}


def chart_actions(chart: dict[str, Any]) -> tuple[list[tuple[date, float, float]], list[str]]:
    """The day, dividend and split ratio of each day with corporate actions; 0 where there is none of that kind.

    Not from yfinance's frame: it moves an action of a day without a bar to the bar before it, and drops those before
    the first bar.

    Returns:
        Them, and a sentence for each day whose actions are together too large to be right.
    """
    events = _Chart.model_validate(chart).events
    dividends: dict[date, float] = defaultdict(float)
    for dividend in events.dividends.values():
        dividends[_day(dividend.date)] += dividend.amount
    # Yahoo has some splits twice.
    ratios: dict[date, set[float]] = defaultdict(set)
    for split in events.splits.values():
        ratios[_day(split.date)].add(split.ratio)
    actions, odd = [], []
    for day in sorted({*dividends, *ratios}):
        paid, ratio = dividends.get(day, 0.0), math.prod(ratios[day]) if day in ratios else 0.0
        if max(paid, ratio) < LARGEST:
            actions.append((day, paid, ratio))
        else:
            odd.append(f"Yahoo's actions of {day} are left out: together {paid} a share, and a ratio of {ratio}")
    return actions, odd
