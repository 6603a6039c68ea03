"""The connection to BigQuery: in the cloud, at an emulator's address, or embedded and started by the first command."""

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from google.api_core.exceptions import GoogleAPICallError, NotFound
from google.api_core.retry import Retry
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError
from google.cloud import bigquery
from requests.exceptions import RequestException

from extract.errors import ConfigurationError, PipelineError
from extract.settings import Settings
from extract.warehouse.errors import as_pipeline_error
from extract.warehouse.tables import raw_tables, schema_of

# The client's default is to retry for ten minutes, even if the connection is refused.
TIMEOUT = 60.0
RETRY: Retry = bigquery.DEFAULT_RETRY.with_timeout(120.0)
_NO_RETRY: Retry = Retry(predicate=lambda _: False)
LOAD_SECONDS = 600.0
# An emulator is on this machine or near it, so it answers soon.
_HELLO_SECONDS = 10.0

# An empty warehouse takes 6 MB, and a day of bars less than 1 MB.
_LEAST_BYTES_FREE = 20_000_000

# So many tables are looked up at once.
_LOOKS_AT_ONCE = 8

# The limit for one statement. A whole build reads 2 GB in fifty statements; a wrong join could read without limit, and
# the budget's mail comes hours later. profiles.yml sets the same limit for dbt.
_MOST_BYTES_BILLED = 20_000_000_000

type Row = bigquery.table.Row


@dataclass(frozen=True, slots=True)
class Warehouse:
    """A BigQuery project and our datasets in it.

    Attributes:
        client: the client, connected.
        dataset: the base name of the datasets.
        location: where the datasets are.
        address: the address of the API, for dbt; None for Google's.
        seconds: how long a statement may take.
        retry: which errors are retried, and for how long.
    """

    client: bigquery.Client
    dataset: str
    location: str
    address: str | None
    seconds: float = LOAD_SECONDS
    retry: Retry = RETRY

    def hurried(self, seconds: float) -> "Warehouse":
        """The same warehouse with shorter timeouts, for callers that prefer an early error to a late answer.

        Args:
            seconds: how long a statement may take; failures are retried for a fifth of that.
        """
        return replace(self, seconds=seconds, retry=RETRY.with_timeout(seconds / 5))

    @property
    def _timeout(self) -> float:
        return min(TIMEOUT, self.seconds)

    @property
    def raw(self) -> str:
        """The name of the raw dataset, with its project."""
        return f"{self.client.project}.{self.dataset}_raw"

    def create_raw(self) -> None:
        """Create the raw dataset and its tables if they do not exist, and add the columns that a table lacks.

        A table of an older release gets the new columns. Columns that a newer release added stay.

        Raises:
            PipelineError: BigQuery refused or failed; the text is its own.
        """
        dataset = bigquery.Dataset(self.raw)
        dataset.location = self.location
        with as_pipeline_error(f"creating {self.raw} failed"):
            try:
                listed = self.client.list_tables(dataset, timeout=TIMEOUT, retry=RETRY)
                existing = {table.table_id for table in listed}
            except NotFound:
                existing = set()
                self.client.create_dataset(dataset, exists_ok=True, timeout=TIMEOUT, retry=RETRY)
            tables = raw_tables(self.raw)
            for table in tables:
                if table.table_id not in existing:
                    self.client.create_table(table, exists_ok=True, timeout=TIMEOUT, retry=RETRY)
            with ThreadPoolExecutor(_LOOKS_AT_ONCE) as pool:
                list(pool.map(self._add_columns, (table for table in tables if table.table_id in existing)))

    def _add_columns(self, wanted: bigquery.Table) -> None:
        there = self.client.get_table(wanted.reference, timeout=TIMEOUT, retry=RETRY)
        known = {field.name.casefold() for field in there.schema}
        if added := [field for field in wanted.schema if field.name.casefold() not in known]:
            there.schema = [*there.schema, *added]
            self.client.update_table(there, ["schema"], timeout=TIMEOUT, retry=RETRY)

    def query(
        self, sql: str, parameters: Sequence[bigquery.ArrayQueryParameter | bigquery.ScalarQueryParameter] = ()
    ) -> Iterator[Any]:
        """Run one statement of GoogleSQL and return its rows, which are fetched page by page.

        Raises:
            PipelineError: BigQuery refused or failed, now or while a later page is fetched; the text is its own.
        """
        config = bigquery.QueryJobConfig(query_parameters=list(parameters))
        with as_pipeline_error("the query failed"):
            job = self.client.query(sql, job_config=config, timeout=self._timeout, retry=self.retry, job_retry=None)
            rows = job.result(timeout=self.seconds, retry=self.retry)
        return _fetched(rows)

    def ask(self, sql: str, *, is_dry: bool = False) -> bigquery.QueryJob:
        """Start one statement, in which a table without a dataset is a mart; errors are the client's own.

        Args:
            sql: the statement.
            is_dry: do not run it, but return its type and schema.
        """
        marts = bigquery.DatasetReference(self.client.project, self.dataset)
        config = bigquery.QueryJobConfig(default_dataset=marts)
        if is_dry:
            config.dry_run, config.use_query_cache = True, False
        return self.client.query(sql, job_config=config, timeout=self.seconds, retry=self.retry, job_retry=None)

    def recent_queries(self, since: datetime) -> list[bigquery.QueryJob]:
        """The statements of this account that ended since a moment, the latest first; at most a thousand.

        Raises:
            PipelineError: BigQuery refused or failed; the text is its own.
        """
        with as_pipeline_error("listing the jobs failed"):
            jobs = self.client.list_jobs(
                max_results=1000, min_creation_time=since, state_filter="done", timeout=TIMEOUT, retry=RETRY
            )
            return [job for job in jobs if isinstance(job, bigquery.QueryJob)]

    def exists(self, table: str) -> bool:
        """Whether the table or view ``dataset.table`` exists."""
        with as_pipeline_error(f"looking for {table} failed"):
            try:
                self.client.get_table(f"{self.client.project}.{table}", timeout=self._timeout, retry=self.retry)
            except NotFound:
                return False
        return True

    def append(self, destination: str, rows: pa.Table, job_id: str) -> None:
        """Append rows to a table, in one load job; errors are the client's own.

        Args:
            destination: the table, with its project and dataset.
            rows: in its columns.
            job_id: the job's id; BigQuery accepts each only once.
        """
        body = BytesIO()
        pq.write_table(rows, body, compression="zstd")
        config = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.PARQUET,
            schema=schema_of(rows.schema),
            write_disposition=bigquery.WriteDisposition.WRITE_APPEND,
            create_disposition=bigquery.CreateDisposition.CREATE_NEVER,
        )
        body.seek(0)
        job = self.client.load_table_from_file(
            body, destination, job_id=job_id, job_config=config, timeout=LOAD_SECONDS
        )
        job.result(timeout=LOAD_SECONDS, retry=RETRY)


def _fetched(rows: bigquery.table.RowIterator) -> Iterator[Any]:
    with as_pipeline_error("reading the rows failed"):
        yield from rows


@contextlib.contextmanager
def open_warehouse(settings: Settings) -> Iterator[Warehouse]:
    """Connect to the warehouse that the settings name; if they name none, start the embedded one.

    Raises:
        ConfigurationError: there are no credentials, nothing answers at the emulator's address, or the embedded
            warehouse is not installed or cannot use its folder.
        PipelineError: the embedded warehouse did not start.
    """
    if settings.is_embedded:
        try:
            from infra.local import warehouse as embedded
            from infra.local.emulator import PROJECT
        except ImportError as error:
            raise ConfigurationError(
                "neither BIGQUERY_PROJECT nor BIGQUERY_EMULATOR_HOST is set, and the embedded warehouse is not"
                " installed; set one of them, or run `make setup`"
            ) from error
        if unusable := sorted(set("'?\\\n") & set(str(settings.warehouse_dir))):
            raise ConfigurationError(
                f"WAREHOUSE_DIR is {settings.warehouse_dir}, and the embedded warehouse can use no folder with"
                f" {' or '.join(map(repr, unusable))} in its path; name another one"
            )
        with contextlib.ExitStack() as leave:
            try:
                _require_room(settings.warehouse_dir)
                address = leave.enter_context(embedded.running(settings.warehouse_dir, settings.warehouse_idle_seconds))
            except embedded.WarehouseNotRunningError as error:
                raise PipelineError(str(error)) from error
            except OSError as error:
                raise ConfigurationError(
                    f"WAREHOUSE_DIR is {settings.warehouse_dir}, which cannot be used: {error.strerror}; name another"
                    " folder"
                ) from error
            yield _connect(settings, PROJECT, address)
    elif settings.emulator_host:
        warehouse = _connect(settings, settings.project or "local", settings.emulator_host)
        try:
            list(warehouse.client.list_datasets(max_results=1, timeout=_HELLO_SECONDS, retry=_NO_RETRY))
        except (RequestException, GoogleAPICallError) as error:
            raise ConfigurationError(
                f"BIGQUERY_EMULATOR_HOST is {settings.emulator_host}, and no BigQuery answers there"
            ) from error
        yield warehouse
    else:
        yield _connect(settings, settings.project, None)


def _require_room(folder: Path) -> None:
    """Check that the embedded warehouse has room to write.

    With less room, a command would soon end half-way.

    Raises:
        PipelineError: the disk is almost full.
        OSError: the folder cannot be created.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(folder).free) < _LEAST_BYTES_FREE:
        raise PipelineError(
            f"the disk is full: {free / 1e6:.0f} MB are free at WAREHOUSE_DIR, {folder}; make room, or name another"
            " folder, then run the same command again"
        )


def _connect(settings: Settings, project: str | None, address: str | None) -> Warehouse:
    try:
        client = bigquery.Client(
            project=project,
            location=settings.location,
            credentials=AnonymousCredentials() if address else None,  # type: ignore[no-untyped-call]
            client_options={"api_endpoint": address} if address else None,
            # The embedded warehouse bills nothing, and does not support the limit.
            default_query_job_config=None
            if address
            else bigquery.QueryJobConfig(maximum_bytes_billed=_MOST_BYTES_BILLED),
        )
    except DefaultCredentialsError as error:
        raise ConfigurationError(
            f"BIGQUERY_PROJECT is {project} and there are no Google credentials here; run"
            " `gcloud auth application-default login`, or unset it to use the embedded warehouse"
        ) from error
    return Warehouse(client, settings.dataset, settings.location, address)


def require_marts(warehouse: Warehouse) -> None:
    """Check that something was built.

    Raises:
        PipelineError: nothing has been built yet, or the warehouse failed.
    """
    # The view of the alerts reads all others, so it is built last.
    if not warehouse.exists(f"{warehouse.dataset}_operations.operations_alerts"):
        raise PipelineError(
            f"nothing has been built in {warehouse.client.project}.{warehouse.dataset} yet by this release; run"
            " `trading-data run`, or `trading-data replay` where there is an archive"
        )
