"""The raw tables: the columns of each provider, under its own names."""

import pyarrow as pa

from extract.landing.raw_table import TIMESTAMP, raw_table

_PRICES = dict.fromkeys(("open", "high", "low", "close"), pa.float64())
# True in a row without values, which is ours: the provider had sent a bar of the day, and a later answer lacked it.
_WITHDRAWN = {"is_withdrawn": pa.bool_()}
_BAR_VALUES = ("open", "high", "low", "close", "volume")

KITE_DAILY_BARS = raw_table(
    "kite_daily_bars",
    "kite",
    {
        "symbol": pa.string(),
        "instrument_token": pa.int64(),
        "date": TIMESTAMP,
        **_PRICES,
        "volume": pa.int64(),
        **_WITHDRAWN,
    },
    values=_BAR_VALUES,
)

KITE_QUOTES = raw_table(
    "kite_quotes",
    "kite",
    {
        "symbol": pa.string(),
        "instrument_token": pa.int64(),
        "timestamp": TIMESTAMP,
        "last_trade_time": TIMESTAMP,
        "last_price": pa.float64(),
        **_PRICES,
        "volume": pa.int64(),
    },
    keys=("symbol", "timestamp"),
    dates=("timestamp", "last_trade_time"),
)

KITE_INSTRUMENTS = raw_table(
    "kite_instruments",
    "kite",
    {
        "instrument_token": pa.int64(),
        "exchange_token": pa.string(),
        "tradingsymbol": pa.string(),
        "name": pa.string(),
        "last_price": pa.float64(),
        "expiry": pa.string(),
        "strike": pa.float64(),
        "tick_size": pa.float64(),
        "lot_size": pa.int64(),
        "instrument_type": pa.string(),
        "segment": pa.string(),
        "exchange": pa.string(),
    },
    keys=("instrument_token", "tradingsymbol"),
    symbol="tradingsymbol",
    dates=(),
)

YAHOO_DAILY_BARS = raw_table(
    "yahoo_daily_bars",
    "yahoo",
    {
        "symbol": pa.string(),
        "ticker": pa.string(),
        "date": TIMESTAMP,
        **_PRICES,
        "adj_close": pa.float64(),
        "volume": pa.int64(),
        **_WITHDRAWN,
    },
    # Without adj_close: each dividend rewrites its whole history, and no model reads it.
    values=_BAR_VALUES,
)

YAHOO_CORPORATE_ACTIONS = raw_table(
    "yahoo_corporate_actions",
    "yahoo",
    {
        "symbol": pa.string(),
        "ticker": pa.string(),
        "date": TIMESTAMP,
        "dividend": pa.float64(),
        "split_ratio": pa.float64(),
    },
    values=("dividend", "split_ratio"),
)

ALPHA_VANTAGE_DAILY_BARS = raw_table(
    "alpha_vantage_daily_bars",
    "alpha_vantage",
    {
        "symbol": pa.string(),
        "ticker": pa.string(),
        "date": pa.date32(),
        **dict.fromkeys(("open", "high", "low", "close", "volume"), pa.string()),
    },
    values=_BAR_VALUES,
)

NSE_CORPORATE_ACTIONS = raw_table(
    "nse_corporate_actions",
    "nse",
    {
        **dict.fromkeys(
            (
                "symbol",
                "series",
                "ind",
                "faceVal",
                "subject",
                "exDate",
                "recDate",
                "bcStartDate",
                "bcEndDate",
                "ndStartDate",
                "comp",
                "isin",
                "ndEndDate",
                "caBroadcastDate",
            ),
            pa.string(),
        ),
        # exDate parsed to a date, which places the row in time.
        "ex_date": pa.date32(),
    },
    keys=("symbol", "subject", "ex_date"),
    dates=("ex_date",),
)

NSE_INDEX_CONSTITUENTS = raw_table(
    "nse_index_constituents",
    "nse",
    {
        # The exchange's names have a space in place of each underscore, which a column's name cannot have.
        **dict.fromkeys(("Company_Name", "Industry", "Symbol", "Series", "ISIN_Code", "index_name"), pa.string()),
        "list_date": pa.date32(),
    },
    keys=("Symbol", "ISIN_Code", "index_name", "list_date"),
    symbol="Symbol",
    # No bar depends on the members of an index.
    dates=(),
)

NSE_DAILY_BARS = raw_table(
    "nse_daily_bars",
    "nse",
    {
        **dict.fromkeys(("symbol", "series", "isin"), pa.string()),
        "exchange_token": pa.int64(),
        "date": pa.date32(),
        **_PRICES,
        **dict.fromkeys(("last", "prev_close"), pa.float64()),
        "volume": pa.int64(),
        "turnover": pa.float64(),
        **dict.fromkeys(("trades", "delivered_volume"), pa.int64()),
    },
    keys=("symbol", "series", "date", "close"),
    values=_BAR_VALUES,
)

NSE_CALENDAR_DAYS = raw_table(
    "nse_calendar_days",
    "nse",
    {
        **dict.fromkeys(
            ("tradingDate", "weekDay", "description", "opens_at_ist", "closes_at_ist", "is_short"), pa.string()
        ),
        # tradingDate parsed to a date; what the day is, such as a holiday or muhurat; of a holiday list, its year.
        "trade_date": pa.date32(),
        "kind": pa.string(),
        "list_year": pa.int64(),
    },
    keys=("tradingDate", "trade_date", "kind"),
    symbol="tradingDate",
    # Needs no window: a build compares the whole calendar with that of the last build.
    dates=(),
)

NSE_FILES = raw_table(
    "nse_files",
    "nse",
    {
        **dict.fromkeys(("file_name", "sha256", "file_kind", "raw_table", "batch_path", "unread_symbols"), pa.string()),
        **dict.fromkeys(("row_count", "left_out_row_count", "refused_row_count"), pa.int64()),
        **dict.fromkeys(("covers_from", "covers_to"), pa.date32()),
    },
    keys=("file_name", "sha256", "raw_table", "batch_path"),
    symbol="file_name",
    # This table needs no window: the records of a file land with the file's row here, and they move the window.
    dates=(),
)

EXTRACT_REQUESTS = raw_table(
    "extract_requests",
    None,
    {
        "source_id": pa.string(),
        "raw_table": pa.string(),
        "symbol": pa.string(),
        "outcome": pa.string(),
        "error_class": pa.string(),
        "message": pa.string(),
        "attempts": pa.int64(),
        "elapsed_ms": pa.int64(),
        "row_count": pa.int64(),
        "first_date": pa.date32(),
        "last_date": pa.date32(),
        "asked_from": pa.date32(),
        "asked_to": pa.date32(),
        "is_daily": pa.bool_(),
        "requested_at": TIMESTAMP,
    },
    keys=("source_id", "raw_table", "outcome", "requested_at"),
    dates=(),
)

EXTRACT_RUNS = raw_table(
    "extract_runs",
    None,
    {
        "command": pa.string(),
        "exit_status": pa.int64(),
        "reason": pa.string(),
        "request_count": pa.int64(),
        "failed_request_count": pa.int64(),
        "landed_row_count": pa.int64(),
        "built_node_count": pa.int64(),
        "failed_node_count": pa.int64(),
        "bytes_processed": pa.int64(),
        "bytes_billed": pa.int64(),
        "started_at": TIMESTAMP,
        "ended_at": TIMESTAMP,
    },
    keys=("command", "exit_status", "started_at", "ended_at"),
    symbol="command",
    dates=(),
)

RAW_TABLES = {
    table.name: table
    for table in (
        KITE_DAILY_BARS,
        KITE_QUOTES,
        KITE_INSTRUMENTS,
        YAHOO_DAILY_BARS,
        YAHOO_CORPORATE_ACTIONS,
        ALPHA_VANTAGE_DAILY_BARS,
        NSE_CORPORATE_ACTIONS,
        NSE_INDEX_CONSTITUENTS,
        NSE_DAILY_BARS,
        NSE_CALENDAR_DAYS,
        NSE_FILES,
        EXTRACT_REQUESTS,
        EXTRACT_RUNS,
    )
}
