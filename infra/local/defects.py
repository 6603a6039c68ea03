"""The defects that a simulated market is given: each has been seen at a provider."""

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np

from extract.seeds import Session, trading_holidays
from infra.local.series import DAILY_RUNS, TICKS_PER_RUPEE, Defect, Draft, Mask, ticks

# Defects are planted only in a market with so many old instruments, one for each kind of defect, and so many sessions.
_ROLES = 10
_YEAR_OF_SESSIONS = 240

# So many sessions before the end, a gap and a difference of the sources are planted once more: late enough for what
# looks at the last two months, such as the page, and before the last ten days, of which alerts tell.
_RECENT = 25


def _veterans(draft: Draft) -> list[int]:
    """The rows of the instruments that are listed all the time; empty if the market is too small for the defects."""
    rows = [row for row in range(len(draft.instruments)) if draft.truth.is_sent[row, 0]]
    return rows if len(rows) >= _ROLES and len(draft.sessions) >= _YEAR_OF_SESSIONS else []


def plant(draft: Draft) -> None:
    """Plant the defects of each provider's history, if the market is large enough for them."""
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
    _plant_absent_session(draft, yahoo_only, kite_only, places[0])
    _plant_gap(draft, veterans[-3:], places[1])
    _plant_flat_bars(draft, kite_only, served[0], places[2])
    _plant_wrong_bars(draft, yahoo_only, served[1:3], places[3:6])
    _plant_difference(draft, served[3], places[6])
    _plant_half_applied_splits(draft, yahoo_only, served[7], month_start)
    _plant_untold_jump(draft, yahoo_only, places[8])
    late = len(draft.sessions) - _RECENT
    _plant_gap(draft, served[0:1], late)
    _plant_difference(draft, served[3], late)
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
            prices[jumped, jump:] = ticks(prices[jumped, jump:] * factor)
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


def _plant_absent_session(draft: Draft, yahoo_only: int, kite_only: int, lacking: int) -> None:
    # Seen for 24 sessions since 2010, among them the ordinary weekdays 2012-10-26, 2019-02-13 and 2019-03-29.
    draft.yahoo.is_sent[:, lacking] = False
    served = [row for row in _true_rows(draft.kite.is_sent[:, lacking]) if row != kite_only]
    draft.note(None, "kite", served, lacking, "Yahoo lacks the session; Kite has it.")
    text = "Yahoo lacks the session, and Kite does not serve the instrument."
    draft.note("is_present", None, [yahoo_only], lacking, text)


def _plant_gap(draft: Draft, absent: Sequence[int], gap: int) -> None:
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
    misordered, stale = rows
    kite_order, yahoo_order, repeat = days
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


def _plant_difference(draft: Draft, apart: int, difference: int) -> None:
    yahoo = draft.yahoo
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
        prices[yahoo_only, day:] = ticks(prices[yahoo_only, day:] * np.float64(1.7))
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


def plant_last_run(draft: Draft) -> None:
    """Plant the defects of the last run, in which Kite's token died."""
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


def _true_rows(mask: Mask) -> list[int]:
    return [int(row) for row in np.flatnonzero(mask)]
