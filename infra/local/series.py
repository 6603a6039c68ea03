"""The series of a simulated market: random walks from 100.00, as each provider serves them."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from zlib import crc32

import numpy as np
import numpy.typing as npt

from extract.seeds import EXCHANGE_ZONE, Instrument, Session, exchange_date

# The market arrives as one backfill, and then as one run on the evening of each of the last five sessions.
DAILY_RUNS = 5

TICKS_PER_RUPEE = 20
_FIRST_CLOSE = 100 * TICKS_PER_RUPEE
_LOWEST_PRICE = 1 * TICKS_PER_RUPEE

type Grid = npt.NDArray[np.int64]
type Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Defect:
    """A planted defect, and how the marts must show it.

    Attributes:
        check_id: the check that the bar in the marts fails; None if it fails none, because another source stands in,
            the cause is known, or the data is right.
        source_id: the source of the bar in the marts; None if there must be no bar.
        symbols: whose bars.
        trade_date: the day of the bars.
        text: what was planted.
        is_true_jump: whether the marts must show a daily return of more than 15 %, because the price really moved.
    """

    check_id: str | None
    source_id: str | None
    symbols: tuple[str, ...]
    trade_date: date
    text: str
    is_true_jump: bool = False


@dataclass(frozen=True, slots=True)
class Bars:
    """The bars of one source: a row for each instrument, a column for each session.

    Prices are counted in ticks of 0.05 INR, so that they are exact; volume in shares.
    """

    open: Grid
    high: Grid
    low: Grid
    close: Grid
    volume: Grid
    is_sent: Mask
    has_prices: Mask


def ex_date_of(action: dict[str, object]) -> date:
    """The ex-date of one of a market's corporate actions."""
    when = action["date"]
    assert isinstance(when, datetime)
    return exchange_date(when)


@dataclass(frozen=True, slots=True)
class Draft:
    """The market as each provider serves it, with the planted defects; planting changes it in place."""

    instruments: Sequence[Instrument]
    sessions: Sequence[Session]
    # The exchange's own data.
    truth: Bars
    kite: Bars
    yahoo: Bars
    # Yahoo's adj_close over its close.
    dividend_factor: npt.NDArray[np.float64]
    corporate_actions: list[dict[str, object]] = field(default_factory=list)
    phantom_days: list[date] = field(default_factory=list)
    # Instruments for which Kite sent nothing in the last run.
    unanswered: list[int] = field(default_factory=list)
    defects: list[Defect] = field(default_factory=list)

    def note(
        self,
        check_id: str | None,
        source_id: str | None,
        rows: Sequence[int],
        day: int,
        text: str,
        *,
        is_true_jump: bool = False,
    ) -> None:
        """Record a planted defect."""
        symbols = tuple(self.instruments[row].symbol for row in rows)
        self.defects.append(Defect(check_id, source_id, symbols, self.sessions[day].trade_date, text, is_true_jump))

    def act(self, row: int, day: int, *, dividend: float = 0.0, split_ratio: float = 0.0) -> None:
        """Add a corporate action to Yahoo's reports."""
        self.corporate_actions.append(
            {
                "symbol": self.instruments[row].symbol,
                "ticker": self.instruments[row].yahoo_ticker,
                "date": datetime.combine(self.sessions[day].trade_date, time(), EXCHANGE_ZONE),
                "dividend": dividend,
                "split_ratio": split_ratio,
            }
        )


def clean_bars(instruments: Sequence[Instrument], sessions: Sequence[Session], seed: int) -> Bars:
    """Geometric random walks from 100.00 INR on an instrument's first session, without any defect.

    A close moves by 1.5 % a day (standard deviation) and by less than 10 %; volumes are lognormal around
    200,000 shares, and 12 % of that on short sessions (10 to 15 % in ACC's, 2024 and 2025).
    """
    draws = np.zeros((len(instruments), len(sessions), 5))
    is_sent = np.zeros(draws.shape[:2], dtype=np.bool_)
    trade_dates = [session.trade_date for session in sessions]
    for row, instrument in enumerate(instruments):
        start = bisect_left(trade_dates, instrument.listed_on)
        # Drawn session by session, so that a later end of the range adds draws and changes none.
        generator = np.random.default_rng([seed, crc32(instrument.symbol.encode())])
        draws[row, start:] = generator.standard_normal(draws[row, start:].shape)
        draws[row, start : start + 1, 0] = 0
        is_sent[row, start:] = True
    moves, opening_moves, reaches_up, reaches_down, activity = np.moveaxis(draws, 2, 0)

    # Clipped below 10 %, because rounding to the tick may increase a move.
    path = np.cumsum(np.clip(0.015 * moves, -0.08, 0.08), axis=1)
    close = ticks(_FIRST_CLOSE * np.exp(path))
    previous_close = np.concatenate([close[:, :1], close[:, :-1]], axis=1)
    opened = ticks(previous_close * (1 + np.clip(0.004 * opening_moves, -0.02, 0.02)))
    # At least one tick above open and close, which leaves room for a last trade that differs from the close.
    high = np.ceil(np.maximum(opened, close) * (1.0005 + 0.005 * np.abs(reaches_up))).astype(np.int64)
    low = np.floor(np.minimum(opened, close) * (0.9995 - 0.005 * np.abs(reaches_down))).astype(np.int64)
    usual_volume = np.where([session.is_short for session in sessions], 0.12 * 200_000, 200_000)
    volume = np.rint(usual_volume * np.exp(0.4 * activity)).astype(np.int64)
    return Bars(opened, high, np.maximum(low, _LOWEST_PRICE), close, volume, is_sent, np.ones_like(is_sent))


def ticks(prices: npt.NDArray[np.float64]) -> Grid:
    """Prices as whole ticks, none below the lowest price."""
    return np.maximum(np.rint(prices), _LOWEST_PRICE).astype(np.int64)


def same_day_bars(final: Bars) -> Bars:
    """Kite's bars on the evening of their day: the close is the last trade, and the volume is not complete yet.

    Measured on 2026-07-03, medians: 14 bps from the official close, and 0.9968 of the final volume.
    """
    room_above, room_below = final.high - final.close, final.close - final.low
    most = np.maximum(0.003 * final.close, 1)
    distance = np.clip(np.rint(0.15 * np.maximum(room_above, room_below)), 1, most).astype(np.int64)
    close = final.close + np.where(room_above >= room_below, distance, -distance)
    volume = np.rint(0.9968 * final.volume).astype(np.int64)
    return Bars(final.open, final.high, final.low, close, volume, final.is_sent, final.has_prices)
