"""A simulated market: every series starts at 100.00 and is a random walk, so that nobody takes it for real prices.

The instruments, the sessions, the shape and the hours of the batches are real, and so are the kinds of defects: each
has been seen at a provider. A market of at least ten instruments and a year has all defects; a smaller one has none.
"""

import argparse
import sys
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zlib import crc32

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from extract.errors import ConfigurationError, PipelineError
from extract.landing.archive import Archive
from extract.landing.raw import KITE_DAILY_BARS, YAHOO_CORPORATE_ACTIONS, YAHOO_DAILY_BARS, RawTable
from extract.seeds import (
    EXCHANGE_ZONE,
    Instrument,
    Session,
    last_closed_session,
    listed_instruments,
    trading_holidays,
    trading_sessions,
)

DEFAULT_FIRST = date(2021, 1, 1)
DEFAULT_SEED = 20100104

# The market arrives as one backfill, and then as one run on the evening of each of the last five sessions.
DAILY_RUNS = 5

TICKS_PER_RUPEE = 20
_FIRST_CLOSE = 100 * TICKS_PER_RUPEE
_LOWEST_PRICE = 1 * TICKS_PER_RUPEE
_ROWS_PER_BATCH = 60_000

# The planted defects need one instrument for each role, and a year.
_ROLES = 10
_YEAR_OF_SESSIONS = 240

type _Grid = npt.NDArray[np.int64]
type _Mask = npt.NDArray[np.bool_]


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
class Market:
    """A market that was written.

    Attributes:
        paths: the paths of the batches in the archive, in the order of their runs.
        defects: the planted defects; empty if the market is too small for them.
        bar_count: the number of rows of all batches of bars, of both sources.
    """

    paths: tuple[str, ...]
    defects: tuple[Defect, ...]
    bar_count: int


@dataclass(frozen=True, slots=True)
class Bars:
    """The bars of one source: a row for each instrument, a column for each session.

    Prices are counted in ticks of 0.05 INR, so that they are exact; volume in shares.
    """

    open: _Grid
    high: _Grid
    low: _Grid
    close: _Grid
    volume: _Grid
    is_sent: _Mask
    has_prices: _Mask


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


def write_market(
    archive: Archive,
    *,
    first: date,
    last: date,
    symbols: Sequence[str] | None = None,
    seed: int = DEFAULT_SEED,
) -> Market:
    """Write a simulated market as batches: a backfill, then a run on each of the last five evenings.

    The same arguments give the same batches, so writing them again is not an error. The clean series of an instrument
    depends only on the seed, its symbol and its first session.

    Args:
        archive: where the batches go.
        first: the first day with bars, within the calendar of the seeds.
        last: the last day with bars.
        symbols: which instruments of the seed ``instruments``; None for all.
        seed: of the random walks.

    Raises:
        ValueError: a symbol is unknown, or there are fewer than six sessions.
        PipelineError: the archive cannot be written, or holds another market under the same names.
    """
    draft = draft_market(first=first, last=last, symbols=symbols, seed=seed)
    _plant_last_run(draft)
    paths: list[str] = []
    bar_count = 0
    for table, rows, extracted_at in _runs(draft):
        run_id = f"sim-{extracted_at.astimezone(UTC):%Y%m%dT%H%M%SZ}"
        for part, start in enumerate(range(0, rows.num_rows, _ROWS_PER_BATCH)):
            batch = rows.slice(start, _ROWS_PER_BATCH)
            paths.append(archive.write(table, batch, run_id, part, extracted_at))
            bar_count += batch.num_rows if table is not YAHOO_CORPORATE_ACTIONS else 0
    return Market(tuple(paths), tuple(draft.defects), bar_count)


def draft_market(*, first: date, last: date, symbols: Sequence[str] | None = None, seed: int = DEFAULT_SEED) -> Draft:
    """Make up a market, with the defects in each provider's history; see ``write_market``."""
    sessions = trading_sessions(first, last)
    if len(sessions) <= DAILY_RUNS:
        raise ValueError(f"{first} to {last} holds {len(sessions)} sessions; a market needs {DAILY_RUNS + 1}")
    known = listed_instruments(symbols)
    instruments = [instrument for instrument in known if instrument.listed_on <= sessions[-1].trade_date]
    clean = clean_bars(instruments, sessions, seed)
    draft = Draft(instruments, sessions, clean, deepcopy(clean), deepcopy(clean), np.ones(clean.close.shape))
    _plant(draft)
    return draft


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
    close = _ticks(_FIRST_CLOSE * np.exp(path))
    previous_close = np.concatenate([close[:, :1], close[:, :-1]], axis=1)
    opened = _ticks(previous_close * (1 + np.clip(0.004 * opening_moves, -0.02, 0.02)))
    # At least one tick above open and close, which leaves room for a last trade that differs from the close.
    high = np.ceil(np.maximum(opened, close) * (1.0005 + 0.005 * np.abs(reaches_up))).astype(np.int64)
    low = np.floor(np.minimum(opened, close) * (0.9995 - 0.005 * np.abs(reaches_down))).astype(np.int64)
    usual_volume = np.where([session.is_short for session in sessions], 0.12 * 200_000, 200_000)
    volume = np.rint(usual_volume * np.exp(0.4 * activity)).astype(np.int64)
    return Bars(opened, high, np.maximum(low, _LOWEST_PRICE), close, volume, is_sent, np.ones_like(is_sent))


def _ticks(prices: npt.NDArray[np.float64]) -> _Grid:
    return np.maximum(np.rint(prices), _LOWEST_PRICE).astype(np.int64)


def _veterans(draft: Draft) -> list[int]:
    """The rows of the instruments that are listed all the time; empty if the market is too small for the defects."""
    rows = [row for row in range(len(draft.instruments)) if draft.truth.is_sent[row, 0]]
    return rows if len(rows) >= _ROLES and len(draft.sessions) >= _YEAR_OF_SESSIONS else []


def _plant(draft: Draft) -> None:
    veterans = _veterans(draft)
    if not veterans:
        return
    yahoo_only, kite_only, *served = veterans
    month_start = _month_start(draft.sessions)
    # The other defects are planted either all before the start of that month or all after it, eight sessions apart.
    base = 10 if month_start > 100 else month_start + 10
    places = range(base, base + 80, 8)
    _plant_true_events(draft, served[4:7], places[7:10])
    _plant_absent_sources(draft, yahoo_only, kite_only)
    _plant_absent_bars(draft, yahoo_only, kite_only, veterans[-3:], places[0:2])
    _plant_flat_bars(draft, kite_only, served[0], places[2])
    _plant_wrong_bars(draft, yahoo_only, served[1:4], places[3:7])
    _plant_half_applied_splits(draft, yahoo_only, served[7], month_start)
    _plant_untold_jump(draft, yahoo_only, places[8])
    _plant_placeholders(draft)
    # Planted after the session that Yahoo lacks, because the phantom bar repeats the bar before it.
    _plant_phantom_day(draft, places[1])


def _month_start(sessions: Sequence[Session]) -> int:
    """The first session of a month well inside the backfill: of a January, if there is one."""
    candidates = [
        day
        for day in range(10, len(sessions) - DAILY_RUNS - 10)
        if sessions[day].trade_date.month != sessions[day - 1].trade_date.month
    ]
    return next((day for day in candidates if sessions[day].trade_date.month == 1), candidates[0])


def _plant_true_events(draft: Draft, rows: Sequence[int], days: Sequence[int]) -> None:
    jumped, payer, divided = rows
    jump, ex_dividend, ex_split = days
    for bars in (draft.truth, draft.kite, draft.yahoo):
        factor = 1.4 * bars.close[jumped, jump - 1] / bars.close[jumped, jump]
        for prices in (bars.open, bars.high, bars.low, bars.close):
            prices[jumped, jump:] = _ticks(prices[jumped, jump:] * factor)
    text = "A day of +40 % that is true: both sources show it."
    draft.note(None, "kite", [jumped], jump, text, is_true_jump=True)
    last_close = draft.yahoo.close[payer, ex_dividend - 1] / TICKS_PER_RUPEE
    dividend = round(0.01 * last_close, 2)
    draft.act(payer, ex_dividend, dividend=dividend)
    draft.dividend_factor[payer, :ex_dividend] = 1 - dividend / last_close
    # A split that the provider applied to the whole past leaves no trace in the prices.
    draft.act(divided, ex_split, split_ratio=2.0)
    _plant_late_split(draft, divided, ex_split)


def _plant_absent_sources(draft: Draft, yahoo_only: int, kite_only: int) -> None:
    draft.kite.is_sent[yahoo_only] = False
    draft.note("is_from_primary", "yahoo", [yahoo_only], 0, "Kite does not serve the instrument, on any day.")
    draft.yahoo.is_sent[kite_only] = False
    draft.note(None, "kite", [kite_only], 0, "Yahoo does not serve the instrument, on any day.")


def _plant_absent_bars(
    draft: Draft, yahoo_only: int, kite_only: int, absent: Sequence[int], days: Sequence[int]
) -> None:
    lacking, gap = days
    # Seen for 24 sessions since 2010, among them the ordinary weekdays 2012-10-26, 2019-02-13 and 2019-03-29.
    draft.yahoo.is_sent[:, lacking] = False
    served = [row for row in _true_rows(draft.kite.is_sent[:, lacking]) if row != kite_only]
    draft.note(None, "kite", served, lacking, "Yahoo lacks the session; Kite has it.")
    text = "Yahoo lacks the session, and Kite does not serve the instrument."
    draft.note("is_present", None, [yahoo_only], lacking, text)
    for bars in (draft.kite, draft.yahoo):
        bars.is_sent[absent, gap] = False
    draft.note("is_present", None, absent, gap, "Both sources lack the bar.")


def _plant_flat_bars(draft: Draft, kite_only: int, unserved: int, day: int) -> None:
    # Seen on 2025-03-18 for 95 % of the tickers, and still there 15 months later.
    flat = [
        row
        for row in range(len(draft.instruments))
        if row % 20 != 19 and row != kite_only and draft.yahoo.is_sent[row, day - 1 : day + 1].all()
    ]
    for prices in (draft.yahoo.open, draft.yahoo.high, draft.yahoo.low, draft.yahoo.close):
        prices[flat, day] = draft.yahoo.close[flat, day - 1]
    draft.yahoo.volume[flat, day] = 0
    draft.kite.is_sent[unserved, day] = False
    covered = [row for row in flat if draft.kite.is_sent[row, day]]
    uncovered = [row for row in flat if row not in covered]
    text = "Yahoo shows the close before as a flat bar without volume"
    draft.note(None, "kite", covered, day, f"{text}; Kite has the bar.")
    draft.note("is_traded", "yahoo", uncovered, day, f"{text}; Kite has no bar.")


def _plant_wrong_bars(draft: Draft, yahoo_only: int, rows: Sequence[int], days: Sequence[int]) -> None:
    kite, yahoo = draft.kite, draft.yahoo
    misordered, stale, apart = rows
    kite_order, yahoo_order, repeat, difference = days
    kite.high[misordered, kite_order] = kite.close[misordered, kite_order] - 1
    text = "Kite's high is below its close; Yahoo's is right."
    draft.note("is_from_primary", "yahoo", [misordered], kite_order, text)
    yahoo.high[yahoo_only, yahoo_order] = yahoo.close[yahoo_only, yahoo_order] - 1
    text = "Yahoo's high is below its close; Kite has no bar."
    draft.note("has_highest_high", "yahoo", [yahoo_only], yahoo_order, text)
    for values in (kite.open, kite.high, kite.low, kite.close, kite.volume):
        values[stale, repeat] = values[stale, repeat - 1]
    text = "Kite repeats the bar of the session before; Yahoo's is right."
    draft.note("is_from_primary", "yahoo", [stale], repeat, text)
    close = np.ceil(yahoo.close[apart, difference] * 1.01).astype(np.int64)
    yahoo.close[apart, difference] = close
    yahoo.high[apart, difference] = max(yahoo.high[apart, difference], close)
    text = "Yahoo's close is 1 % above Kite's."
    draft.note("agrees_with_other_source", "kite", [apart], difference, text)


def _plant_half_applied_splits(draft: Draft, yahoo_only: int, served: int, month_start: int) -> None:
    # Seen for MOTILALOFS, CGCL and GPIL: bonuses of 2024 reached back to 2024-01-01 only, even nine months later.
    for row in (yahoo_only, served):
        for prices in (draft.yahoo.open, draft.yahoo.high, draft.yahoo.low, draft.yahoo.close):
            prices[row, :month_start] *= 4
        draft.yahoo.volume[row, :month_start] //= 4
        draft.act(row, month_start + 5, split_ratio=4.0)
    text = "Yahoo applied a 4:1 split only back to the next session, and Kite has no bar: the break is corrected."
    draft.note("has_settled_scale", "yahoo", [yahoo_only], month_start - 1, text)
    for day in (month_start - 2, month_start - 1):
        draft.kite.is_sent[served, day] = False
        text = "Kite has no bar, and Yahoo's is at four times its later scale: the break is corrected."
        draft.note("has_settled_scale", "yahoo", [served], day, text)


def _plant_untold_jump(draft: Draft, yahoo_only: int, day: int) -> None:
    yahoo = draft.yahoo
    for prices in (yahoo.open, yahoo.high, yahoo.low, yahoo.close):
        prices[yahoo_only, day:] = _ticks(prices[yahoo_only, day:] * np.float64(1.7))
    text = "Yahoo's series is 70 % higher from this session on; nobody names a cause, and Kite has no bar."
    draft.note("has_explained_return", "yahoo", [yahoo_only], day, text)


def _plant_late_split(draft: Draft, row: int, ex_split: int) -> None:
    # Seen for HDFCBANK in August 2025.
    for day in range(ex_split - 6, ex_split):
        for prices in (draft.yahoo.open, draft.yahoo.high, draft.yahoo.low, draft.yahoo.close):
            prices[row, day] *= 2
        draft.yahoo.volume[row, day] //= 2
        if day == ex_split - 3:
            draft.kite.is_sent[row, day] = False
            text = (
                "Kite has no bar, and Yahoo's is one of few that stand at twice the scale: the fallback is held back."
            )
            draft.note("is_reconciled", "yahoo", [row], day, text)
        else:
            draft.note(None, "kite", [row], day, "Yahoo has not applied the split yet; Kite has.")


def _plant_placeholders(draft: Draft) -> None:
    # Seen for MAZDOCK and PRIVISCL.
    kite = draft.kite
    first_days = kite.is_sent.argmax(axis=1)
    newcomers = _true_rows((first_days >= 2) & (first_days < len(draft.sessions) - DAILY_RUNS))
    for row in newcomers[:1]:
        for day in range(int(first_days[row]) - 2, int(first_days[row])):
            kite.is_sent[row, day] = True
            for values in (kite.open, kite.high, kite.low, kite.close, kite.volume):
                values[row, day] = 0
            for check_id in ("has_positive_prices", "is_after_listing"):
                draft.note(check_id, "kite", [row], day, "Kite sends zeros for a session before the listing.")


def _plant_phantom_day(draft: Draft, day: int) -> None:
    trade_dates = [session.trade_date for session in draft.sessions]
    holiday = next(
        holiday
        for holiday in trading_holidays()
        if holiday > trade_dates[day] and holiday.weekday() < 5 and holiday not in trade_dates
    )
    draft.phantom_days.append(holiday)
    shown = _true_rows(draft.yahoo.is_sent[:, bisect_left(trade_dates, holiday) - 1])
    symbols = tuple(draft.instruments[row].symbol for row in shown)
    text = "Yahoo shows a flat bar without volume on a holiday."
    draft.defects.append(Defect("is_on_session", "yahoo", symbols, holiday, text))


def _plant_last_run(draft: Draft) -> None:
    veterans = _veterans(draft)
    if not veterans:
        return
    yahoo_only, kite_only, *_ = veterans
    last = len(draft.sessions) - 1
    third = range(2 * len(draft.instruments) // 3, len(draft.instruments))
    draft.unanswered.extend(
        row for row in third if row not in (yahoo_only, kite_only) and draft.kite.is_sent[row, last - 1]
    )
    text = "Kite's token died during the last run: its final bar of the session before did not come."
    draft.note("is_from_primary", "yahoo", draft.unanswered, last - 1, text)
    # Seen on 2026-04-20 for 119 of 125 tickers.
    draft.yahoo.has_prices[draft.unanswered[-1], last] = False
    text = "Yahoo's last row has a volume and no prices; Kite sent no bar."
    draft.note("has_positive_prices", "yahoo", draft.unanswered[-1:], last, text)


def _true_rows(mask: _Mask) -> list[int]:
    return [int(row) for row in np.flatnonzero(mask)]


def _runs(draft: Draft) -> Iterator[tuple[RawTable, pa.Table, datetime]]:
    """What each run received for each raw table, and when."""
    days = np.arange(len(draft.sessions))
    is_past = days < len(days) - DAILY_RUNS
    last_past_day = draft.sessions[-DAILY_RUNS - 1].trade_date
    # Received the next morning, when all closes are official.
    extracted_at = datetime.combine(last_past_day + timedelta(days=1), time(8), EXCHANGE_ZONE)
    yield KITE_DAILY_BARS, _rows(draft, draft.kite, draft.kite.is_sent & is_past), extracted_at
    phantoms = [_phantom_rows(draft, day) for day in draft.phantom_days]
    past = _rows(draft, draft.yahoo, draft.yahoo.is_sent & is_past, np.float32)
    yield YAHOO_DAILY_BARS, pa.concat_tables([past, *phantoms]), extracted_at
    schema = YAHOO_CORPORATE_ACTIONS.provider_columns
    yield YAHOO_CORPORATE_ACTIONS, pa.Table.from_pylist(draft.corporate_actions, schema), extracted_at

    same_day = same_day_bars(draft.kite)
    for day in days[-DAILY_RUNS:]:
        session = draft.sessions[day]
        evening = datetime.combine(session.trade_date, time(18, 30), EXCHANGE_ZONE)
        extracted_at = max(evening, session.closes_at + timedelta(hours=1))
        is_answered = np.ones((len(draft.instruments), 1), dtype=np.bool_)
        if day == days[-1]:
            is_answered[draft.unanswered] = False
        final = _rows(draft, draft.kite, draft.kite.is_sent & is_answered & (days == day - 1))
        provisional = _rows(draft, same_day, same_day.is_sent & is_answered & (days == day))
        yield KITE_DAILY_BARS, pa.concat_tables([final, provisional]), extracted_at
        today = _rows(draft, draft.yahoo, draft.yahoo.is_sent & (days == day), np.float32)
        yield YAHOO_DAILY_BARS, today, extracted_at


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


def _phantom_rows(draft: Draft, day: date) -> pa.Table:
    before = bisect_left([session.trade_date for session in draft.sessions], day) - 1
    is_before = np.arange(len(draft.sessions)) == before
    rows = _rows(draft, draft.yahoo, draft.yahoo.is_sent & is_before, np.float32)
    midnight = datetime.combine(day, time(), EXCHANGE_ZONE)
    columns = dict(zip(rows.column_names, rows.columns, strict=True))
    columns |= dict.fromkeys(("open", "high", "low"), rows["close"])
    columns["volume"] = pa.repeat(pa.scalar(0, pa.int64()), rows.num_rows)
    columns["date"] = pa.repeat(pa.scalar(midnight, rows.schema.field("date").type), rows.num_rows)
    return pa.table(columns)


def _rows(draft: Draft, bars: Bars, is_selected: _Mask, price_type: type[np.floating] = np.float64) -> pa.Table:
    """The selected bars, by instrument and session, in the columns of both providers; prices are in INR."""
    instrument_at, session_at = np.nonzero(is_selected)
    has_no_prices = ~bars.has_prices[is_selected]
    midnights = np.array([s.trade_date for s in draft.sessions], "datetime64[us]") - np.timedelta64(330, "m")

    def prices(ticks: _Grid, factor: npt.NDArray[np.float64] | float = 1.0) -> pa.Array:
        # Yahoo's prices are 32-bit floats: 1892.20 arrives as 1892.199951171875.
        received = (ticks[is_selected] / TICKS_PER_RUPEE * factor).astype(price_type)
        return pa.array(received.astype(np.float64), mask=has_no_prices)

    def of_instrument(values: Iterable[str | int]) -> pa.Array:
        return pa.array(list(values)).take(pa.array(instrument_at))

    listed = draft.instruments
    return pa.table(
        {
            "symbol": of_instrument(instrument.symbol for instrument in listed),
            "ticker": of_instrument(instrument.yahoo_ticker for instrument in listed),
            # Kite's token is 256 times the exchange's token, plus 1 for the NSE. Our instrument_id stands for the
            # exchange's token.
            "instrument_token": of_instrument(256 * instrument.instrument_id + 1 for instrument in listed),
            "date": pa.array(midnights[session_at], pa.timestamp("us", tz="UTC")),
            "open": prices(bars.open),
            "high": prices(bars.high),
            "low": prices(bars.low),
            "close": prices(bars.close),
            "adj_close": prices(bars.close, draft.dividend_factor[is_selected]),
            "volume": pa.array(bars.volume[is_selected]),
        }
    )


def main(arguments: Sequence[str] | None = None, now: datetime | None = None) -> int:
    """Write a simulated market from the command line and say what it is; return the exit status."""
    summary = "Write a market of simulated prices into an archive, as the providers would have sent it."
    parser = argparse.ArgumentParser(prog="python -m infra.local.market", description=summary)
    day = date.fromisoformat
    parser.add_argument("--archive", required=True, metavar="URI", help="an empty folder or gs://bucket/prefix")
    parser.add_argument("--first", type=day, default=DEFAULT_FIRST, help="YYYY-MM-DD (default: %(default)s)")
    parser.add_argument("--last", type=day, help="YYYY-MM-DD (default: the last session that has closed)")
    parser.add_argument("--symbols", metavar="A,B", help="default: all of seeds/instruments.csv")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="of the random walks (default: %(default)s)")
    options = parser.parse_args(arguments)
    last = options.last or last_closed_session(now or datetime.now(UTC))
    symbols = options.symbols.split(",") if options.symbols else None
    try:
        archive = Archive(options.archive)
        market = write_market(archive, first=options.first, last=last, symbols=symbols, seed=options.seed)
    except ValueError as error:
        parser.error(str(error))
    except (ConfigurationError, PipelineError) as error:
        sys.stderr.write(f"market: {error}; another market needs an empty archive\n")
        return 1
    checks = sorted({defect.check_id for defect in market.defects if defect.check_id})
    planted = f"{len(market.defects)} defects are planted, which these checks must find: {', '.join(checks)}."
    sys.stdout.write(
        "These prices are simulated and belong to no real share: every series starts at 100.00 and walks at random.\n"
        f"{options.archive} holds {market.bar_count:,} bars from {options.first} to {last}"
        f" in {len(market.paths)} batches.\n"
        f"{planted if checks else 'No defect is planted: that needs ten instruments and a year.'}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
