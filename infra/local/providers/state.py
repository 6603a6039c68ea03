"""What the three providers share: the market, the time, the limits, the faults, and what was asked of them."""

import random
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
from starlette.requests import Request

from extract.seeds import EXCHANGE_ZONE
from infra.local.providers.faults import Fault, Limits
from infra.local.series import Bars, Draft, same_day_bars

API_KEY = "simulatedkey"
API_SECRET = "simulatedsecret"  # noqa: S105 It opens nothing.
ACCESS_TOKEN = "simulatedtoken"  # noqa: S105

OPENS_AT = timedelta(hours=9, minutes=15)


@dataclass(slots=True)
class Providers:
    """The three providers of one market.

    Attributes:
        market: the market that they serve.
        clock: the time, with zone; later data is not served, and data of the current day is provisional.
        limits: the limits beyond which they refuse.
        faults: the active faults.
        answered: the number of requests by source and status.
        tokens: Kite's sessions.
        request_tokens: what a login at Kite has returned, and nobody has used.
        arrivals: when the requests of the last second came, by limit.
        seen: the number of requests by source, since the faults were set.
        struck: how often each fault has struck.
        drawn: decides which requests fail.
        rows: the place of each symbol in the market.
        same_day: Kite's bars on the evening of their day.
    """

    market: Draft
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    limits: Limits = field(default_factory=Limits)
    faults: list[Fault] = field(default_factory=list)
    seed: int = 0
    answered: Counter[tuple[str, int]] = field(default_factory=Counter)
    tokens: set[str] = field(default_factory=lambda: {ACCESS_TOKEN})
    request_tokens: set[str] = field(default_factory=lambda: {"simulatedrequesttoken"})
    arrivals: dict[str, deque[float]] = field(default_factory=lambda: defaultdict(deque))
    seen: Counter[str] = field(default_factory=Counter)
    struck: Counter[Fault] = field(default_factory=Counter)
    drawn: random.Random = field(init=False)
    rows: dict[str, int] = field(init=False)
    same_day: Bars = field(init=False)

    def __post_init__(self) -> None:
        """Prepare the parts that do not change."""
        self.drawn = random.Random(self.seed)  # noqa: S311 Its faults are to be the same again.
        self.rows = {instrument.symbol: row for row, instrument in enumerate(self.market.instruments)}
        self.same_day = same_day_bars(self.market.kite)

    def fail(self, *faults: Fault) -> None:
        """Replace the active faults by these; ``after`` counts from now."""
        self.faults = list(faults)
        self.seen.clear()
        self.struck.clear()

    def symbols(self, request: Request) -> list[str]:
        """The symbols that a request asks for; empty for a list."""
        if "token" in request.path_params:
            instrument = self.by_token(request.path_params["token"])
            return [instrument] if instrument else []
        asked = request.path_params.get("ticker") or request.query_params.get("symbol") or ""
        return [i.symbol for i in self.market.instruments if asked in (i.yahoo_ticker, i.alpha_vantage_ticker)]

    def by_token(self, token: int) -> str | None:
        """The symbol of one of Kite's tokens; None if it is unknown."""
        by_id = {instrument.instrument_id: instrument.symbol for instrument in self.market.instruments}
        return by_id.get(token // 256) if token % 256 == 1 else None

    def days(self, bars: Bars, row: int, first: date, last: date) -> list[int]:
        """The sessions of a range for which a source has a bar by now."""
        now = self.clock().astimezone(EXCHANGE_ZONE)
        opened = (
            now.date()
            if now - datetime.combine(now.date(), datetime.min.time(), EXCHANGE_ZONE) >= OPENS_AT
            else (now.date() - timedelta(days=1))
        )
        dates = [session.trade_date for session in self.market.sessions]
        start, end = bisect_left(dates, first), bisect_right(dates, min(last, opened))
        return [start + int(day) for day in np.flatnonzero(bars.is_sent[row, start:end])]

    def day_to_come(self) -> date:
        """A day in the future, of which no provider can have a bar."""
        return self.clock().astimezone(EXCHANGE_ZONE).date() + timedelta(days=40)


def opening(day: date) -> int:
    """When the exchange opens on a day, in seconds since 1970."""
    return int((datetime.combine(day, datetime.min.time(), EXCHANGE_ZONE) + OPENS_AT).timestamp())


def prices_of(bars: Bars) -> tuple[Any, ...]:
    """The four prices of bars, in ticks."""
    return bars.open, bars.high, bars.low, bars.close
