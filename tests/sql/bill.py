"""How many bytes BigQuery bills for a statement, by the sizes of types and the rules of its documentation.

The rows are counted for 250 shares of 1.17 million bars, of which the last year was fetched day by day, and all before
it at once. A history of four times means four times as many years, of which the later ones were fetched day by day too.
Nothing of this was measured on BigQuery.
"""

from collections.abc import Iterable

from tests.sql.scans import Reads

# What BigQuery bills at least for each table that a statement reads.
_LEAST_BYTES = 10 * 2**20
# Documentation, "Data type sizes".
_BYTES = {"int64": 8, "double": 8, "date": 8, "timestamp": 8, "numeric": 16, "bool": 1}
# A string takes two bytes and its own; an array, what its elements take. Those that are longer than ten bytes:
_LONG = {
    "_archive_path": 75,
    "_run_id": 27,
    "digest": 32,
    "failed_checks": 44,
    "fetches": 120,
    "inapplicable_checks": 120,
    "message": 40,
    "project_digest": 64,
    "reason": 40,
    "symbols": 1000,
    "text": 150,
}

# Of each large table, the rows of a history of one time, and those that come in a day of the calendar. A bar comes once
# provisional and once final from each of two sources; the ledger has each request of two runs.
ROWS = {
    "trading_data.fct_daily_bars": (1_170_000, 170),
    "trading_data.fct_daily_bar_revisions": (2_600_000, 680),
    "trading_data_intermediate.int_exchange_scales__measured": (55_000, 9),
    "trading_data_intermediate.int_kite_levels__measured": (55_000, 9),
    "trading_data_intermediate.int_source_scales__measured": (110_000, 17),
    "trading_data_raw.extract_requests": (250_000, 690),
    "trading_data_raw.kite_daily_bars": (1_400_000, 500),
    "trading_data_raw.kite_instruments": (2_200_000, 6_000),
    "trading_data_raw.kite_quotes": (62_000, 170),
    "trading_data_raw.nse_daily_bars": (1_170_000, 170),
    "trading_data_raw.yahoo_daily_bars": (1_400_000, 500),
}
# Every other table has as many rows, of whatever history: a few thousand actions, sessions or notes.
_FEW = 5_000
# The table of a window and of the days that its bars are compared with, and what is merged of it.
_OF_A_WINDOW = 50_000
# Raw has received the first history at once, so many days ago, if there are no later ones: a bound of more days leaves
# out none of it.
_BACKFILLED, _HISTORY = 365, 16 * 365
_MONTH = 31


def bytes_of(reads: Reads, bounds: dict[str, float | None], history: int) -> dict[str, int]:
    """The bytes that a statement reads of each table.

    Args:
        reads: what it reads.
        bounds: of each table, how many days back it reads; None for all.
        history: how many times 1.17 million bars there are.
    """
    read = {}
    for table in {scan.table for scan in reads.scans}:
        rows = _rows(table, bounds.get(table), history)
        read[table] = rows * sum(_width(name, kind) for name, kind in reads.columns.get(table, {}).items())
    if reads.rewritten:
        # A merge that updates is billed for whole partitions too ("On-demand query size calculation", MERGE).
        target = reads.scans[0].table
        rows = _rows(target, bounds.get(target), history)
        read[target] += rows * sum(_width(name, kind) for name, kind in reads.rewritten.items())
    return read


def billed(read: Iterable[int]) -> int:
    """What is billed for a statement that reads so many bytes of its tables."""
    return sum(max(count, _LEAST_BYTES) for count in read)


def _rows(table: str, days: float | None, history: int) -> int:
    if table.endswith(("__dbt_tmp", "int_bars__compared")):
        return _OF_A_WINDOW
    total, daily = ROWS.get(table, (_FEW, 0))
    backfilled = _BACKFILLED + (history - 1) * _HISTORY
    if days is None or (days > backfilled and "_raw." in table) or table not in ROWS:
        return total * history
    # A bound lies within a partition, of which all is read.
    return min(total * history, round(daily * (max(days, 0) + _MONTH)))


def _width(name: str, kind: str) -> int:
    return _BYTES.get(kind) or 2 + _LONG.get(name, 10)
