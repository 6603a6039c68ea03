"""A batch: what a provider sent at one time for one raw table, as a Parquet file whose path says what it holds."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from io import BytesIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from extract.landing.raw import RAW_TABLES
from extract.landing.raw_table import PROVENANCE, RawTable
from extract.seeds import exchange_date

# Everything that is archived was received, or is about a day, between these years.
_POSSIBLE_YEARS = (1990, 2200)

_RUN_ID = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
_BATCH_PATH = re.compile(
    rf"(?P<table>[a-z0-9_]+)/extracted_on=(?P<extracted_on>\d{{4}}-\d{{2}}-\d{{2}})/(?P<run_id>{_RUN_ID})-(?P<part>\d+)\.parquet"
)


class BatchRefused(Exception):
    """A file in the archive is not a batch that raw can take; the text says why and what to do."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as read from the archive: whole, of the right schema, and under its own name.

    Attributes:
        path: relative to the archive, ``<raw table>/extracted_on=<YYYY-MM-DD>/<run_id>-<part>.parquet``.
        table: the raw table that it belongs to.
        rows: its rows, in the raw table's columns.
    """

    path: str
    table: RawTable
    rows: pa.Table

    @property
    def oldest_dates(self) -> dict[date, list[str]]:
        """The symbols, sorted, by the oldest day on which this batch can change something of them.

        That day is the symbol's first trade date in the batch, or the day on which the batch came, if that is earlier.
        """
        columns = [*self.table.dates, "_extracted_at"]
        firsts = self.rows.group_by(self.table.symbol).aggregate([(column, "min") for column in columns])
        symbols: dict[date, list[str]] = {}
        for row in firsts.sort_by(self.table.symbol).to_pylist():
            moments = [row[f"{column}_min"] for column in self.table.dates]
            days = [row["_extracted_at_min"].date(), *(exchange_date(moment) for moment in moments if moment)]
            symbols.setdefault(min(days), []).append(row[self.table.symbol])
        return symbols

    @property
    def received_at(self) -> datetime:
        """When its first rows were received."""
        moment: datetime = pc.min(self.rows["_extracted_at"]).as_py()
        return moment

    def as_parquet(self) -> bytes:
        """The content of its file."""
        sink = BytesIO()
        pq.write_table(self.rows, sink, compression="zstd")
        return sink.getvalue()


def new_batch(table: RawTable, rows: pa.Table, run_id: str, part: int, extracted_at: datetime) -> Batch:
    """The batch of what a provider sent; for the arguments, see ``Archive.write``.

    Raises:
        ValueError: there are no rows, they do not have the table's schema, or a file's name cannot have this run id.
    """
    if not rows.num_rows:
        raise ValueError("a batch has at least one row")
    stamp = extracted_at.astimezone(UTC)
    path = f"{table.name}/extracted_on={stamp:%Y-%m-%d}/{run_id}-{part:04d}.parquet"
    if not _BATCH_PATH.fullmatch(path):
        raise ValueError(f"{run_id!r} cannot be part of a file's name")
    provenance = (run_id, stamp, path)
    columns = [pa.repeat(pa.scalar(v, f.type), rows.num_rows) for f, v in zip(PROVENANCE, provenance, strict=True)]
    whole = rows.select(table.provider_columns.names).cast(table.provider_columns)
    for field, column in zip(PROVENANCE, columns, strict=True):
        whole = whole.append_column(field, column)
    return Batch(path, table, whole)


def read_batch(path: str, body: bytes) -> Batch:
    """The batch that a file of the archive holds, checked.

    Args:
        path: relative to the archive.
        body: the file's content.

    Raises:
        BatchRefused: it is damaged, empty, of another schema, or lies under a wrong name.
    """
    named = _BATCH_PATH.fullmatch(path)
    if not named:
        raise BatchRefused(
            path, "its name is not <raw table>/extracted_on=<YYYY-MM-DD>/<run id>-<part>.parquet; rename it"
        )
    table = RAW_TABLES.get(named["table"])
    if table is None:
        raise BatchRefused(path, f"this release has no raw table {named['table']}; there are {', '.join(RAW_TABLES)}")
    if not body:
        raise BatchRefused(path, "it is empty (0 bytes); fetch it again, and delete this file")
    try:
        # Without `partitioning=None`, the folder's name would come back as a column.
        rows = pq.read_table(BytesIO(body), partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise BatchRefused(
            path,
            f"it is damaged, or not a Parquet file ({first_line(error)}); fetch it again, and delete this file",
        ) from error
    _check_rows(path, table, rows, named["run_id"], named["extracted_on"])
    for field in table.schema:
        # An older release did not have this column yet.
        if field.name not in rows.column_names:
            rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
    return Batch(path, table, rows.select(table.schema.names).cast(table.schema))


def extraction_day(path: str) -> str | None:
    """The day (UTC) on which a batch was extracted, from its path; None if this is not the path of a batch."""
    named = _BATCH_PATH.fullmatch(path)
    return named["extracted_on"] if named else None


def _check_times(path: str, name: str, column: pa.ChunkedArray) -> None:
    """Refuse times that no bar can have, some of which have no date in Python."""
    bounds = pc.min_max(column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())).as_py()
    first, end = (datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1e6 for year in _POSSIBLE_YEARS)
    if bounds["min"] is not None and not first <= bounds["min"] <= bounds["max"] < end:
        raise BatchRefused(path, f"{name} holds a time before {_POSSIBLE_YEARS[0]} or after {_POSSIBLE_YEARS[1]}")


def _check_rows(path: str, table: RawTable, rows: pa.Table, run_id: str, extracted_on: str) -> None:
    if not rows.num_rows:
        raise BatchRefused(path, "it holds no rows; delete this file")
    expected = {field.name: field.type for field in table.schema}
    found = {field.name: field.type for field in rows.schema}
    needed = {*table.keys, *(field.name for field in PROVENANCE)}
    differences = [
        f"{name} is {found.get(name, 'absent')} instead of {kind}"
        for name, kind in expected.items()
        if found.get(name) != kind and (name in found or name in needed)
    ]
    if differences:
        raise BatchRefused(path, f"its schema is not that of {table.name}: {'; '.join(differences)}")
    if newer := [f"{name} is {kind} instead of absent" for name, kind in found.items() if name not in expected]:
        raise BatchRefused(
            path,
            f"its schema is not that of {table.name}: {'; '.join(newer)}. Where a later release wrote it, run"
            " `trading-data replay` with that one; the file stays as it is",
        )
    for key in table.keys:
        if rows[key].null_count:
            raise BatchRefused(path, f"{rows[key].null_count} of its {rows.num_rows} rows have no {key}")
    for name, kind in found.items():
        if pa.types.is_timestamp(kind):
            _check_times(path, name, rows[name])
    extracted_days = pc.unique(pc.strftime(rows["_extracted_at"], "%Y-%m-%d")).to_pylist()
    for column, values, named in (
        ("_archive_path", pc.unique(rows["_archive_path"]).to_pylist(), path),
        ("_run_id", pc.unique(rows["_run_id"]).to_pylist(), run_id),
        ("_extracted_at", extracted_days, extracted_on),
    ):
        if values != [named]:
            raise BatchRefused(
                path,
                f"it lies under a wrong name: its {column} says {', '.join(map(str, values[:3]))} and its name {named}",
            )


def first_line(error: Exception) -> str:
    """The first line of what an error says; its name, if it says nothing."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
