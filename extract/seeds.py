"""The seeds that the extractor reads itself: whom to ask, for what, and for which days. dbt reads the same files."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from extract.errors import ConfigurationError
from extract.settings import PROJECT_DIR

EXCHANGE_ZONE = ZoneInfo("Asia/Kolkata")

# The time, with zone.
type Clock = Callable[[], datetime]

# The source whose bars are the exchange's own record.
EXCHANGE = "nse"

# As far back as the trading calendar goes.
FIRST_DAY = date(2010, 1, 1)

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


def former_symbols() -> dict[int, dict[str, date]]:
    """By instrument, the NSE symbols that it had before, each with the last day on which nobody else may bear it."""
    found: dict[int, dict[str, date]] = {}
    for instrument_id, kind, identifier, last_used_on in _seed("former_identifiers", _former_identifier):
        if kind == "symbol":
            found.setdefault(instrument_id, {})[identifier] = last_used_on
    return found


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
        ConfigurationError: the seed cannot be read.
    """
    instruments = _seed("instruments", _instrument)
    if symbols is None:
        return instruments
    if unknown := set(symbols) - {instrument.symbol for instrument in instruments}:
        raise ValueError(f"{', '.join(sorted(unknown))}: not in seeds/instruments.csv")
    return [instrument for instrument in instruments if instrument.symbol in symbols]


def instrument_names() -> dict[str, str]:
    """By symbol, the name of the company."""
    return dict(_seed("instruments", lambda row: (row["symbol"], row["name"])))


def source_order() -> list[str]:
    """The sources that are asked for bars, the first choice first: not the exchange, whose files a person downloads."""
    rows = sorted(_seed("source_precedence", lambda row: (_number(row, "precedence"), row["source_id"])))
    return list(dict.fromkeys(source_id for _, source_id in rows if source_id != EXCHANGE))


def trading_holidays() -> list[date]:
    """The weekdays on which the exchange was or will be closed, sorted."""
    return sorted(_seed("trading_holidays", lambda row: _day(row, "closed_on")))


def trading_sessions(first: date, last: date) -> list[Session]:
    """The sessions from ``first`` to ``last``, both included, of the years whose holidays are known."""
    holidays = trading_holidays()
    end = min(last, date(max(holidays).year, 12, 31))
    special = dict(_seed("special_sessions", _special_session))
    sessions = []
    for ordinal in range(first.toordinal(), end.toordinal() + 1):
        day = date.fromordinal(ordinal)
        if day in special or (day.weekday() < 5 and day not in holidays):
            closes_at, is_short = special.get(day, (time(15, 30), False))
            sessions.append(Session(day, datetime.combine(day, closes_at, EXCHANGE_ZONE), is_short))
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


def _seed[T](name: str, read: Callable[[dict[str, str]], T]) -> list[T]:
    """Each row of a seed, read.

    Raises:
        ConfigurationError: the file, or a value in it, is not as dbt needs it: a spreadsheet has changed it.
    """
    path = PROJECT_DIR / "seeds" / f"{name}.csv"
    rows: list[T] = []
    try:
        # With the mark that spreadsheets put before the first column, or without.
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.DictReader(file, restval="")
            rows += (read(_filled(row)) for row in lines)
    except KeyError as missing:
        raise ConfigurationError(
            f"seeds/{name}.csv has no column {missing.args[0]}; save it as CSV in UTF-8, with commas between the values"
        ) from missing
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"seeds/{name}.csv is not in UTF-8; save it as CSV in UTF-8") from error
    except (ValueError, csv.Error) as error:
        raise ConfigurationError(f"seeds/{name}.csv, line {lines.line_num}: {error}") from error
    except OSError as error:
        raise ConfigurationError(f"seeds/{name}.csv cannot be read: {error.strerror or error}") from error
    return rows


def _filled(row: dict[str, str]) -> dict[str, str]:
    if not any(row.values()):
        raise ValueError("the row is empty; delete it")
    return row


def _instrument(row: dict[str, str]) -> Instrument:
    return Instrument(
        _number(row, "instrument_id"),
        row["symbol"],
        row["kite_tradingsymbol"],
        row["yahoo_ticker"],
        row["alpha_vantage_ticker"],
        _day(row, "listed_on", empty=date(1900, 1, 1)),
        _day(row, "delisted_on", empty=date(9999, 12, 31)),
    )


def _former_identifier(row: dict[str, str]) -> tuple[int, str, str, date]:
    last_used_on = _day(row, "last_used_on", empty=date(9999, 12, 31))
    return _number(row, "instrument_id"), row["kind"], row["identifier"], last_used_on


def _special_session(row: dict[str, str]) -> tuple[date, tuple[time, bool]]:
    # Where the hours are not documented, the latest end of any session, as in dim_trading_sessions.
    text = row["closes_at_ist"] or "19:30:00"
    try:
        closes_at = time.fromisoformat(text)
    except ValueError:
        raise ValueError(f"closes_at_ist is {text!r}; write 15:30:00") from None
    return _day(row, "trade_date"), (closes_at, row["is_short"] == "true")


def _day(row: dict[str, str], column: str, empty: date | None = None) -> date:
    if empty and not row[column]:
        return empty
    try:
        return date.fromisoformat(row[column])
    except ValueError:
        raise ValueError(f"{column} is {row[column]!r}; write it as 2024-12-31") from None


def _number(row: dict[str, str], column: str) -> int:
    try:
        return int(row[column])
    except ValueError:
        raise ValueError(f"{column} is {row[column]!r}, and no whole number") from None
