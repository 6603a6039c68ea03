"""The archive: one Parquet file for each batch that a provider sent. The source of truth; raw is built from it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from pathlib import Path

import obstore
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, from_url

from extract.errors import ConfigurationError, PipelineError
from extract.raw import PROVENANCE, RAW_TABLES, RawTable
from extract.seeds import exchange_date

# Shorter than the lease, which is kept here too.
_RETRY_TIMEOUT = timedelta(minutes=2)

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
        """The oldest day that this batch can change of each symbol, with the symbols of that day, sorted.

        It is the symbol's first trade date, or the day the batch came, if that is older.
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

    def __init__(self, uri: str) -> None:
        """Open the archive at ``uri``: a folder, which is made where it does not exist, or ``gs://bucket/prefix``."""
        self.uri = uri
        try:
            if uri.startswith("gs://"):
                self._store = from_url(uri, retry_config={"retry_timeout": _RETRY_TIMEOUT})
            else:
                self._store = LocalStore(Path(uri.removeprefix("file://")), mkdir=True)
        except (BaseError, OSError) as error:
            raise ConfigurationError(f"the archive {uri} cannot be opened: {_first_line(error)}") from error

    def write(self, table: RawTable, rows: pa.Table, run_id: str, part: int, extracted_at: datetime) -> str:
        """Archive what a provider sent, and return the batch's path.

        The file appears whole or not at all, and is never replaced. Writing the same batch again is no error, so an
        interrupted run may repeat itself; writing another one under the same name is.

        Args:
            table: the raw table that the batch is for.
            rows: at least one row, in the provider's columns (``table.provider_columns``).
            run_id: the run that fetched it.
            part: numbers the batches of one run and table.
            extracted_at: when the provider answered; a time with zone.

        Raises:
            ValueError: the rows are none, or not of the table's schema.
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
        if not self.create(path, _parquet(whole)) and not self.read(path).rows.equals(whole):
            raise PipelineError(
                f"the archive already holds another batch as {path}; nothing was written. Use a new run id"
            )
        return path

    def create(self, path: str, body: bytes) -> bool:
        """Write an object, whole or not at all; return False where there is one of this name, which stays.

        Raises:
            PipelineError: the archive cannot be written.
        """
        try:
            obstore.put(self._store, path, body, mode="create")
        except AlreadyExistsError:
            return False
        except BaseError as error:
            raise PipelineError(f"the archive {self.uri} cannot be written: {_first_line(error)}") from error
        return True

    def body(self, path: str) -> bytes:
        """What an object holds.

        Raises:
            PipelineError: the archive cannot be read.
        """
        try:
            return bytes(obstore.get(self._store, path).bytes())
        except BaseError as error:
            raise PipelineError(f"{self.uri}/{path} cannot be read: {_first_line(error)}") from error

    def paths(self) -> list[str]:
        """The paths of all files that could be batches, sorted: every ``.parquet`` file, whatever its name."""
        return sorted(path for path in self.listed() if path.endswith(".parquet"))

    def paths_since(self, day: date) -> list[str]:
        """The paths of the batches that were extracted on ``day`` (UTC) or later, sorted; no older folder is listed."""
        found: list[str] = []
        for table in RAW_TABLES:
            found += self.listed(prefix=f"{table}/", offset=f"{table}/extracted_on={day}")
        return sorted(path for path in found if path.endswith(".parquet"))

    def folders(self, prefix: str) -> list[str]:
        """The folders right below a prefix, which ends with a slash.

        Raises:
            PipelineError: the archive cannot be listed.
        """
        try:
            return list(obstore.list_with_delimiter(self._store, prefix=prefix)["common_prefixes"])
        except BaseError as error:
            raise PipelineError(f"the archive {self.uri} cannot be listed: {_first_line(error)}") from error

    def listed(self, prefix: str | None = None, offset: str | None = None) -> Iterator[str]:
        """The paths of the objects that begin with a prefix and come after an offset, in no order.

        Raises:
            PipelineError: the archive cannot be listed.
        """
        try:
            for page in obstore.list(self._store, prefix=prefix, offset=offset):
                yield from (entry["path"] for entry in page)
        except BaseError as error:
            raise PipelineError(f"the archive {self.uri} cannot be listed: {_first_line(error)}") from error

    def read(self, path: str) -> Batch:
        """Read one batch and prove that it is what its name says.

        Raises:
            BatchRefused: it is torn, empty, of another schema, or lies under a wrong name.
            PipelineError: the archive cannot be read.
        """
        named = _BATCH_PATH.fullmatch(path)
        if not named:
            raise BatchRefused(
                path, "its name is not <raw table>/extracted_on=<YYYY-MM-DD>/<run id>-<part>.parquet; rename it"
            )
        table = RAW_TABLES.get(named["table"])
        if table is None:
            raise BatchRefused(path, f"there is no raw table {named['table']}; there are {', '.join(RAW_TABLES)}")
        body = self.body(path)
        if not body:
            raise BatchRefused(path, "it is empty (0 bytes); fetch it again, and delete this file")
        try:
            # Without `partitioning=None`, the folder's name would come back as a column.
            rows = pq.read_table(BytesIO(body), partitioning=None)
        except (pa.ArrowException, OSError) as error:
            raise BatchRefused(
                path, f"it is torn or no Parquet file ({_first_line(error)}); fetch it again, and delete this file"
            ) from error
        _check_rows(path, table, rows, named["run_id"], named["extracted_on"])
        return Batch(path, table, rows.select(table.schema.names).cast(table.schema))


def _check_rows(path: str, table: RawTable, rows: pa.Table, run_id: str, extracted_on: str) -> None:
    if not rows.num_rows:
        raise BatchRefused(path, "it holds no rows; delete this file")
    expected = {field.name: field.type for field in table.schema}
    found = {field.name: field.type for field in rows.schema}
    differences = [
        f"{name} is {found.get(name, 'absent')} instead of {expected.get(name, 'absent')}"
        for name in [*expected, *(name for name in found if name not in expected)]
        if found.get(name) != expected.get(name)
    ]
    if differences:
        raise BatchRefused(path, f"its schema is not that of {table.name}: {'; '.join(differences)}")
    for key in table.keys:
        if rows[key].null_count:
            raise BatchRefused(path, f"{rows[key].null_count} of its {rows.num_rows} rows have no {key}")
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
