"""The raw tables: what each provider sends, under the provider's own names, with where each row came from."""

from dataclasses import dataclass

import pyarrow as pa

_TIMESTAMP = pa.timestamp("us", tz="UTC")

# Every raw table ends with these.
PROVENANCE = (
    pa.field("_run_id", pa.string()),
    pa.field("_extracted_at", _TIMESTAMP),
    pa.field("_archive_path", pa.string()),
)


@dataclass(frozen=True, slots=True)
class RawTable:
    """One raw table, which is also the schema of its archive batches.

    Attributes:
        name: the table's name in the raw dataset and the first folder of its batches.
        schema: all columns in order, provenance last.
        keys: the columns without which a row means nothing; a batch with a null there is refused.
    """

    name: str
    schema: pa.Schema
    keys: tuple[str, ...]

    @property
    def provider_columns(self) -> pa.Schema:
        """The columns as the provider sends them, without provenance."""
        return pa.schema(list(self.schema)[: -len(PROVENANCE)])


def _table(name: str, **columns: pa.DataType) -> RawTable:
    fields = [pa.field(column, kind) for column, kind in columns.items()]
    return RawTable(name, pa.schema([*fields, *PROVENANCE]), keys=("symbol", "date", "_run_id", "_extracted_at"))


KITE_DAILY_BARS = _table(
    "kite_daily_bars",
    symbol=pa.string(),
    instrument_token=pa.int64(),
    date=_TIMESTAMP,
    open=pa.float64(),
    high=pa.float64(),
    low=pa.float64(),
    close=pa.float64(),
    volume=pa.int64(),
)

YAHOO_DAILY_BARS = _table(
    "yahoo_daily_bars",
    symbol=pa.string(),
    ticker=pa.string(),
    date=_TIMESTAMP,
    open=pa.float64(),
    high=pa.float64(),
    low=pa.float64(),
    close=pa.float64(),
    adj_close=pa.float64(),
    volume=pa.int64(),
)

YAHOO_CORPORATE_ACTIONS = _table(
    "yahoo_corporate_actions",
    symbol=pa.string(),
    ticker=pa.string(),
    date=_TIMESTAMP,
    dividend=pa.float64(),
    split_ratio=pa.float64(),
)

RAW_TABLES = {table.name: table for table in (KITE_DAILY_BARS, YAHOO_DAILY_BARS, YAHOO_CORPORATE_ACTIONS)}
