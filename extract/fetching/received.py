"""What raw already holds: the only record of what was requested, received and is missing. There is no state file."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import structlog
from google.cloud import bigquery

from extract.landing.raw import EXTRACT_REQUESTS, KITE_INSTRUMENTS
from extract.landing.raw_table import RawTable
from extract.seeds import EXCHANGE_ZONE, FINAL_HOUR, exchange_date, final_through
from extract.warehouse.connection import Warehouse

_log = structlog.get_logger()

# A provisional bar is asked for again when it is older than this.
_FRESH = timedelta(hours=2)

# The last trade date whose bar is final if received at a time, in SQL; ``final_through`` is the same in Python.
FINAL_THROUGH = f"date_sub(date(timestamp_sub({{time}}, interval {FINAL_HOUR} hour), 'Asia/Kolkata'), interval 1 day)"

# Prices have four decimals at most; the rounding is the same arithmetic in SQL and in Python.
_SCALE = 10_000

# An answer that lacks more bars than this many, and more than this share of those that it has, is taken to be short.
_FEW_WITHDRAWN = 5
_SHARE_WITHDRAWN = 0.02

# The lengths of a day in a digest (YYYYMMDD), and of the part of its md5 that is kept: two versions of a bar share that
# part once in 10^12.
_DAY_LENGTH, _DIGEST_LENGTH = 8, 10


def symbols_with_bar(warehouse: Warehouse, table: RawTable, trade_date: date, now: datetime) -> set[str]:
    """The symbols whose bar of this session need not be asked for: it is final, or provisional and fresh."""
    # Once the providers have the final bar, no provisional bar is fresh enough.
    fresh_since = now - _FRESH if final_through(now) < trade_date else now
    # No bar is received before its day, so older partitions cannot hold it.
    rows = warehouse.query(
        f"""
        select distinct symbol
        from `{warehouse.raw}.{table.name}`
        where _extracted_at >= timestamp('{trade_date}')
            and date(date, 'Asia/Kolkata') = '{trade_date}'
            and close > 0
            and (
                {FINAL_THROUGH.format(time="_extracted_at")} >= '{trade_date}'
                or _extracted_at >= timestamp('{fresh_since.isoformat()}')
            )
        """
    )
    return {row["symbol"] for row in rows}


def has_instruments_of(warehouse: Warehouse, day: date) -> bool:
    """Whether raw holds Kite's instruments dump of a day."""
    start = datetime.combine(day, datetime.min.time(), EXCHANGE_ZONE)
    rows = warehouse.query(
        f"""
        select 1 as one
        from `{warehouse.raw}.{KITE_INSTRUMENTS.name}`
        where _extracted_at >= timestamp('{start.isoformat()}')
        limit 1
        """
    )
    return bool(list(rows))


def answered_ranges(warehouse: Warehouse, table: RawTable) -> dict[str, list[tuple[date, date]]]:
    """The ranges of trade dates for which a provider has answered, by symbol, sorted by their first days.

    A day whose bar was provisional is not included. For sessions that the answers lacked, see
    ``extract.fetching.holes``.
    """
    rows = warehouse.query(
        f"""
        select
            symbol,
            asked_from,
            max(least(asked_to, {FINAL_THROUGH.format(time="requested_at")})) as asked_to
        from `{warehouse.raw}.{EXTRACT_REQUESTS.name}`
        where raw_table = '{table.name}' and outcome in ('ok', 'empty') and symbol is not null
        group by symbol, asked_from
        """
    )
    ranges = defaultdict(list)
    for row in rows:
        ranges[row["symbol"]].append((row["asked_from"], row["asked_to"]))
    return {symbol: sorted(of_symbol) for symbol, of_symbol in ranges.items()}


def attempts_of_last_day(warehouse: Warehouse, source_id: str, now: datetime) -> int:
    """How many requests a provider was sent in the last 24 hours."""
    since = (now - timedelta(days=1)).isoformat()
    (row,) = warehouse.query(
        f"""
        select coalesce(sum(attempts), 0) as attempts
        from `{warehouse.raw}.{EXTRACT_REQUESTS.name}`
        where source_id = '{source_id}' and requested_at >= timestamp('{since}')
            and _extracted_at >= timestamp('{since}')
        """
    )
    return int(row["attempts"])


def open_disputes(warehouse: Warehouse) -> dict[str, date]:
    """The symbols with sessions for which a third opinion is still to be requested, each with the oldest of them.

    The symbol with the latest dispute comes first. Empty without marts.
    """
    view = f"{warehouse.dataset}_quality.quality_disputes"
    if not warehouse.exists(view):
        return {}
    rows = warehouse.query(
        f"""
        select symbol, min(trade_date) as oldest
        from `{warehouse.client.project}.{view}`
        where verdict = 'open' and not is_asked
        group by symbol
        order by max(trade_date) desc, symbol
        """
    )
    return {row["symbol"]: row["oldest"] for row in rows}


def restated_histories(warehouse: Warehouse) -> dict[tuple[str, str], tuple[date, date]]:
    """The first and last month that a provider has rewritten and not been asked for since, by source and symbol.

    Empty without marts.
    """
    view = f"{warehouse.dataset}_operations.operations_refetches"
    if not warehouse.exists(view):
        return {}
    rows = warehouse.query(
        f"""
        select source_id, symbol, first_month, last_month
        from `{warehouse.client.project}.{view}`
        order by source_id, symbol
        """
    )
    return {(row["source_id"], row["symbol"]): (row["first_month"], row["last_month"]) for row in rows}


class Received:
    """Digests of the rows that raw holds of one table, by symbol and day, so that the same row is not landed again.

    If a digest differs without need, the day is landed once more, which is harmless: dbt keeps the freshest version.
    """

    def __init__(self, table: RawTable, digests: dict[str, dict[str, str]]) -> None:
        """Keep the digests, by symbol and day (YYYYMMDD)."""
        self._table = table
        self._digests = digests
        # Those of rows without values: what was withdrawn before is not withdrawn again.
        self._withdrawn = {_digest([None] * len(table.values), end) for end in ("final", "provisional")}

    @classmethod
    def read(
        cls, warehouse: Warehouse, table: RawTable, symbols: Collection[str], first: date, last: date
    ) -> "Received":
        """Read the digests of the symbols' latest versions, for trade dates from ``first`` to ``last``."""
        kinds = {field.name: field.type for field in table.schema}
        day = "date" if kinds["date"] == pa.date32() else "date(date, 'Asia/Kolkata')"
        values = ", ',', ".join(_as_text(name, kinds[name]) for name in table.values)
        asked = bigquery.ArrayQueryParameter("symbols", "STRING", sorted(symbols))
        rows = warehouse.query(
            f"""
            with

            latest as (

                select *, {day} as day
                from `{warehouse.raw}.{table.name}`
                where symbol in unnest(@symbols) and {day} between '{first}' and '{last}'
                    -- No bar is received before its day: older partitions are not read.
                    and _extracted_at >= timestamp('{first}')
                qualify row_number() over (partition by symbol, {day} order by _extracted_at desc) = 1

            ),

            described as (

                select
                    symbol,
                    day,
                    concat(
                        {values}, ',',
                        if({FINAL_THROUGH.format(time="_extracted_at")} >= day, 'final', 'provisional')
                    ) as line
                from latest

            )

            -- A row for each symbol: the days apart would be hundreds of thousands.
            select
                symbol,
                string_agg(
                    concat(format_date('%Y%m%d', day), substr(to_hex(md5(line)), 1, {_DIGEST_LENGTH})), ''
                ) as digests
            from described
            group by symbol
            """,
            [asked],
        )
        return cls(table, {row["symbol"]: _by_day(row["digests"]) for row in rows})

    @property
    def day_count(self) -> int:
        """The number of bars (symbol and day) that raw already holds of what is asked for."""
        return sum(map(len, self._digests.values()))

    def new_rows(self, rows: pa.Table, extracted_at: datetime, unread: Collection[date | None] = ()) -> pa.Table:
        """The rows of one answer for whose days raw holds other values, or none; and the withdrawals.

        A withdrawal is a row without values for a day that raw holds and the answer lacks, between its first and its
        last day.

        Args:
            rows: the answer, in the provider's columns.
            extracted_at: when the provider answered.
            unread: the days of bars that it sent too and that could not be read, which withdraws none of them; None for
                a day that could not be read, so that the answer withdraws nothing.
        """
        if self._digests.keys().isdisjoint(pc.unique(rows["symbol"]).to_pylist()):
            # Raw holds none of these symbols, as in a backfill: skip the comparison of each row, which would take
            # processor time from the threads that fetch.
            return rows
        final = final_through(extracted_at)
        new = []
        sent: dict[str, set[str]] = defaultdict(set)
        columns = [rows[name].to_pylist() for name in ("symbol", "date", *self._table.values)]
        for number, (symbol, time, *values) in enumerate(zip(*columns, strict=True)):
            traded_on = exchange_date(time)
            day = f"{traded_on:%Y%m%d}"
            sent[symbol].add(day)
            digest = _digest(values, "final" if traded_on <= final else "provisional")
            if self._digests.get(symbol, {}).get(day) != digest:
                new.append(number)
        unread_days = {f"{day:%Y%m%d}" for day in unread if day}
        withdrawn = [
            {
                "symbol": symbol,
                "date": datetime.strptime(day, "%Y%m%d").replace(tzinfo=EXCHANGE_ZONE),
                "is_withdrawn": True,
            }
            for symbol, days in sent.items()
            if None not in unread
            for day in self._withdrawn_days(symbol, days, unread_days)
        ]
        return pa.concat_tables([rows.take(pa.array(new, pa.int64())), pa.Table.from_pylist(withdrawn, rows.schema)])

    def _withdrawn_days(self, symbol: str, sent: set[str], unread: set[str]) -> list[str]:
        """The days that an answer withdraws; none if it lacks many, because it is then more likely short than right."""
        # An unreadable bar's day may be wrong: it does not widen the range.
        first, last, known = min(sent), max(sent), sent | unread
        gone = sorted(
            day
            for day, digest in self._digests.get(symbol, {}).items()
            if first < day < last and day not in known and digest not in self._withdrawn
        )
        if not gone:
            return []
        is_short = len(gone) > max(_FEW_WITHDRAWN, len(sent) * _SHARE_WITHDRAWN)
        _log.warning("no longer sent", raw_table=self._table.name, symbol=symbol, days=gone[:8], is_short=is_short)
        return [] if is_short or "is_withdrawn" not in self._table.schema.names else gone


def _digest(values: Sequence[float | int | str | None], end: str) -> str:
    line = ",".join([*map(_text, values), end])
    return hashlib.md5(line.encode(), usedforsecurity=False).hexdigest()[:_DIGEST_LENGTH]


def _by_day(digests: str) -> dict[str, str]:
    step = _DAY_LENGTH + _DIGEST_LENGTH
    days = (digests[at : at + step] for at in range(0, len(digests), step))
    return {day[:_DAY_LENGTH]: day[_DAY_LENGTH:] for day in days}


def _as_text(column: str, kind: pa.DataType) -> str:
    """A value as text in SQL, as ``_text`` makes it."""
    if kind == pa.float64():
        column = f"cast(floor({column} * {_SCALE} + 0.5) as int64)"
    return f"ifnull(cast({column} as string), '')"


def _text(value: float | int | str | None) -> str:
    if value is None:
        return ""
    return str(math.floor(value * _SCALE + 0.5)) if isinstance(value, float) else str(value)
