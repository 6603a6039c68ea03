"""The seeds that the extractor reads itself: whom to ask, for what, and for which days. dbt reads the same files."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from extract.settings import PROJECT_DIR

EXCHANGE_ZONE = ZoneInfo("Asia/Kolkata")

# From this hour on, IST, the providers serve the exchange's official close of the day before.
FINAL_HOUR = 8

# No closure of the exchange is longer than a month.
_LONGEST_CLOSURE = timedelta(days=31)


@dataclass(frozen=True, slots=True)
class Instrument:
    """A row of the seed ``instruments``, in what the providers are asked by.

    Attributes:
        instrument_id: stable through renames.
        symbol: the current NSE symbol.
        kite_tradingsymbol: its name in Kite's instruments dump, with a series suffix where it has one.
        yahoo_ticker: its name at Yahoo.
        alpha_vantage_ticker: its name at Alpha Vantage, on the BSE.
        listed_on: its first session; 1900-01-01 where that was before 2010.
        delisted_on: its last session; 9999-12-31 while it is listed.
    """

    instrument_id: int
    symbol: str
    kite_tradingsymbol: str
    yahoo_ticker: str
    alpha_vantage_ticker: str
    listed_on: date
    delisted_on: date

    def is_listed(self, day: date) -> bool:
        """Whether it has a bar of this session."""
        return self.listed_on <= day <= self.delisted_on


def former_symbols(instrument_id: int, day: date) -> set[str]:
    """The NSE symbols that an instrument had before, and that nobody else may bear on a day; see the seed."""
    return {
        row["identifier"]
        for row in _seed("former_identifiers")
        if int(row["instrument_id"]) == instrument_id
        and row["kind"] == "symbol"
        and day <= date.fromisoformat(row["last_used_on"] or "9999-12-31")
    }


@dataclass(frozen=True, slots=True)
class Session:
    """A session of the exchange, of the seeds ``trading_holidays`` and ``special_sessions``."""

    trade_date: date
    closes_at: datetime
    is_short: bool


def listed_instruments(symbols: Sequence[str] | None = None) -> list[Instrument]:
    """The instruments of these symbols, or all, in the order of the seed.

    Raises:
        ValueError: a symbol is not in the seed.
    """
    instruments = [
        Instrument(
            int(row["instrument_id"]),
            row["symbol"],
            row["kite_tradingsymbol"],
            row["yahoo_ticker"],
            row["alpha_vantage_ticker"],
            date.fromisoformat(row["listed_on"] or "1900-01-01"),
            date.fromisoformat(row["delisted_on"] or "9999-12-31"),
        )
        for row in _seed("instruments")
    ]
    if symbols is None:
        return instruments
    if unknown := set(symbols) - {instrument.symbol for instrument in instruments}:
        raise ValueError(f"{', '.join(sorted(unknown))}: not in seeds/instruments.csv")
    return [instrument for instrument in instruments if instrument.symbol in symbols]


def source_order() -> list[str]:
    """The sources of bars, the first choice first."""
    rows = sorted(_seed("source_precedence"), key=lambda row: int(row["precedence"]))
    return list(dict.fromkeys(row["source_id"] for row in rows))


def trading_holidays() -> list[date]:
    """The weekdays on which the exchange was or will be closed, sorted."""
    return sorted(date.fromisoformat(row["closed_on"]) for row in _seed("trading_holidays"))


def trading_sessions(first: date, last: date) -> list[Session]:
    """The sessions from ``first`` to ``last``, both included, of the years whose holidays are known."""
    holidays = trading_holidays()
    end = min(last, date(max(holidays).year, 12, 31))
    special = {
        date.fromisoformat(row["trade_date"]): (row["closes_at_ist"], row["is_short"] == "true")
        for row in _seed("special_sessions")
    }
    sessions = []
    for ordinal in range(first.toordinal(), end.toordinal() + 1):
        day = date.fromordinal(ordinal)
        if day in special or (day.weekday() < 5 and day not in holidays):
            closes_at, is_short = special.get(day, ("15:30:00", False))
            # Where the hours are not documented, the latest end of any session, as in dim_trading_sessions.
            closing = datetime.combine(day, time.fromisoformat(closes_at or "19:30:00"), EXCHANGE_ZONE)
            sessions.append(Session(day, closing, is_short))
    return sessions


def last_closed_session(now: datetime) -> date:
    """The trade date of the last session that had closed by ``now``, a time with zone.

    Raises:
        ValueError: the calendar in the seeds ended more than a month before.
    """
    day = now.astimezone(EXCHANGE_ZONE).date()
    closed = [s.trade_date for s in trading_sessions(day - _LONGEST_CLOSURE, day) if s.closes_at <= now]
    if not closed:
        raise ValueError(f"the trading calendar knows no session before {day}; infra/README.md says how to extend it")
    return max(closed)


def exchange_date(moment: datetime | date) -> date:
    """The exchange's date at a moment, a time with zone; a date stays as it is."""
    return moment.astimezone(EXCHANGE_ZONE).date() if isinstance(moment, datetime) else moment


def final_through(received_at: datetime) -> date:
    """The last trade date of which a bar received at this time, with zone, is final; see the macro is_provisional."""
    return (received_at.astimezone(EXCHANGE_ZONE) - timedelta(days=1, hours=FINAL_HOUR)).date()


def _seed(name: str) -> list[dict[str, str]]:
    with (PROJECT_DIR / "seeds" / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))
