"""Plan the requests to the sources, from the seeds and from what raw lacks."""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from extract.fetching.holes import DEEP_DAYS, Hole, read_holes, session_dates
from extract.fetching.received import (
    answered_ranges,
    attempts_of_last_day,
    has_instruments_of,
    open_disputes,
    symbols_with_bar,
)
from extract.landing.raw import (
    ALPHA_VANTAGE_DAILY_BARS,
    KITE_DAILY_BARS,
    KITE_INSTRUMENTS,
    KITE_QUOTES,
    YAHOO_DAILY_BARS,
)
from extract.seeds import EXCHANGE_ZONE, FIRST_DAY, Instrument, trading_sessions
from extract.sources import Request
from extract.warehouse.connection import Warehouse

DAILY_BARS = {table.source_id: table for table in (KITE_DAILY_BARS, YAHOO_DAILY_BARS, ALPHA_VANTAGE_DAILY_BARS)}

# The longest range that one request to a provider may span, in days. Kite's own limit is 2,000; Yahoo has none.
_LONGEST_RANGE = {"kite": 1990, "yahoo": 36_500}
_QUOTES_PER_REQUEST = 500
# 100 sessions in calendar days: a free key of Alpha Vantage gets no more.
_THIRD_OPINION_DAYS = 140


@dataclass(frozen=True, slots=True)
class PlannedSource:
    """The requests to one provider, and how long its limit makes them take."""

    source_id: str
    requests: tuple[Request, ...]

    def seconds(self, requests_per_second: float) -> float:
        """How long the requests take at this pace."""
        return sum(bool(request.instruments) for request in self.requests) / requests_per_second


def daily_requests(
    warehouse: Warehouse, source_ids: Sequence[str], instruments: Sequence[Instrument], due: date, now: datetime
) -> list[Request]:
    """The requests of a daily run: for what each source has not delivered of the due session, and for older holes.

    A request for the due session asks for several years of the symbol, to find prices that the source has rewritten.

    Args:
        warehouse: its raw dataset shows what is missing.
        source_ids: the sources to ask.
        instruments: whose bars.
        due: the last session that has closed.
        now: a time with zone.
    """
    today = now.astimezone(EXCHANGE_ZONE).date()
    first = deep_window(due)
    requests: list[Request] = []
    for source_id in source_ids:
        table = DAILY_BARS[source_id]
        served = symbols_with_bar(warehouse, table, due, now)
        requests += [
            Request(table, (instrument,), max(first, _month(instrument.listed_on)), today, is_daily=True)
            for instrument in instruments
            if instrument.symbol not in served and instrument.is_listed(due)
        ]
    # A hole within the deep window is asked for together with the window.
    older = read_holes(warehouse, source_ids, instruments, FIRST_DAY, first - timedelta(days=1))
    requests += _hole_requests(older, instruments, now)
    return _with_instruments(warehouse, requests, today)


def quote_requests(instruments: Sequence[Instrument], due: date, today: date) -> list[Request]:
    """Requests for the quotes of all instruments since the due session: one request for each five hundred."""
    listed = [instrument for instrument in instruments if instrument.is_listed(today)]
    return [
        Request(KITE_QUOTES, tuple(listed[start : start + _QUOTES_PER_REQUEST]), due, today)
        for start in range(0, len(listed), _QUOTES_PER_REQUEST)
    ]


def range_requests(
    warehouse: Warehouse,
    source_ids: Sequence[str],
    instruments: Sequence[Instrument],
    first: date,
    last: date,
    now: datetime,
    *,
    again: bool = False,
) -> list[Request]:
    """The part of a range that the sources have not yet answered, in as few requests as possible; and its holes.

    Args:
        warehouse: its ledger shows what was answered.
        source_ids: the sources to ask.
        instruments: whose bars.
        first: the first trade date.
        last: the last one.
        now: a time with zone.
        again: ask for the whole range, even if it was answered before.
    """
    requests: list[Request] = []
    # Includes assumed sessions that the last build dropped: a person who asks for such a day may know better.
    assumed = {session.trade_date for session in trading_sessions(first, last)}
    sessions = sorted(assumed.union(session_dates(warehouse, first, last)))
    for source_id in source_ids:
        table = DAILY_BARS[source_id]
        answered = {} if again else answered_ranges(warehouse, table)
        for instrument in instruments:
            start = max(first, _month(instrument.listed_on))
            end = min(last, instrument.delisted_on)
            for missing_from, missing_to in _missing(start, end, answered.get(instrument.symbol, [])):
                requests += [
                    Request(table, (instrument,), window_from, window_to)
                    for window_from, window_to in _windows(missing_from, missing_to, _LONGEST_RANGE[source_id])
                    if bisect_left(sessions, window_from) < bisect_right(sessions, window_to)
                ]
    if not again:
        requests += _hole_requests(read_holes(warehouse, source_ids, instruments, first, last), instruments, now)
    return _with_instruments(warehouse, requests, now.astimezone(EXCHANGE_ZONE).date())


def third_opinion_requests(
    warehouse: Warehouse, instruments: Sequence[Instrument], requests_per_day: int, now: datetime
) -> list[Request]:
    """Requests for the symbols with open disputes, the latest first, as many as the day's budget still allows."""
    left = requests_per_day - attempts_of_last_day(warehouse, "alpha_vantage", now)
    today = now.astimezone(EXCHANGE_ZONE).date()
    by_symbol = {instrument.symbol: instrument for instrument in instruments}
    disputed = [by_symbol[symbol] for symbol in open_disputes(warehouse) if symbol in by_symbol]
    first = _month(today - timedelta(days=_THIRD_OPINION_DAYS))
    return [Request(ALPHA_VANTAGE_DAILY_BARS, (i,), first, today) for i in disputed[: max(left, 0)]]


def by_source(requests: Iterable[Request]) -> list[PlannedSource]:
    """The requests grouped by provider, in their order."""
    grouped: dict[str, list[Request]] = {}
    for request in requests:
        assert request.table.source_id is not None
        grouped.setdefault(request.table.source_id, []).append(request)
    return [PlannedSource(source_id, tuple(of_source)) for source_id, of_source in grouped.items()]


def _with_instruments(warehouse: Warehouse, requests: list[Request], today: date) -> list[Request]:
    """The requests, with Kite's instruments dump first if Kite is asked for bars and raw lacks the dump of the day."""
    asks_kite = any(request.table is KITE_DAILY_BARS for request in requests)
    if asks_kite and not has_instruments_of(warehouse, today):
        return [Request(KITE_INSTRUMENTS, (), today, today), *requests]
    return requests


def _hole_requests(holes: Iterable[Hole], instruments: Sequence[Instrument], now: datetime) -> list[Request]:
    """Requests for the holes that are due now, in as few requests as the limits allow."""
    due: dict[tuple[str, str], list[Hole]] = {}
    for hole in holes:
        if hole.is_due(now):
            due.setdefault((hole.source_id, hole.symbol), []).append(hole)
    by_symbol = {instrument.symbol: instrument for instrument in instruments}
    return [
        Request(DAILY_BARS[source_id], (by_symbol[symbol],), window_from, window_to)
        for (source_id, symbol), found in due.items()
        for window_from, window_to in _windows(
            min(hole.first_date for hole in found), max(hole.last_date for hole in found), _LONGEST_RANGE[source_id]
        )
        if any(hole.first_date <= window_to and hole.last_date >= window_from for hole in found)
    ]


def _missing(first: date, last: date, answered: Collection[tuple[date, date]]) -> list[tuple[date, date]]:
    """The parts of a range that the answered ranges, sorted, do not cover."""
    missing = []
    start = first
    for answered_from, answered_to in answered:
        if answered_from > start:
            missing.append((start, min(last, answered_from - timedelta(days=1))))
        start = max(start, answered_to + timedelta(days=1))
    missing.append((start, last))
    return [(missing_from, missing_to) for missing_from, missing_to in missing if missing_from <= min(missing_to, last)]


def _windows(first: date, last: date, days: int) -> list[tuple[date, date]]:
    """Cut a range into windows of at most ``days`` days, at the ends of months."""
    windows = []
    start = first
    while start <= last:
        end = last
        if (last - start).days >= days:
            end = _month(start + timedelta(days=days)) - timedelta(days=1)
        windows.append((start, end))
        start = end + timedelta(days=1)
    return windows


def _month(day: date) -> date:
    return day.replace(day=1)


def deep_window(due: date) -> date:
    """The first trade date that a daily run asks for.

    It is the first day of a month, because the view operations_refetches counts by months what was fetched again of a
    rewritten past.
    """
    return next_month(due - timedelta(days=DEEP_DAYS))


def next_month(day: date) -> date:
    """The first day of the month after."""
    return _month(_month(day) + timedelta(days=31))
