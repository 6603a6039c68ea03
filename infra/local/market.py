"""A simulated market: every series starts at 100.00 and is a random walk, so that nobody takes it for real prices.

The instruments, the sessions, the shape and the hours of the batches are real, and so are the kinds of defects: each
has been seen at a provider. A market of at least ten instruments and a year has all defects; a smaller one has none.
"""

import argparse
import sys
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from extract.errors import ConfigurationError, PipelineError
from extract.landing.archive import Archive
from extract.landing.raw import KITE_DAILY_BARS, YAHOO_CORPORATE_ACTIONS, YAHOO_DAILY_BARS
from extract.landing.raw_table import RawTable
from extract.seeds import EXCHANGE_ZONE, last_closed_session, listed_instruments, trading_sessions
from infra.local.defects import plant, plant_last_run
from infra.local.series import DAILY_RUNS, TICKS_PER_RUPEE, Bars, Defect, Draft, Grid, Mask, clean_bars, same_day_bars

DEFAULT_FIRST = date(2021, 1, 1)
DEFAULT_SEED = 20100104
_ROWS_PER_BATCH = 60_000


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
    plant_last_run(draft)
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
    plant(draft)
    return draft


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


def _rows(draft: Draft, bars: Bars, is_selected: Mask, price_type: type[np.floating] = np.float64) -> pa.Table:
    """The selected bars, by instrument and session, in the columns of both providers; prices are in INR."""
    instrument_at, session_at = np.nonzero(is_selected)
    has_no_prices = ~bars.has_prices[is_selected]
    midnights = np.array([s.trade_date for s in draft.sessions], "datetime64[us]") - np.timedelta64(330, "m")

    def prices(ticks: Grid, factor: npt.NDArray[np.float64] | float = 1.0) -> pa.Array:
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
            "is_withdrawn": pa.nulls(len(instrument_at), pa.bool_()),
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
