"""The input for all tools: the bars of both providers, as received, and a delta of one day that restates 25 of them."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from extract.landing.archive import Archive
from extract.landing.raw import KITE_DAILY_BARS, YAHOO_DAILY_BARS
from extract.seeds import EXCHANGE_ZONE, listed_instruments, trading_sessions
from extract.sources import exchange_dates
from infra.bench.peer import KEY
from infra.local.market import DEFAULT_SEED, write_market
from infra.local.series import TICKS_PER_RUPEE, clean_bars

# From this day on, both providers have sent 1.17 million bars.
FIRST = date(2016, 5, 12)

# Every fifth of the middle instruments, because the market plants its defects in the first, and an outage in the last.
RESTATED = range(30, 155, 5)


@dataclass(frozen=True, slots=True)
class Given:
    """What was written.

    Attributes:
        archive: the folder of the batches, without the delta.
        delta_archive: the delta as a batch, in a folder of its own.
        bars: the same bars as one Parquet file, for the peers.
        delta: the delta as one Parquet file.
        restated: the closes that the delta restates, by symbol.
        restated_on: the session of these closes.
        received: the number of bars.
        distinct: the number of keys of ``KEY``, and of keys of symbol and trade date alone, after the delta.
    """

    archive: Path
    delta_archive: Path
    bars: Path
    delta: Path
    restated: dict[str, float]
    restated_on: date
    received: int
    distinct: tuple[int, int]


def write_bars(folder: Path, last: date, first: date = FIRST) -> Given:
    """Write a simulated market, and a delta with its last two sessions, of which one is sent again and one is new."""
    sessions = trading_sessions(first, last)
    restated_on = sessions[-2].trade_date
    archive = Archive(str(folder / "archive"))
    write_market(archive, first=first, last=restated_on)
    received = pa.concat_tables(
        _for_peers(archive.read(path).rows, table.source_id)
        for table in (KITE_DAILY_BARS, YAHOO_DAILY_BARS)
        for path in archive.paths()
        if path.startswith(f"{table.name}/")
    )
    rows, restated = _delta(first, last)
    # The next morning, when Kite's bars are final.
    answered_at = datetime.combine(last + timedelta(days=1), time(8, 15), EXCHANGE_ZONE)
    delta_archive = Archive(str(folder / "delta-archive"))
    path = delta_archive.write(KITE_DAILY_BARS, rows, "delta", 0, answered_at)
    delta = _for_peers(delta_archive.read(path).rows, KITE_DAILY_BARS.source_id)
    pq.write_table(received, folder / "bars.parquet")
    pq.write_table(delta, folder / "delta.parquet")
    keys = pa.concat_tables([received, delta]).select(KEY)
    return Given(
        archive=folder / "archive",
        delta_archive=folder / "delta-archive",
        bars=folder / "bars.parquet",
        delta=folder / "delta.parquet",
        restated=restated,
        restated_on=restated_on,
        received=received.num_rows,
        distinct=(_count(keys, *KEY), _count(keys, "symbol", "trade_date")),
    )


def _delta(first: date, last: date) -> tuple[pa.Table, dict[str, float]]:
    """Kite's final bars of the last two sessions, and the closes of the earlier one that differ from before."""
    sessions = trading_sessions(first, last)
    instruments = [i for i in listed_instruments() if i.listed_on <= sessions[-2].trade_date]
    truth = clean_bars(instruments, sessions, DEFAULT_SEED)
    rows, restated = [], {}
    for number, instrument in enumerate(instruments):
        for day in (-2, -1):
            ticks = {name: int(getattr(truth, name)[number, day]) for name in ("open", "high", "low", "close")}
            if number in RESTATED and day == -2:
                # Between low and high, so that the bar stays possible.
                ticks["close"] += 1 if ticks["close"] < ticks["high"] else -1
                ticks["low"] = min(ticks["low"], ticks["close"])
                restated[instrument.symbol] = ticks["close"] / TICKS_PER_RUPEE
            rows.append(
                {
                    "symbol": instrument.symbol,
                    "instrument_token": 256 * instrument.instrument_id + 1,
                    "date": datetime.combine(sessions[day].trade_date, time(), EXCHANGE_ZONE),
                    "volume": int(truth.volume[number, day]),
                }
                | {name: count / TICKS_PER_RUPEE for name, count in ticks.items()}
            )
    return pa.Table.from_pylist(rows, KITE_DAILY_BARS.provider_columns), restated


def _for_peers(rows: pa.Table, source_id: str | None) -> pa.Table:
    """A batch of either provider in the columns that they share, with its key."""
    source_ids = pa.repeat(pa.scalar(source_id), rows.num_rows)
    keys = {"symbol": rows["symbol"], "source_id": source_ids, "trade_date": exchange_dates(rows["date"])}
    values = {name: rows[name] for name in ("open", "high", "low", "close", "volume")}
    return pa.table(keys | values | {"extracted_at": rows["_extracted_at"]})


def _count(rows: pa.Table, *columns: str) -> int:
    return len(rows.select(columns).group_by(list(columns)).aggregate([]))
