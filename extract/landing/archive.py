"""The archive: one Parquet file for each batch that a provider sent. The source of truth; raw is built from it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from pathlib import Path

import obstore
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from obstore.exceptions import AlreadyExistsError
from obstore.store import LocalStore, ObjectStore, from_url

from extract.errors import ConfigurationError, PipelineError
from extract.landing.raw import RAW_TABLES
from extract.landing.raw_table import PROVENANCE, RawTable
from extract.seeds import exchange_date

# Shorter than the expiry of the lease, whose records are also in the archive.
_RETRY_TIMEOUT = timedelta(minutes=2)

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


class Archive:
    """Batches in a folder or a bucket, written once and never changed."""

    def __init__(self, uri: str, *, must_exist: bool = False) -> None:
        """Open the archive at ``uri``: a folder, or ``gs://bucket/prefix``.

        Args:
            uri: where it is.
            must_exist: raise an error if the folder does not exist; by default, it is created.

        Raises:
            ConfigurationError: it cannot be opened.
        """
        self.uri = uri
        is_bucket = uri.startswith("gs://")
        self.folder = None if is_bucket else Path(uri.removeprefix("file://"))
        if self.folder and must_exist and not self.folder.is_dir():
            raise ConfigurationError(f"there is no archive at {uri}: no such folder; give the one with its batches")
        try:
            if self.folder:
                self._store: ObjectStore = LocalStore(self.folder, mkdir=True)
            else:
                self._store = from_url(uri, retry_config={"retry_timeout": _RETRY_TIMEOUT})
        # The store's library raises many kinds of errors, builtin ones included.
        except Exception as error:
            raise ConfigurationError(
                f"the archive {uri} cannot be opened: {_cause(error)}; set ARCHIVE_URI to another one"
            ) from error

    def write(self, table: RawTable, rows: pa.Table, run_id: str, part: int, extracted_at: datetime) -> str:
        """Archive what a provider sent, and return the batch's path.

        The file appears whole or not at all, and is never replaced. Writing the same batch again is not an error, so
        an interrupted run may be repeated; writing another batch under the same name is an error.

        Args:
            table: the raw table that the batch is for.
            rows: at least one row, in the provider's columns (``table.provider_columns``).
            run_id: the run that fetched it.
            part: numbers the batches of one run and table.
            extracted_at: when the provider answered; a time with zone.

        Raises:
            ValueError: there are no rows, or they do not have the table's schema.
            PipelineError: the archive cannot be written, or holds something else under this name.
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
        if not self.create(path, _parquet(whole)) and not self._holds(path, whole):
            raise PipelineError(
                f"the archive already holds another batch as {path}; nothing was written. Use a new run id"
            )
        return path

    def _holds(self, path: str, rows: pa.Table) -> bool:
        try:
            return bool(self.read(path).rows.equals(rows))
        except BatchRefused:
            return False

    def create(self, path: str, body: bytes) -> bool:
        """Write an object, whole or not at all; return False if the name is taken, and leave the existing object.

        Raises:
            PipelineError: the archive cannot be written.
        """
        with self._told("written"):
            try:
                obstore.put(self._store, path, body, mode="create")
            except AlreadyExistsError:
                return False
        return True

    def body(self, path: str) -> bytes:
        """The content of an object.

        Raises:
            PipelineError: the archive cannot be read.
        """
        with self._told("read", path):
            return bytes(obstore.get(self._store, path).bytes())

    def paths(self) -> list[str]:
        """The paths of all files that could be batches, sorted: every ``.parquet`` file, whatever its name."""
        return sorted(path for path in self.listed() if path.endswith(".parquet"))

    def paths_since(self, day: date) -> list[str]:
        """The paths of the batches extracted on ``day`` (UTC) or later, sorted; older folders are not listed."""
        found: list[str] = []
        for table in RAW_TABLES:
            found += self.listed(prefix=f"{table}/", offset=f"{table}/extracted_on={day}")
        return sorted(path for path in found if path.endswith(".parquet"))

    def folders(self, prefix: str) -> list[str]:
        """The folders directly below a prefix, which ends with a slash.

        Raises:
            PipelineError: the archive cannot be listed.
        """
        with self._told("listed"):
            return list(obstore.list_with_delimiter(self._store, prefix=prefix)["common_prefixes"])

    def listed(self, prefix: str | None = None, offset: str | None = None) -> Iterator[str]:
        """The paths of the objects that begin with a prefix and come after an offset, in no order.

        Raises:
            PipelineError: the archive cannot be listed.
        """
        with self._told("listed"):
            for page in obstore.list(self._store, prefix=prefix, offset=offset):
                yield from (entry["path"] for entry in page)

    @contextmanager
    def _told(self, what: str, path: str | None = None) -> Iterator[None]:
        """Turn an error of the store into one sentence; its library raises builtin errors too, such as for a 404."""
        try:
            yield
        except Exception as error:
            where = f"{self.uri}/{path}" if path else f"the archive {self.uri}"
            raise PipelineError(f"{where} cannot be {what}: {_cause(error)}") from error

    def read(self, path: str) -> Batch:
        """Read one batch; see ``batch_of``.

        Raises:
            BatchRefused: it is no batch that raw can take.
            PipelineError: the archive cannot be read.
        """
        return batch_of(path, self.body(path))


def batch_of(path: str, body: bytes) -> Batch:
    """The batch that an object holds, if its content agrees with its name.

    Args:
        path: of the object, relative to the archive.
        body: its content, a Parquet file.

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
            f"it is damaged, or not a Parquet file ({_first_line(error)}); fetch it again, and delete this file",
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


def _parquet(rows: pa.Table) -> bytes:
    sink = BytesIO()
    pq.write_table(rows, sink, compression="zstd")
    return sink.getvalue()


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _cause(error: Exception) -> str:
    """The store's reason for a failure, without its internal names, and with what to do."""
    told = re.sub(r"^Generic \w+ error: (Unable to [^:]*: )?| \(os error \d+\)$", "", _first_line(error))
    is_full = re.search("no space left|quota|file too large", told, re.IGNORECASE)
    return f"{told}; make room, then run the same command again" if is_full else told
