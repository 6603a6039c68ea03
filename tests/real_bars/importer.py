"""Turn files of real market data into archive batches, as an old export would enter.

Each file becomes batches of one run, dated by when the file was fetched from the provider (its README says so): prices
are adjusted as of that day.
"""

import csv
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from extract.files.outcome import TAKEN
from extract.files.take import take_files
from extract.landing.archive import Archive
from extract.landing.raw import KITE_DAILY_BARS, YAHOO_CORPORATE_ACTIONS, YAHOO_DAILY_BARS
from extract.landing.raw_table import RawTable

SHARED_DATA = Path(__file__).parents[3] / "shared" / "data"

IST = ZoneInfo("Asia/Kolkata")

_YAHOO_FETCHED = datetime(2026, 6, 12, 20, 0, tzinfo=IST)
_KITE_FETCHED_EARLY = datetime(2021, 1, 1, 20, 0, tzinfo=IST)
_KITE_FETCHED_LATE = datetime(2025, 7, 2, 20, 0, tzinfo=IST)
_ACTIONS_FETCHED = datetime(2025, 6, 6, 20, 0, tzinfo=IST)

_ROWS_PER_BATCH = 60_000


def import_real_bars(archive: Archive, symbols: frozenset[str] | None = None) -> list[str]:
    """Write all real bars, or those of the given symbols, as batches, and return the batches' paths."""
    yahoo = pq.read_table(SHARED_DATA / "yahoo_daily_247_symbols_2010_to_2024-06.parquet")
    yahoo = yahoo.rename_columns([name.lower().replace(" ", "_") for name in yahoo.column_names])
    kite_early = pq.read_table(SHARED_DATA / "kite_daily_nifty50_fetched_2021-01.parquet")
    kite_late = pq.read_table(SHARED_DATA / "kite_daily_40_symbols_2021-07_to_2024-06.parquet")
    kite_late = kite_late.append_column("instrument_token", pa.nulls(len(kite_late), pa.int64()))
    actions = pa.Table.from_pylist(
        [
            {
                "symbol": row["symbol"],
                "date": row["Date"][:10],
                "dividend": float(row["Dividends"]),
                "split_ratio": float(row["Stock Splits"]),
            }
            for row in _rows("dividends_splits_749sym_to_2025-06-06.csv")
            if row["symbol"] in _our_symbols()
        ]
    )
    paths: list[str] = []
    for table, rows, run_id, fetched in (
        (YAHOO_DAILY_BARS, yahoo, "yahoo-2026-06-12", _YAHOO_FETCHED),
        (KITE_DAILY_BARS, kite_early, "kite-2021-01-01", _KITE_FETCHED_EARLY),
        (KITE_DAILY_BARS, kite_late, "kite-2025-07-02", _KITE_FETCHED_LATE),
        (YAHOO_CORPORATE_ACTIONS, actions, "actions-2025-06-06", _ACTIONS_FETCHED),
    ):
        chosen = rows if symbols is None else rows.filter(pc.is_in(rows["symbol"], pa.array(sorted(symbols))))
        if table is not YAHOO_CORPORATE_ACTIONS:
            chosen = chosen.append_column("is_withdrawn", pa.nulls(len(chosen), pa.bool_()))
        paths += _write(archive, table, chosen, run_id, fetched)
    return paths


def taken(archive: Archive, *files: Path, as_of: date | None = None) -> list[str]:
    """Take in files of the exchange, each of the date in its name, and return the batches' paths."""
    reports = take_files(archive, files, date(2026, 11, 27), lambda *_: None, as_of=as_of)
    assert {report.outcome for report in reports} == {TAKEN}, reports
    assert not any(report.refused for report in reports), reports
    return [path for report in reports for path in report.paths]


def _write(archive: Archive, table: RawTable, rows: pa.Table, run_id: str, fetched: datetime) -> list[str]:
    midnight = pc.assume_timezone(pc.strptime(rows["date"], "%Y-%m-%d", "us"), "Asia/Kolkata")
    rows = rows.set_column(rows.column_names.index("date"), "date", midnight.cast(pa.timestamp("us", tz="UTC")))
    rows = rows.set_column(rows.column_names.index("symbol"), "symbol", rows["symbol"].cast(pa.string()))
    if "ticker" in table.schema.names:
        rows = rows.append_column("ticker", pc.binary_join_element_wise(rows["symbol"], "NS", "."))
    rows = rows.sort_by("symbol")
    return [
        archive.write(table, rows.slice(start, _ROWS_PER_BATCH), run_id, part, fetched)
        for part, start in enumerate(range(0, rows.num_rows, _ROWS_PER_BATCH))
    ]


def _our_symbols() -> frozenset[str]:
    return frozenset(row["Symbol"] for row in _rows("ind_niftylargemidcap250list_2025-09-11.csv"))


def _rows(name: str) -> list[dict[str, str]]:
    with (SHARED_DATA / name).open(newline="") as file:
        return list(csv.DictReader(file))
