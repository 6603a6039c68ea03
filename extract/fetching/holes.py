"""Holes: sessions of a listed share for which a provider was asked, and answered without a bar.

The ledger says when each day was asked for, and raw says what came: there is no other record. A hole is asked for again
when as much time has passed since the last answer as between the first and the last one, so less and less often. After
three answers over a week or more it is settled: the provider is taken to have no such bar, and is not asked again.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from google.cloud import bigquery

from extract.fetching.received import FINAL_THROUGH
from extract.landing.raw import EXTRACT_REQUESTS, KITE_DAILY_BARS, YAHOO_DAILY_BARS
from extract.seeds import Instrument, calendar_end, trading_sessions
from extract.warehouse.connection import Warehouse

_TABLES = {table.source_id: table for table in (KITE_DAILY_BARS, YAHOO_DAILY_BARS)}

# How far back a daily run asks. Kite counts requests and not rows, so a deep window costs no more than a short one.
DEEP_DAYS = 1990

_ASKED_TIMES = 3
_ASKED_OVER = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Hole:
    """Sessions of one symbol that a source was asked for at the same times, and for which it has sent no bar.

    Attributes:
        source_id: which source.
        symbol: whose bars.
        first_date: the first of the sessions.
        last_date: the last one; raw may hold bars of some sessions in between.
        session_count: how many sessions are missing.
        asked_count: how often they were asked for.
        first_asked_at: when they were first asked for.
        last_asked_at: when they were last asked for.
    """

    source_id: str
    symbol: str
    first_date: date
    last_date: date
    session_count: int
    asked_count: int
    first_asked_at: datetime
    last_asked_at: datetime

    @property
    def is_settled(self) -> bool:
        """Whether the source is taken to have no such bars."""
        return self.asked_count >= _ASKED_TIMES and self.last_asked_at - self.first_asked_at >= _ASKED_OVER

    def is_due(self, now: datetime) -> bool:
        """Whether to ask for it again at this time, with zone."""
        return not self.is_settled and now - self.last_asked_at >= self.last_asked_at - self.first_asked_at


def session_dates(warehouse: Warehouse, first: date, last: date) -> list[date]:
    """The trade dates of the sessions from ``first`` to ``last``, sorted.

    Up to the end of the seeds' calendar they are those of the seeds. After that they are those of the last build, which
    knows the announced holidays and has dropped assumed sessions that did not take place; after those, each weekday.

    Raises:
        PipelineError: the warehouse failed.
    """
    days = [session.trade_date for session in trading_sessions(first, last)]
    end = calendar_end()
    if last <= end or not warehouse.exists(f"{warehouse.dataset}.dim_trading_sessions"):
        return days
    rows = warehouse.query(
        f"""
        select trade_date
        from `{warehouse.client.project}.{warehouse.dataset}.dim_trading_sessions`
        where trade_date > '{end}'
        order by trade_date
        """
    )
    built = [row["trade_date"] for row in rows]
    built_through = max(built, default=end)
    return [
        *(day for day in days if day <= end),
        *(day for day in built if first <= day <= last),
        *(day for day in days if day > built_through),
    ]


def read_holes(
    warehouse: Warehouse, source_ids: Collection[str], instruments: Sequence[Instrument], first: date, last: date
) -> list[Hole]:
    """The holes in the trade dates from ``first`` to ``last``, settled ones too, by source and symbol.

    A day does not count as asked for if its bar could only have been provisional at that time.

    Args:
        warehouse: with its raw tables.
        source_ids: which sources; only those that are asked for ranges count.
        instruments: whose bars.
        first: the first trade date.
        last: the last one.

    Raises:
        PipelineError: the warehouse failed.
    """
    sessions = session_dates(warehouse, first, last)
    tables = [_TABLES[source_id] for source_id in source_ids if source_id in _TABLES]
    if not sessions or not tables or not instruments:
        return []
    held = "\nunion all\n".join(
        f"""
            select '{table.source_id}' as source_id, symbol, date(date, 'Asia/Kolkata') as trade_date
            from `{warehouse.raw}.{table.name}`
            -- No bar is received before its day: older partitions are not read.
            where _extracted_at >= timestamp('{sessions[0]}')
            group by symbol, trade_date
            -- A bar that the source has withdrawn is missing, too.
            having max(if(close > 0, _extracted_at, null)) = max(_extracted_at)
        """
        for table in tables
    )
    # The length of a deep window varies: it begins on the first day of a month, and may end days after the due session.
    deep = (DEEP_DAYS - 40, DEEP_DAYS + 40)
    rows = warehouse.query(
        f"""
        with

        listings as (

            select
                split(listing, '|')[offset(0)] as symbol,
                cast(split(listing, '|')[offset(1)] as date) as listed_on,
                cast(split(listing, '|')[offset(2)] as date) as delisted_on
            from unnest(cast(@listings as array<string>)) as listing

        ),

        held as (
            {held}
        ),

        firsts as (

            select
                source_id,
                symbol,
                min(trade_date) as trade_date
            from held
            group by source_id, symbol

        ),

        asked as (

            select
                requests.source_id,
                requests.symbol,
                greatest(
                    requests.asked_from,
                    listings.listed_on,
                    -- A daily run looks so far back for what was rewritten, wherever the source's series begins. Older
                    -- releases did not note it: their window ends on the day, and begins so far before it or in the
                    -- month of the listing.
                    if(
                        coalesce(
                            requests.is_daily,
                            requests.asked_to = date(requests.requested_at, 'Asia/Kolkata')
                            and (
                                date_diff(requests.asked_to, requests.asked_from, day) between {deep[0]} and {deep[1]}
                                or requests.asked_from = date_trunc(listings.listed_on, month)
                            )
                        ),
                        firsts.trade_date,
                        listings.listed_on
                    )
                ) as asked_from,
                least(
                    requests.asked_to, listings.delisted_on, {FINAL_THROUGH.format(time="requests.requested_at")}
                ) as asked_to,
                requests.requested_at
            from `{warehouse.raw}.{EXTRACT_REQUESTS.name}` as requests
            inner join listings
                on requests.symbol = listings.symbol
            left join firsts
                on requests.source_id = firsts.source_id and requests.symbol = firsts.symbol
            where
                requests.outcome in ('ok', 'empty')
                and requests.raw_table in ({", ".join(f"'{table.name}'" for table in tables)})
                and requests.asked_from <= '{sessions[-1]}'
                and requests.asked_to >= '{sessions[0]}'

        ),

        ranges as (

            select
                source_id,
                symbol,
                min(asked_from) as asked_from,
                max(asked_to) as asked_to
            from asked
            group by source_id, symbol

        ),

        missing as (

            select
                ranges.source_id,
                ranges.symbol,
                session as trade_date
            from ranges
            cross join unnest(cast(@sessions as array<date>)) as session
            left join held
                on
                    ranges.source_id = held.source_id
                    and ranges.symbol = held.symbol
                    and session = held.trade_date
            where session between ranges.asked_from and ranges.asked_to and held.symbol is null

        ),

        dated as (

            select
                missing.source_id,
                missing.symbol,
                missing.trade_date,
                count(*) as asked_count,
                min(asked.requested_at) as first_asked_at,
                max(asked.requested_at) as last_asked_at
            from missing
            inner join asked
                on
                    missing.source_id = asked.source_id
                    and missing.symbol = asked.symbol
                    and missing.trade_date between asked.asked_from and asked.asked_to
            group by missing.source_id, missing.symbol, missing.trade_date

        )

        select
            source_id,
            symbol,
            min(trade_date) as first_date,
            max(trade_date) as last_date,
            count(*) as session_count,
            asked_count,
            first_asked_at,
            last_asked_at
        from dated
        group by source_id, symbol, asked_count, first_asked_at, last_asked_at
        order by source_id, symbol, first_date
        """,
        [
            bigquery.ArrayQueryParameter(
                "listings", "STRING", [f"{i.symbol}|{i.listed_on}|{i.delisted_on}" for i in instruments]
            ),
            bigquery.ArrayQueryParameter("sessions", "DATE", sessions),
        ],
    )
    return [Hole(**dict(row.items())) for row in rows]


def told(holes: Iterable[Hole]) -> list[str]:
    """The holes that are not settled, one sentence for each source."""
    by_source: dict[str, list[Hole]] = {}
    for hole in holes:
        if not hole.is_settled:
            by_source.setdefault(hole.source_id, []).append(hole)
    sentences = []
    for source_id, found in by_source.items():
        symbols = sorted({hole.symbol for hole in found})
        named = ", ".join(symbols[:8]) + (f" and {len(symbols) - 8} more" if len(symbols) > 8 else "")
        count = sum(hole.session_count for hole in found)
        first, last = min(hole.first_date for hole in found), max(hole.last_date for hole in found)
        what = "1 bar" if count == 1 else f"{count:,} bars"
        when = f"from {first} to {last}; later runs ask again"
        sentences.append(f"{source_id}: answered without {what} of {named}, {when}")
    return sentences
