"""The connection to BigQuery: in the cloud, at an emulator's address, or embedded and started by the first command."""

import contextlib
import hashlib
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from google.api_core.exceptions import Conflict, GoogleAPICallError, NotFound, RetryError
from google.api_core.retry import Retry
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError, RefreshError, TransportError
from requests.exceptions import RequestException

from extract.errors import ConfigurationError, PipelineError
from extract.imports import without
from extract.landing.archive import Batch
from extract.landing.raw import RAW_TABLES
from extract.network import unreached
from extract.settings import Settings

# Without data frames and the Storage API, which this module does not use: they take half of the time of the import.
with without("pandas", "pandas_gbq", "google.cloud.bigquery_storage_v1"):
    from google.cloud import bigquery

# The client's default is to retry for ten minutes, even if the connection is refused.
_TIMEOUT = 60.0
_RETRY: Retry = bigquery.DEFAULT_RETRY.with_timeout(120.0)
_NO_RETRY: Retry = Retry(predicate=lambda _: False)
_LOAD_SECONDS = 600.0
# An emulator is on this machine or near it, so it answers soon.
_HELLO_SECONDS = 10.0

# An empty warehouse takes 6 MB, and a day of bars less than 1 MB.
_LEAST_BYTES_FREE = 20_000_000

# So many tables are looked up at once.
_LOOKS_AT_ONCE = 8

# The limit for one statement. A whole build reads 2 GB in fifty statements; a wrong join could read without limit, and
# the budget's mail comes hours later. profiles.yml sets the same limit for dbt.
_MOST_BYTES_BILLED = 20_000_000_000

# BigQuery keeps the id of a load job for months, even if the job failed, so each further attempt has the next number.
# A table that is dropped and created again has other ids.
_LOAD_ATTEMPTS = 20

_BIGQUERY_TYPES = {
    pa.string(): "STRING",
    pa.int64(): "INT64",
    pa.float64(): "FLOAT64",
    pa.date32(): "DATE",
    pa.timestamp("us", tz="UTC"): "TIMESTAMP",
}

# The batches that the marts have yet to merge. A batch is noted here before it is loaded, and again after the build
# that merged it, so that a process may die between any two steps and the next build still reaches back far enough.
BATCH_EVENTS = "batch_events"
_BATCH_EVENTS_SCHEMA = pa.schema(
    [
        pa.field("_archive_path", pa.string()),
        pa.field("event", pa.string()),
        pa.field("oldest_date", pa.date32()),
        pa.field("symbols", pa.string()),
        pa.field("recorded_at", pa.timestamp("us", tz="UTC")),
    ]
)

type Row = bigquery.table.Row

# The alerts that were sent to the webhook, and when.
ALERT_EVENTS = "alert_events"
_ALERT_EVENTS_SCHEMA = pa.schema(
    [
        pa.field("alert_id", pa.string()),
        pa.field("subject", pa.string()),
        pa.field("severity", pa.string()),
        pa.field("text", pa.string()),
        pa.field("event", pa.string()),
        pa.field("recorded_at", pa.timestamp("us", tz="UTC")),
    ]
)

# The version of the models and seeds that built the marts; another version builds all of them again.
BUILDS = "builds"
_BUILDS_SCHEMA = pa.schema(
    [
        pa.field("project_digest", pa.string()),
        pa.field("window_start", pa.date32()),
        pa.field("built_at", pa.timestamp("us", tz="UTC")),
    ]
)


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
    seconds: float = _LOAD_SECONDS
    retry: Retry = _RETRY

    def hurried(self, seconds: float) -> "Warehouse":
        """The same warehouse with shorter timeouts, for callers that prefer an early error to a late answer.

        Args:
            seconds: how long a statement may take; failures are retried for a fifth of that.
        """
        return replace(self, seconds=seconds, retry=_RETRY.with_timeout(seconds / 5))

    @property
    def _timeout(self) -> float:
        return min(_TIMEOUT, self.seconds)

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
                listed = self.client.list_tables(dataset, timeout=_TIMEOUT, retry=_RETRY)
                existing = {table.table_id for table in listed}
            except NotFound:
                existing = set()
                self.client.create_dataset(dataset, exists_ok=True, timeout=_TIMEOUT, retry=_RETRY)
            tables = raw_tables(self.raw)
            for table in tables:
                if table.table_id not in existing:
                    self.client.create_table(table, exists_ok=True, timeout=_TIMEOUT, retry=_RETRY)
            with ThreadPoolExecutor(_LOOKS_AT_ONCE) as pool:
                list(pool.map(self._add_columns, (table for table in tables if table.table_id in existing)))

    def _add_columns(self, wanted: bigquery.Table) -> None:
        there = self.client.get_table(wanted.reference, timeout=_TIMEOUT, retry=_RETRY)
        known = {field.name.casefold() for field in there.schema}
        if added := [field for field in wanted.schema if field.name.casefold() not in known]:
            there.schema = [*there.schema, *added]
            self.client.update_table(there, ["schema"], timeout=_TIMEOUT, retry=_RETRY)

    def query(
        self, sql: str, parameters: Sequence[bigquery.ArrayQueryParameter | bigquery.ScalarQueryParameter] = ()
    ) -> bigquery.table.RowIterator:
        """Run one statement of GoogleSQL and return its rows.

        Raises:
            PipelineError: BigQuery refused or failed; the text is its own.
        """
        config = bigquery.QueryJobConfig(query_parameters=list(parameters))
        with as_pipeline_error("the query failed"):
            job = self.client.query(sql, job_config=config, timeout=self._timeout, retry=self.retry, job_retry=None)
            return job.result(timeout=self.seconds, retry=self.retry)

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
                max_results=1000, min_creation_time=since, state_filter="done", timeout=_TIMEOUT, retry=_RETRY
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

    def loaded_paths(self, since: date | None = None) -> set[str]:
        """The archive paths of the batches that raw holds: all, or those extracted on a day (UTC) or later."""
        where = f" where _extracted_at >= timestamp('{since}')" if since else ""
        selects = (f"select distinct _archive_path from `{self.raw}.{name}`{where}" for name in RAW_TABLES)
        return {row["_archive_path"] for row in self.query("\nunion all\n".join(selects))}

    def load(self, batches: Sequence[Batch]) -> None:
        """Append batches of one raw table in one atomic job: all of them or none.

        The job's id is derived from the batches' paths and the table's creation time, and BigQuery accepts an id only
        once. If two processes load the same batches, or an answer was lost, the second attempt finds the first job
        instead of loading again. A table that was dropped and created again, as a candidate's is each week, has another
        creation time, so it is loaded.

        Raises:
            PipelineError: BigQuery refused or failed; none of these batches is in raw.
        """
        table = f"{self.raw}.{batches[0].table.name}"
        paths = {batch.path for batch in batches}
        rows = pa.concat_tables([batch.rows for batch in batches])
        with as_pipeline_error(f"loading into {table} failed"):
            born_at = self.client.get_table(table, timeout=_TIMEOUT, retry=_RETRY).created
            job_id = f"load_{batches[0].table.name}_{_digest([table, str(born_at), *sorted(paths)])}"
            for attempt in range(1, _LOAD_ATTEMPTS + 1):
                try:
                    self._append(table, rows, f"{job_id}_{attempt}")
                except Conflict:
                    earlier = self.client.get_job(f"{job_id}_{attempt}", timeout=_TIMEOUT, retry=_RETRY)
                    with contextlib.suppress(GoogleAPICallError):
                        earlier.result(timeout=_LOAD_SECONDS)
                    if not paths <= self._held_paths(paths):
                        continue
                return
        raise PipelineError(f"loading into {table} failed {_LOAD_ATTEMPTS} times; see the jobs {job_id}_*")

    def note_landing(self, batches: Sequence[Batch]) -> None:
        """Note for batches that are about to be loaded which symbols they can change, and from which day on.

        Batches on which no bar depends are not noted.
        """
        self._note(
            {
                "_archive_path": batch.path,
                "event": "landing",
                "oldest_date": oldest_date,
                "symbols": ",".join(symbols),
            }
            for batch in batches
            if batch.table.dates
            for oldest_date, symbols in batch.oldest_dates.items()
        )

    def note_merged(self, paths: Iterable[str]) -> None:
        """Note that a build has merged these batches."""
        self._note({"_archive_path": path, "event": "merged"} for path in paths)

    def _note(self, events: Iterable[dict[str, object]]) -> None:
        now = datetime.now(UTC)
        rows = [event | {"recorded_at": now} for event in events]
        if rows:
            with as_pipeline_error(f"writing into {self.raw}.{BATCH_EVENTS} failed"):
                # A repeated note is harmless, so each job has a new id.
                self._append(
                    f"{self.raw}.{BATCH_EVENTS}",
                    pa.Table.from_pylist(rows, _BATCH_EVENTS_SCHEMA),
                    f"note_{uuid.uuid4().hex}",
                )

    def note_build(self, project_digest: str, window_start: date | None) -> None:
        """Note a build in which every model and test passed; ``window_start`` is None for a full build."""
        row = {"project_digest": project_digest, "window_start": window_start, "built_at": datetime.now(UTC)}
        with as_pipeline_error("noting the build failed"):
            rows = pa.Table.from_pylist([row], _BUILDS_SCHEMA)
            self._append(f"{self.raw}.{BUILDS}", rows, f"note_build_{uuid.uuid4().hex}")

    def alerts_sent(self) -> list[Row]:
        """The last message of each alert that was sent and has not gone since, in columns of ``alert_events``."""
        return list(
            self.query(
                f"""
                select alert_id, subject, severity, text, recorded_at
                from `{self.raw}.{ALERT_EVENTS}`
                where true
                qualify
                    row_number() over (partition by alert_id, subject order by recorded_at desc) = 1
                    and event = 'raised'
                order by recorded_at desc
                """
            )
        )

    def note_alerts(self, events: Iterable[tuple[str, str, str, str, str]], now: datetime) -> None:
        """Note the alerts that were sent: alert_id, subject, severity, text, and ``raised`` or ``gone``."""
        names = _ALERT_EVENTS_SCHEMA.names
        rows = pa.Table.from_pylist([dict(zip(names, (*e, now), strict=True)) for e in events], _ALERT_EVENTS_SCHEMA)
        with as_pipeline_error(f"writing into {self.raw}.{ALERT_EVENTS} failed"):
            self._append(f"{self.raw}.{ALERT_EVENTS}", rows, f"note_alerts_{uuid.uuid4().hex}")

    def last_project_digest(self) -> str | None:
        """The digest of the project that built the marts; None if nothing was built."""
        rows = list(self.query(f"select project_digest from `{self.raw}.{BUILDS}` order by built_at desc limit 1"))
        return rows[0]["project_digest"] if rows else None

    def last_built_at(self) -> datetime | None:
        """When the last build ended in which every model and test passed; None if there is none."""
        if not self.exists(f"{self.dataset}_raw.{BUILDS}"):
            return None
        (row,) = self.query(f"select max(built_at) as built_at from `{self.raw}.{BUILDS}`")
        built_at: datetime | None = row["built_at"]
        return built_at

    def unmerged_batches(self) -> list[str]:
        """The paths of the batches that raw holds and that were not yet noted as merged, sorted.

        A batch that was noted as landing but never loaded is not included: it will land again, and is merged then.
        """
        noted = self.query(
            f"""
            select _archive_path
            from `{self.raw}.{BATCH_EVENTS}`
            group by _archive_path
            having countif(event = 'merged') = 0
            """
        )
        return sorted(self._held_paths({row["_archive_path"] for row in noted}))

    def _held_paths(self, paths: set[str]) -> set[str]:
        """Those of the given paths whose batches raw holds."""
        if not paths:
            return set()
        # Read only the partitions since the first day on which they were extracted, however long the history is.
        first_day = min(path.split("extracted_on=")[1][:10] for path in paths)
        selects = (
            f"select distinct _archive_path from `{self.raw}.{name}`"
            f" where _extracted_at >= timestamp('{first_day}') and _archive_path in unnest(@paths)"
            for name in RAW_TABLES
        )
        asked = bigquery.ArrayQueryParameter("paths", "STRING", sorted(paths))
        return {row["_archive_path"] for row in self.query("\nunion all\n".join(selects), [asked])}

    def _append(self, destination: str, rows: pa.Table, job_id: str) -> None:
        body = BytesIO()
        pq.write_table(rows, body, compression="zstd")
        config = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.PARQUET,
            schema=_schema(rows.schema),
            write_disposition=bigquery.WriteDisposition.WRITE_APPEND,
            create_disposition=bigquery.CreateDisposition.CREATE_NEVER,
        )
        body.seek(0)
        job = self.client.load_table_from_file(
            body, destination, job_id=job_id, job_config=config, timeout=_LOAD_SECONDS
        )
        job.result(timeout=_LOAD_SECONDS, retry=_RETRY)


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

    On a full disk, DuckDB refuses each statement, and the server lets its clients wait.

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


@contextlib.contextmanager
def as_pipeline_error(what: str) -> Iterator[None]:
    """Turn an error of BigQuery, or of the connection, into a PipelineError: what failed, and the original message."""
    try:
        yield
    except (
        GoogleAPICallError,
        RefreshError,
        RequestException,
        RetryError,
        TransportError,
        ConnectionError,
        TimeoutError,
    ) as error:
        raise PipelineError(f"{what}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    cause = getattr(error, "cause", None) or error
    request = getattr(cause, "request", None)
    if isinstance(cause, RequestException) and request is not None:
        return unreached(cause, str(request.url))
    return getattr(error, "message", None) or str(error)


def raw_tables(dataset: str) -> list[bigquery.Table]:
    """The definitions of the tables of the raw dataset, which is named with its project."""
    return [
        *(_table(f"{dataset}.{t.name}", t.schema, "_extracted_at", [t.symbol]) for t in RAW_TABLES.values()),
        _table(f"{dataset}.{BATCH_EVENTS}", _BATCH_EVENTS_SCHEMA, "recorded_at", ["_archive_path"]),
        _table(f"{dataset}.{ALERT_EVENTS}", _ALERT_EVENTS_SCHEMA, "recorded_at", ["alert_id"]),
        _table(f"{dataset}.{BUILDS}", _BUILDS_SCHEMA, "built_at", ["project_digest"]),
    ]


def _schema(schema: pa.Schema) -> list[bigquery.SchemaField]:
    return [bigquery.SchemaField(field.name, _BIGQUERY_TYPES[field.type]) for field in schema]


def _table(name: str, schema: pa.Schema, partition: str, clustering: list[str]) -> bigquery.Table:
    table = bigquery.Table(name, schema=_schema(schema))
    table.time_partitioning = bigquery.TimePartitioning(type_=bigquery.TimePartitioningType.DAY, field=partition)
    table.clustering_fields = clustering
    return table


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:20]


def require_marts(warehouse: Warehouse) -> None:
    """Check that something was built.

    Raises:
        PipelineError: nothing has been built yet, or the warehouse failed.
    """
    # The view of the alerts reads all others, so it is built last.
    if not warehouse.exists(f"{warehouse.dataset}_operations.operations_alerts"):
        raise PipelineError(
            f"nothing has been built in {warehouse.client.project}.{warehouse.dataset} yet, by this release; run"
            " `trading-data run`, or `trading-data replay` where there is an archive"
        )
