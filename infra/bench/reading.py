"""Read the warehouse: ``export`` and ``bars()``, each in turns with BigQuery's own client on the same rows."""

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq

from extract.data import bars
from extract.settings import Settings
from extract.warehouse.connection import open_warehouse
from infra.bench.command import run, settings_of
from infra.bench.compare import Comparison
from infra.bench.plain_client import client_of, rows_of

_SYMBOL = "RELIANCE"
_READ_AGAIN = 5


def reading_round(comparison: Comparison, place: Path) -> dict[str, Any]:
    """Export all bars, and read those of one symbol, from the warehouse of a folder.

    Returns:
        The number of exported rows, and the peak memory of each exporting process in megabytes.

    Raises:
        SystemExit: an export failed, or the two files have different numbers of rows.
    """
    environment = settings_of(place)
    ours, theirs = place / "export.parquet", place / "plain.parquet"
    with patch.dict(os.environ, environment), open_warehouse(Settings.from_environment(environment)) as warehouse:
        table = f"`{warehouse.client.project}.{warehouse.dataset}.daily_bars`"
        everything = f"select * from {table} order by symbol, trade_date"
        exported = run("export", environment, "daily_bars", "-o", str(ours))
        plain = run(str(warehouse.address), environment, everything, str(theirs), module="infra.bench.plain_client")
        row_counts = [pq.read_metadata(path).num_rows for path in (ours, theirs)]
        if row_counts[0] != row_counts[1]:
            raise SystemExit(f"export wrote {row_counts[0]} bars, and the client {row_counts[1]}")
        comparison.note("ours", "export of all bars", "trading-data export, to Parquet", exported.seconds)
        does = "query_and_wait(...).to_arrow(), write_table"
        comparison.note("BigQuery's client", "export of all bars", does, plain.seconds)
        client = client_of(str(warehouse.address))
        columns = ", ".join(bars(_SYMBOL).column_names)
        one = f"select {columns} from {table} where symbol = '{_SYMBOL}' order by trade_date"
        comparison.note("ours", "one symbol, all years", "extract.data.bars, to Arrow", _median(lambda: bars(_SYMBOL)))
        does = "query_and_wait(...).to_arrow()"
        seconds = _median(lambda: rows_of(client, one))
        comparison.note("BigQuery's client", "one symbol, all years", does, seconds)
    return {
        "rows": row_counts[0],
        "ours_megabytes": exported.own_peak,
        "client_megabytes": plain.own_peak,
    }


def _median(read: Callable[[], pa.Table]) -> float:
    """The median time of some readings, in seconds, after one that is not measured."""
    read()
    taken = []
    for _ in range(_READ_AGAIN):
        began = time.monotonic()
        read()
        taken.append(time.monotonic() - began)
    return statistics.median(taken)
