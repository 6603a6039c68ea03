"""The archive: one Parquet file for each batch that a provider sent. The source of truth; raw is built from it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path

import obstore
import pyarrow as pa
from obstore.exceptions import AlreadyExistsError
from obstore.store import LocalStore, ObjectStore, from_url

from extract.errors import ConfigurationError, PipelineError
from extract.landing.batch import Batch, BatchRefused, first_line, new_batch, read_batch
from extract.landing.raw import RAW_TABLES
from extract.landing.raw_table import RawTable

# Shorter than the expiry of the lease, whose records are also in the archive.
_RETRY_TIMEOUT = timedelta(minutes=2)


class Archive:
    """Batches in a folder or a bucket, written once and never changed."""

    def __init__(self, uri: str, *, must_exist: bool = False, setting: str = "ARCHIVE_URI") -> None:
        """Open the archive at ``uri``: a folder, or ``gs://bucket/prefix``.

        Args:
            uri: where it is.
            must_exist: raise an error if the folder does not exist; by default, it is created.
            setting: the setting that has the address, for the message.

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
                f"the archive {uri} cannot be opened: {_cause(error)}; set {setting} to another one"
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
        batch = new_batch(table, rows, run_id, part, extracted_at)
        if not self.create(batch.path, batch.as_parquet()) and not self._holds(batch):
            raise PipelineError(
                f"the archive already holds another batch as {batch.path}; nothing was written. Use a new run id"
            )
        return batch.path

    def _holds(self, batch: Batch) -> bool:
        try:
            return bool(self.read(batch.path).rows.equals(batch.rows))
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
        """Read one batch; see ``read_batch``.

        Raises:
            BatchRefused: it is no batch that raw can take.
            PipelineError: the archive cannot be read.
        """
        return read_batch(path, self.body(path))


def _cause(error: Exception) -> str:
    """The store's reason for a failure, without its internal names, and with what to do."""
    told = re.sub(r"^Generic \w+ error: (Unable to [^:]*: )?| \(os error \d+\)$", "", first_line(error))
    is_full = re.search("no space left|quota|file too large", told, re.IGNORECASE)
    return f"{told}; make room, then run the same command again" if is_full else told
