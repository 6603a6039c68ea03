"""A table of the warehouse as one file: Parquet, Arrow or CSV."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq

from extract.analysis.arrow import opened, read
from extract.analysis.catalogue import Described
from extract.analysis.panel import wide_panel
from extract.analysis.written import written_whole
from extract.errors import ConfigurationError
from extract.reporting.rows import plain
from extract.warehouse.connection import Warehouse
from extract.words import did_you_mean

# The day of a row: the first of these columns that a table has. The other columns order the rows of one symbol and day.
_DAYS = ("trade_date", "ex_date", "month", "list_date", "valid_from", "seen_from")
_OTHERS = ("source_id", "kind", "check_id", "is_provisional", "revision", "known_from")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to export.

    Attributes:
        table: the table.
        symbols: whose rows; None for all.
        first: the first day; None for no bound.
        last: the last day; None for no bound.
        wide: the column to pivot, with one row a day and one column a symbol; None for the table as it is.
        is_float: whether a NUMERIC becomes a float64, which pandas calculates with; else it stays an exact decimal.
    """

    table: Described
    symbols: Sequence[str] | None = None
    first: date | None = None
    last: date | None = None
    wide: str | None = None
    is_float: bool = False


def export(
    warehouse: Warehouse, wanted: Wanted, target: Path, form: str, advance: Callable[[int], None] = lambda _: None
) -> int:
    """Write what is wanted into a file, sorted by symbol and day, and return the number of rows.

    Memory holds one batch of rows at a time. A wide panel is held whole: it is one number for each bar.

    Args:
        warehouse: where to read.
        wanted: what to export.
        target: the file; it appears when it is complete, and replaces an existing one.
        form: ``parquet``, ``csv`` or ``arrow`` (a file of Arrow's IPC, which is Feather 2).
        advance: called with the number of rows written so far.

    Raises:
        ConfigurationError: the table has no such column, there are no rows, or the file cannot be written.
        PipelineError: BigQuery refused or failed.
    """
    with written_whole(target) as partial, ExitStack() as leave:
        if wanted.wide:
            panel = _panel(read(warehouse, select(wanted)), wanted.symbols)
            schema, batches = panel.schema, iter(panel.to_batches())
        else:
            reader = leave.enter_context(opened(warehouse, select(wanted)))
            schema, batches = reader.schema, iter(reader)
        count = 0
        write = leave.enter_context(_Writer(partial, form, _floated(schema) if wanted.is_float else schema))
        for batch in batches:
            write(_as_floats(batch) if wanted.is_float else batch)
            count += batch.num_rows
            advance(count)
        if not count:
            raise ConfigurationError(f"there is nothing to export: {_empty(wanted)}")
    return count


def select(wanted: Wanted) -> str:
    """The statement that reads what is wanted.

    Raises:
        ConfigurationError: the table lacks a column that the statement needs.
    """
    names = [column.name for column in wanted.table.columns]
    day = next((name for name in _DAYS if name in names), None)
    table = wanted.table.name
    conditions = []
    if wanted.symbols is not None:
        if "symbol" not in names:
            raise ConfigurationError(f"{table} has no symbols; leave --symbols out")
        # The symbols come from our seed, and contain no quotes.
        conditions.append(f"symbol in ({', '.join(repr(symbol) for symbol in wanted.symbols)})")
    if wanted.first or wanted.last:
        if day is None:
            raise ConfigurationError(f"{table} has no days; leave --from and --to out")
        conditions += [f"{day} >= date '{wanted.first}'"] if wanted.first else []
        conditions += [f"{day} <= date '{wanted.last}'"] if wanted.last else []
    where = f" where {' and '.join(conditions)}" if conditions else ""
    if wanted.wide is None:
        order = [name for name in ("symbol", day, *_OTHERS) if name in names]
        return f"select * from `{table}`{where}" + (f" order by {', '.join(order)}" if order else "")
    column = next((name for name in names if name.casefold() == str(wanted.wide).casefold()), None)
    if column is None:
        raise ConfigurationError(f"{table} has no column {wanted.wide}{did_you_mean(wanted.wide, names)}")
    if day is None or "symbol" not in names or column in ("symbol", day):
        raise ConfigurationError(f"--wide needs one value for each symbol and day, and {column} of {table} is not that")
    return f"select symbol, {day}, {column} from `{table}`{where} order by {day}, symbol"


def _panel(long: pa.Table, symbols: Sequence[str] | None) -> pa.Table:
    try:
        return wide_panel(long, symbols)
    except ValueError as error:
        raise ConfigurationError(f"{error}; leave --wide out") from error


def _empty(wanted: Wanted) -> str:
    of = f" of {', '.join(wanted.symbols[:5])}" if wanted.symbols else ""
    since = f" from {wanted.first}" if wanted.first else ""
    return f"{wanted.table.name} has no rows{of}{since}{f' to {wanted.last}' if wanted.last else ''}"


def _floated(schema: pa.Schema) -> pa.Schema:
    fields = (f.with_type(pa.float64()) if pa.types.is_decimal(f.type) else f for f in schema)
    return pa.schema(fields)


def _as_floats(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with each decimal as the nearest float; Arrow's own cast turns 96.05 into 96.05000000000001."""
    columns = [c.cast(pa.string()).cast(pa.float64()) if pa.types.is_decimal(c.type) else c for c in batch.columns]
    return pa.record_batch(columns, batch.schema.names)


class _Writer:
    """Writes batches into a file of one of the forms."""

    def __init__(self, path: Path, form: str, schema: pa.Schema) -> None:
        self._is_csv = form == "csv"
        if form == "parquet":
            self._file = pq.ParquetWriter(path, schema, compression="zstd")
        elif form == "arrow":
            # A compression that pandas.read_feather and polars.read_ipc can read.
            options = pa.ipc.IpcWriteOptions(compression="zstd")
            self._file = pa.ipc.new_file(path, schema, options=options)
        else:
            texts = pa.schema([pa.field(f.name, pa.string()) if _is_told(f.type) else f for f in schema])
            options = pa.csv.WriteOptions(quoting_style="needed")
            self._file = pa.csv.CSVWriter(path, texts, write_options=options)

    def __enter__(self) -> Callable[[pa.RecordBatch], None]:
        return self._write

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _write(self, batch: pa.RecordBatch) -> None:
        if self._is_csv:
            columns = [_text(column) if _is_told(column.type) else column for column in batch.columns]
            batch = pa.record_batch(columns, batch.schema.names)
        self._file.write_batch(batch)


def _is_told(kind: pa.DataType) -> bool:
    """Whether `query --format csv` writes values of this type differently from Arrow."""
    same = (pa.types.is_string, pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_date)
    return not any(is_same(kind) for is_same in same)


def _text(column: pa.Array) -> pa.Array:
    if pa.types.is_decimal(column.type):
        digits = column.cast(pa.string())
        if not pc.any(pc.match_substring(digits, "E")).as_py():  # Arrow writes zero as 0E-9.
            return pc.ascii_rtrim(pc.ascii_rtrim(digits, "0"), ".") if column.type.scale else digits
    # Such columns have few distinct values (the checks that a bar failed, the time of a batch): format each one once.
    is_joined = pa.types.is_list(column.type) and pa.types.is_string(column.type.value_type)
    keys = pc.binary_join(column, "\x1f") if is_joined else column
    if pa.types.is_nested(keys.type) or keys.null_count:
        return pa.array([_told(value) for value in column.to_pylist()], pa.string())
    encoded = keys.dictionary_encode()
    _, first = np.unique(encoded.indices.to_numpy(), return_index=True)
    texts = pa.array([_told(value) for value in column.take(pa.array(first)).to_pylist()], pa.string())
    return texts.take(encoded.indices)


def _told(value: object) -> str | None:
    if value is None:
        return None
    text = plain(value)
    return text.rstrip("0").rstrip(".") if isinstance(value, Decimal) and "." in text else text
