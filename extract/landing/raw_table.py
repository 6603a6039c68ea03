"""What a raw table is: its columns, the provenance of each row, and what its columns mean to the extractor."""

from dataclasses import dataclass

import pyarrow as pa

TIMESTAMP = pa.timestamp("us", tz="UTC")

# The last columns of every raw table.
PROVENANCE = (
    pa.field("_run_id", pa.string()),
    pa.field("_extracted_at", TIMESTAMP),
    pa.field("_archive_path", pa.string()),
)


@dataclass(frozen=True, slots=True)
class RawTable:
    """One raw table, which is also the schema of its archive batches.

    Attributes:
        name: the table's name in the raw dataset and the first folder of its batches.
        source_id: the provider that fills it; None for the two ledgers, of requests and of runs.
        schema: all columns in order, provenance last.
        keys: the columns that a row must have; a batch with a null in one of them is refused.
        symbol: the column that names the instrument; in the ledger of runs, the command.
        dates: the columns that place a row in time; empty if no bar depends on the table.
        values: the columns that are compared with the rows received before; a difference makes a new version.
    """

    name: str
    source_id: str | None
    schema: pa.Schema
    keys: tuple[str, ...]
    symbol: str
    dates: tuple[str, ...]
    values: tuple[str, ...]

    @property
    def provider_columns(self) -> pa.Schema:
        """The columns as the provider sends them, without provenance."""
        return pa.schema(list(self.schema)[: -len(PROVENANCE)])


def raw_table(
    name: str,
    source_id: str | None,
    columns: dict[str, pa.DataType],
    *,
    keys: tuple[str, ...] = ("symbol", "date"),
    symbol: str = "symbol",
    dates: tuple[str, ...] = ("date",),
    values: tuple[str, ...] = (),
) -> RawTable:
    """A table of these columns, in their order, and the provenance.

    Args:
        name: see ``RawTable``.
        source_id: see ``RawTable``.
        columns: the type of each column, as the provider names it.
        keys: see ``RawTable``, without the provenance.
        symbol: see ``RawTable``.
        dates: see ``RawTable``.
        values: see ``RawTable``.
    """
    fields = [pa.field(column, kind) for column, kind in columns.items()]
    schema = pa.schema([*fields, *PROVENANCE])
    return RawTable(name, source_id, schema, (*keys, "_run_id", "_extracted_at"), symbol, dates, values)
