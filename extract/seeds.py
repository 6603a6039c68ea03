"""The seeds that the extractor reads too: which sources, instruments and days to ask for. dbt reads the same files."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from extract.errors import ConfigurationError
from extract.seed_rows import day_of, number_of, read_seed
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

# No known session has ended later. It is assumed where the hours of a session are not documented.
LATEST_CLOSE = time(19, 30)

_PROJECT_FILE = PROJECT_DIR / "dbt_project.yml"
_CALENDAR_END = re.compile(r'^ +calendar_end: *"?(\d{4}-\d{2}-\d{2})"? *$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Instrument:
    """A row of the seed ``instruments``: the columns that requests to the providers need.

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
    """By instrument, its former NSE symbols, each with the last day on which no other share can have that symbol."""
    found: dict[int, dict[str, date]] = {}
    for instrument_id, kind, identifier, last_used_on in read_seed("former_identifiers", _former_identifier):
        if kind == "symbol":
            found.setdefault(instrument_id, {})[identifier] = last_used_on
    return found


def share_code(isin: str) -> str:
    """The first nine characters, which a share keeps through splits; the last three change."""
    return isin[:9]


def share_codes() -> dict[str, int]:
    """By share code, of the current ISIN and of former ones, the instrument."""
    former = read_seed("former_identifiers", _former_identifier)
    found = {share_code(isin): instrument_id for instrument_id, kind, isin, _ in former if kind == "isin"}
    return found | dict(
        read_seed("instruments", lambda row: (share_code(row["isin"]), number_of(row, "instrument_id")))
    )


@dataclass(frozen=True, slots=True)
class Session:
    """A session of the exchange."""

    trade_date: date
    closes_at: datetime
    is_short: bool


@dataclass(frozen=True, slots=True)
class HolidayList:
    """The exchange's list of the holidays of one year.

    Attributes:
        as_of: the day of the list.
        closed_on: the days without trading, weekends included.
    """

    as_of: date
    closed_on: frozenset[date]


@dataclass(frozen=True, slots=True)
class Announcements:
    """What the exchange has announced about its sessions, in addition to the seeds: the files that a person imported.

    Attributes:
        holiday_lists: the latest list of each year.
        special_sessions: by trade date, when the session closes (IST), and whether it is short.
    """

    holiday_lists: Mapping[int, HolidayList] = field(default_factory=dict)
    special_sessions: Mapping[date, tuple[time, bool]] = field(default_factory=dict)


_NOTHING = Announcements()


def listed_instruments(symbols: Sequence[str] | None = None) -> list[Instrument]:
    """The instruments of these symbols, or all, in the order of the seed.

    Raises:
        ValueError: a symbol is not in the seed.
        ConfigurationError: the seed cannot be read.
    """
    instruments = read_seed("instruments", _instrument)
    if symbols is None:
        return instruments
    if unknown := set(symbols) - {instrument.symbol for instrument in instruments}:
        raise ValueError(f"{', '.join(sorted(unknown))}: not in seeds/instruments.csv")
    return [instrument for instrument in instruments if instrument.symbol in symbols]


def instrument_names() -> dict[str, str]:
    """By symbol, the name of the company."""
    return dict(read_seed("instruments", lambda row: (row["symbol"], row["name"])))


def source_order() -> list[str]:
    """The sources that are asked for bars, the first choice first; not the exchange, whose files a person downloads."""
    return list(dict.fromkeys(source_id for source_id, _ in preferred_sources() if source_id != EXCHANGE))


def preferred_sources() -> list[tuple[str, bool]]:
    """The order of preference of bars: source and whether the bar is provisional, the first choice first.

    The exchange's record is among them.
    """
    rows = read_seed(
        "source_precedence",
        lambda row: (number_of(row, "precedence"), row["source_id"], row["is_provisional"] == "true"),
    )
    return [(source_id, is_provisional) for _, source_id, is_provisional in sorted(rows)]


def trading_holidays() -> list[date]:
    """The weekdays on which the exchange was or will be closed, sorted."""
    return sorted(read_seed("trading_holidays", lambda row: day_of(row, "closed_on")))


def calendar_end() -> date:
    """The last day for which the seeds say whether it is a session: ``calendar_end`` of dbt_project.yml.

    Raises:
        ConfigurationError: the file has no such day.
    """
    found = _CALENDAR_END.search(_PROJECT_FILE.read_text(encoding="utf-8"))
    try:
        return date.fromisoformat(found[1]) if found else _no_calendar_end()
    except ValueError:
        return _no_calendar_end()


def _no_calendar_end() -> date:
    raise ConfigurationError('dbt_project.yml has no day as calendar_end; write calendar_end: "2026-12-31"') from None


def calendar_ends_on(announced: Announcements = _NOTHING) -> date:
    """The last day for which it is known whether it is a session; weekdays after it are assumed to be sessions."""
    return max([calendar_end(), *(date(year, 12, 31) for year in announced.holiday_lists)])


def trading_sessions(first: date, last: date, announced: Announcements = _NOTHING) -> list[Session]:
    """The sessions from ``first`` to ``last``, both included; the model dim_trading_sessions says the same.

    The holidays of a year are those of its list, and those holidays of the seeds that the list lacks and that lie
    before the day of the list. In a year that neither covers, each weekday is assumed to be a session.

    Args:
        first: a trade date.
        last: a trade date.
        announced: what was announced in addition to the seeds.
    """
    holidays = frozenset(trading_holidays())
    special = dict(read_seed("special_sessions", _special_session)) | dict(announced.special_sessions)
    sessions = []
    for ordinal in range(first.toordinal(), last.toordinal() + 1):
        day = date.fromordinal(ordinal)
        if day in special or (day.weekday() < 5 and not _is_closed(day, holidays, announced)):
            closes_at, is_short = special.get(day, (time(15, 30), False))
            sessions.append(Session(day, datetime.combine(day, closes_at, EXCHANGE_ZONE), is_short))
    return sessions


def _is_closed(day: date, holidays: frozenset[date], announced: Announcements) -> bool:
    of_year = announced.holiday_lists.get(day.year)
    if of_year is None:
        return day in holidays
    # A list that was published during the year may leave out the closures before its day; the seeds have them.
    return day in of_year.closed_on or (day in holidays and day < of_year.as_of)


def last_closed_session(now: datetime, announced: Announcements = _NOTHING) -> date:
    """The trade date of the last session that had closed by ``now``, a time with zone."""
    day = now.astimezone(EXCHANGE_ZONE).date()
    sessions = trading_sessions(day - _LONGEST_CLOSURE, day, announced)
    return max(session.trade_date for session in sessions if session.closes_at <= now)


def exchange_date(moment: datetime | date) -> date:
    """The exchange's date at a moment, a time with zone; a date stays as it is."""
    return moment.astimezone(EXCHANGE_ZONE).date() if isinstance(moment, datetime) else moment


def final_through(received_at: datetime) -> date:
    """The last trade date whose bar is final if received at this time, with zone; see the macro is_provisional."""
    return (received_at.astimezone(EXCHANGE_ZONE) - timedelta(days=1, hours=FINAL_HOUR)).date()


def _instrument(row: dict[str, str]) -> Instrument:
    return Instrument(
        number_of(row, "instrument_id"),
        row["symbol"],
        row["kite_tradingsymbol"],
        row["yahoo_ticker"],
        row["alpha_vantage_ticker"],
        day_of(row, "listed_on", empty=date(1900, 1, 1)),
        day_of(row, "delisted_on", empty=date(9999, 12, 31)),
    )


def _former_identifier(row: dict[str, str]) -> tuple[int, str, str, date]:
    last_used_on = day_of(row, "last_used_on", empty=date(9999, 12, 31))
    return number_of(row, "instrument_id"), row["kind"], row["identifier"], last_used_on


def _special_session(row: dict[str, str]) -> tuple[date, tuple[time, bool]]:
    text = row["closes_at_ist"] or LATEST_CLOSE.isoformat()
    try:
        closes_at = time.fromisoformat(text)
    except ValueError:
        raise ValueError(f"closes_at_ist is {text!r}; write 15:30:00") from None
    return day_of(row, "trade_date"), (closes_at, row["is_short"] == "true")
