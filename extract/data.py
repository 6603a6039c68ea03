"""The warehouse in Python: bars, panels, universes and corporate actions, as Arrow tables.

    from extract.data import bars, wide, universe, actions

    bars("TCS", "2020-01-01").to_pandas()
    polars.from_arrow(wide("close", ["TCS", "INFY"]))

The environment names the warehouse, as for the commands: ``BIGQUERY_PROJECT``, else ``BIGQUERY_EMULATOR_HOST``, else
the embedded one in ``WAREHOUSE_DIR``. The first call opens it, and it stays open until the process ends.

A day is a ``date`` or ``"2024-12-31"``. Symbols are the exchange's, such as ``"TCS"``, in any case. Prices are in
rupees, as float64; ``trading-data export`` gives exact decimals.

Every function raises ``ValueError`` if an argument is not valid, ``ConfigurationError`` if the settings are wrong, and
``PipelineError`` if the warehouse cannot answer.
"""

import atexit
import os
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Literal, get_args

import pyarrow as pa

from extract.analysis.arrow import read
from extract.analysis.panel import wide_panel
from extract.analysis.statements import AS_OF, CURRENT, INSTRUMENTS, MEMBERS
from extract.errors import ConfigurationError, PipelineError
from extract.seeds import EXCHANGE, EXCHANGE_ZONE, preferred_sources
from extract.settings import Settings
from extract.symbols import meant
from extract.warehouse.connection import Warehouse, open_warehouse
from extract.words import did_you_mean

type Day = date | str
type Moment = date | datetime | str
type Column = Literal["open", "high", "low", "close", "adjusted_close", "volume"]

_COLUMNS: tuple[str, ...] = get_args(Column.__value__)

__all__ = ["actions", "bars", "universe", "wide"]


def bars(
    symbols: str | Sequence[str] | None = None,
    start: Day | None = None,
    end: Day | None = None,
    *,
    as_of: Moment | None = None,
    adjusted: bool = True,
) -> pa.Table:
    """Daily bars, one row for each symbol and session, sorted by both.

    Columns: ``symbol``, ``trade_date``, ``open``, ``high``, ``low``, ``close``, ``adjusted_close`` (float64; adjusted
    for later dividends too), ``volume`` (int64, shares), ``source_id``, ``is_provisional``.

    Without ``as_of`` they are the valid bars of ``daily_bars``, as known now. With ``as_of`` they are what this
    database held at that moment: of each bar, the version that the preferred source had sent by then, adjusted by the
    splits, bonuses and dividends that had been reported by then and had their ex-date by that day. Prices are in shares
    of that day, so no later split changes them. Later knowledge is not applied: a bar that a source has corrected since
    has its old price, no check has removed wrong bars, and Kite's prices lack the dividends that Kite had taken out of
    its past by then. One exception: the judgement of a split (whether it is believed, and by which ratio) is today's.

    ``as_of`` goes by the time of receipt: bars that were first fetched in 2026 were not known in 2020. To cut such
    bars off at a day, use ``end``.

    Args:
        symbols: one or several; None for all.
        start: the first day; None for no bound.
        end: the last day; None for no bound.
        as_of: a day, to its end in India, or a time with zone.
        adjusted: in shares of the latest session, or of ``as_of``; if False, ``open`` to ``close`` and ``volume`` are
            in shares of each day, as traded.

    Raises:
        ValueError: a symbol is unknown, the days are reversed, ``as_of`` is in the future, or nothing was known then.
    """
    conditions = _between("trade_date", start, end) + _of_symbols(symbols)
    if as_of is None:
        factor = "1" if adjusted else "share_factor"
        return _read(CURRENT.format(factor=factor, where=_where(conditions)))
    moment, day = _moment(as_of)
    known = _read(
        AS_OF.format(
            where=_where([*conditions, f"trade_date <= date '{day}'"]),
            symbols=_where(_of_symbols(symbols)),
            moment=f"timestamp '{moment.isoformat()}'",
            day=f"date '{day}'",
            exchange=EXCHANGE,
            shares_of="as_of_factors" if adjusted else "day_factors",
            precedence=" ".join(
                f"when source_id = '{source_id}' and is_provisional = {str(is_provisional).lower()} then {number}"
                for number, (source_id, is_provisional) in enumerate(preferred_sources())
            ),
        )
    )
    if not known.num_rows:
        (first,) = _read("select min(known_from) as first from fct_daily_bar_revisions")["first"].to_pylist()
        if first is None or moment < first:
            raise ValueError(
                f"nothing was known here as of {as_of}"
                + (
                    f": the first bar was received on {first.astimezone(EXCHANGE_ZONE).date()}. For earlier days, give"
                    " an end instead of as_of"
                    if first
                    else ""
                )
            )
    return known


def wide(
    column: Column = "close",
    symbols: str | Sequence[str] | None = None,
    start: Day | None = None,
    end: Day | None = None,
    *,
    as_of: Moment | None = None,
    adjusted: bool = True,
) -> pa.Table:
    """A panel: one row for each session, ``trade_date`` first, and one column for each symbol, sorted by name.

    A value is null where a symbol has no bar of the session; the column of a symbol without any bar is all null. The
    other arguments are those of ``bars``.

    Raises:
        ValueError: as in ``bars``; or the column is not one of ``open``, ``high``, ``low``, ``close``,
            ``adjusted_close`` and ``volume``.
    """
    if column not in _COLUMNS:
        raise ValueError(f"a panel cannot be of {column!r}{did_you_mean(str(column), _COLUMNS)}")
    table = bars(symbols, start, end, as_of=as_of, adjusted=adjusted)
    return wide_panel(table.select(["symbol", "trade_date", column]), _chosen(symbols))


def universe(index: str | None = None, as_of: Day | None = None) -> pa.Table:
    """The shares of an index on a day, or the instruments that were listed on it; sorted by symbol.

    With an index (``symbol``, ``instrument_id``, ``isin``, ``company_name``, ``sector``, ``list_date``) they are the
    members by the last imported list up to that day. ``list_date`` is the day of the last list that is known to begin
    or end a membership: shares that joined or left between that list and the day are missed. A member without
    ``instrument_id`` is not among our instruments, and has no bars: a backtest that leaves it out has survivorship
    bias.

    Without an index (``symbol``, ``instrument_id``, ``isin``, ``company_name``, ``sector``, ``listed_on``,
    ``delisted_on``) they are the instruments of the seed: the members of a list of 2025, and those that were added by
    hand. They have survivorship bias: shares that left the exchange earlier are missing. The sector is today's. To
    remove the bias, import the exchange's daily records and its index lists of past days with ``trading-data import``,
    and add a row to the seed for each share that left.

    Args:
        index: as the exchange names it, such as ``"NIFTY 500"``, in any case; None for all instruments.
        as_of: the day; None for today.

    Raises:
        ValueError: there is no list of this index up to that day.
    """
    day = _day(as_of) if as_of is not None else datetime.now(EXCHANGE_ZONE).date()
    if index is None:
        return _read(INSTRUMENTS.format(day=day))
    lists = _read("select index_name, min(seen_from) as first from dim_index_memberships group by index_name")
    first_lists = dict(zip(lists["index_name"].to_pylist(), lists["first"].to_pylist(), strict=True))
    name = next((known for known in first_lists if known.casefold() == index.strip().casefold()), None)
    if name is None:
        told = (
            did_you_mean(index, first_lists) or f"; there are {', '.join(sorted(first_lists)) or 'none: import some'}"
        )
        raise ValueError(f"there is no list of the index {index}{told}")
    if day < first_lists[name]:
        raise ValueError(f"the first list of {name} is of {first_lists[name]}, and {day} lies before")
    return _read(MEMBERS.format(name=name.replace("\\", "\\\\").replace("'", "\\'"), day=day))


def actions(
    symbols: str | Sequence[str] | None = None,
    start: Day | None = None,
    end: Day | None = None,
    *,
    as_of: Moment | None = None,
) -> pa.Table:
    """Corporate actions with their evidence, one row for each symbol, kind and ex-date, sorted by them.

    The columns are those of ``fct_corporate_actions``; ``trading-data describe fct_corporate_actions`` lists them.
    ``dividend_amount`` is an exact decimal.

    Args:
        symbols: one or several; None for all.
        start: the first ex-date; None for no bound.
        end: the last ex-date; None for no bound.
        as_of: only actions that had their ex-date by that day, and were known here by then.

    Raises:
        ValueError: a symbol is unknown, the days are reversed, or ``as_of`` is in the future.
    """
    conditions = _between("ex_date", start, end) + _of_symbols(symbols)
    if as_of is not None:
        moment, day = _moment(as_of)
        conditions += [f"ex_date <= date '{day}'", f"known_from <= timestamp '{moment.isoformat()}'"]
    return _read(f"select * from fct_corporate_actions{_where(conditions)} order by symbol, ex_date, kind")


def _read(sql: str) -> pa.Table:
    settings = Settings.from_environment(os.environ, only_queries=True)
    try:
        return read(_warehouse(settings), sql)
    except PipelineError:
        # The next call opens a new connection.
        _warehouse.cache_clear()
        raise


@cache
def _warehouse(settings: Settings) -> Warehouse:
    """The warehouse, open until the process ends."""
    leave = ExitStack()
    warehouse = leave.enter_context(open_warehouse(settings))
    atexit.register(leave.close)
    return warehouse


def _where(conditions: Sequence[str]) -> str:
    return f"\nwhere {' and '.join(conditions)}" if conditions else ""


def _of_symbols(symbols: str | Sequence[str] | None) -> list[str]:
    chosen = _chosen(symbols)
    # The symbols come from our seed, and contain no quotes.
    return [] if chosen is None else [f"symbol in ({', '.join(repr(symbol) for symbol in chosen)})"]


def _chosen(symbols: str | Sequence[str] | None) -> list[str] | None:
    if symbols is None:
        return None
    try:
        wanted = symbols if isinstance(symbols, str) else ",".join(symbols)
    except TypeError:
        raise ValueError(f"{symbols!r} is neither a symbol nor a list of symbols") from None
    if not wanted:
        raise ValueError("the list of symbols is empty; leave it out for all")
    try:
        return [instrument.symbol for instrument in meant(wanted).instruments]
    except ConfigurationError as error:
        raise ValueError(str(error)) from error


def _between(column: str, start: Day | None, end: Day | None) -> list[str]:
    first, last = (None if day is None else _day(day) for day in (start, end))
    if first and last and last < first:
        raise ValueError(f"start {first} lies after end {last}; swap them")
    bounds = ((">=", first), ("<=", last))
    return [f"{column} {sign} date '{day}'" for sign, day in bounds if day]


def _day(day: Day) -> date:
    if isinstance(day, datetime):
        raise ValueError(f"{day!r} is a moment; give a date")  # noqa: TRY004 What is wrong with arguments is one kind.
    try:
        return day if isinstance(day, date) else date.fromisoformat(day)
    except (TypeError, ValueError):
        raise ValueError(f"{day!r} is not a day; write 2024-12-31") from None


def _moment(as_of: Moment) -> tuple[datetime, date]:
    """A moment, and the exchange's date of it; for a day, its end."""
    if isinstance(as_of, datetime):
        if as_of.tzinfo is None:
            raise ValueError(f"as_of {as_of} has no zone; give it one, or give a date")
        begin = moment = as_of.astimezone(EXCHANGE_ZONE)
    else:
        begin = datetime.combine(_day(as_of), time(), EXCHANGE_ZONE)
        moment = begin + timedelta(days=1) - timedelta(microseconds=1)
    if begin > datetime.now(UTC):
        raise ValueError(f"as_of {as_of} lies in the future; what will be known then is not known yet")
    return moment.astimezone(UTC), moment.date()
