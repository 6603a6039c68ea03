"""BigQuery, wherever it is: in the cloud, at an emulator's address, or embedded, and started by the first command."""

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

# The client offers data frames and a second interface for downloads. We use neither, and they are half of its import.
with without("pandas", "pandas_gbq", "google.cloud.bigquery_storage_v1"):
    from google.cloud import bigquery

# The client's own retries go on for ten minutes, even against a refused connection.
_TIMEOUT = 60.0
_RETRY: Retry = bigquery.DEFAULT_RETRY.with_timeout(120.0)
_NO_RETRY: Retry = Retry(predicate=lambda _: False)
_LOAD_SECONDS = 600.0
# An emulator is on this machine, or beside it.
_HELLO_SECONDS = 10.0

# An empty warehouse takes 6 MB, and a day of bars less than one.
_LEAST_BYTES_FREE = 20_000_000

# As many tables are looked at together.
_LOOKS_AT_ONCE = 8

# Of one statement. A whole build reads 2 GB in fifty statements; a wrong join has no bound of its own, and the budget's
# mail comes hours later. profiles.yml says the same to dbt.
_MOST_BYTES_BILLED = 20_000_000_000

# A load job keeps its id for months, also when it failed; the next one takes the next number. A table that is made anew
# has ids of its own.
_LOAD_ATTEMPTS = 20

_BIGQUERY_TYPES = {
    pa.string(): "STRING",
    pa.int64(): "INT64",
    pa.float64(): "FLOAT64",
    pa.date32(): "DATE",
    pa.timestamp("us", tz="UTC"): "TIMESTAMP",
}

# Which batches the marts have yet to see. A batch is noted here before it is loaded and again after the build that
# merged it, so that a process may die between any two steps and the next build still reaches back far enough.
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

# What the webhook was told, and when.
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

# Which project of models and seeds made the marts; another one makes all of them anew.
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
        location: where they are.
        address: the API's address where it is not Google's, for dbt.
        seconds: how long a statement may take.
        retry: what is tried again, and for how long.
    """

    client: bigquery.Client
    dataset: str
    location: str
    address: str | None
    seconds: float = _LOAD_SECONDS
    retry: Retry = _RETRY

    def hurried(self, seconds: float) -> "Warehouse":
        """The same for who would rather be told soon that there is no answer.

        Args:
            seconds: that a statement may take; what fails is tried again for a fifth of that.
        """
        return replace(self, seconds=seconds, retry=_RETRY.with_timeout(seconds / 5))

    @property
    def _timeout(self) -> float:
        return min(_TIMEOUT, self.seconds)

    @property
    def raw(self) -> str:
        """The raw dataset, qualified by its project."""
        return f"{self.client.project}.{self.dataset}_raw"

    def create_raw(self) -> None:
        """Create the raw dataset and its tables where they do not exist, and add the columns that a table lacks.

        A column is added to what an older release made. One that a newer release added stays.

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
        """Begin one statement in which a table without a dataset is a mart; its errors are the client's own.

        Args:
            sql: the statement.
            is_dry: do not run it, but tell what it is.
        """
        marts = bigquery.DatasetReference(self.client.project, self.dataset)
        config = bigquery.QueryJobConfig(default_dataset=marts)
        if is_dry:
            config.dry_run, config.use_query_cache = True, False
        return self.client.query(sql, job_config=config, timeout=self.seconds, retry=self.retry, job_retry=None)

    def recent_queries(self, since: datetime) -> list[bigquery.QueryJob]:
        """The statements that ended since a moment, of this account, the latest first; at most a thousand.

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
        """The archive paths of the batches that raw holds: of all, or of those extracted on a day (UTC) or later."""
        where = f" where _extracted_at >= timestamp('{since}')" if since else ""
        selects = (f"select distinct _archive_path from `{self.raw}.{name}`{where}" for name in RAW_TABLES)
        return {row["_archive_path"] for row in self.query("\nunion all\n".join(selects))}

    def load(self, batches: Sequence[Batch]) -> None:
        """Append batches of one raw table in one atomic job: all of them or none.

        The job's id is derived from the batches' paths and the table's birth, and BigQuery takes an id once: where two
        processes load the same batches at once, or an answer was lost, the second finds the first one's job instead of
        loading again. A table that was dropped and made again, as a candidate's is each week, was never loaded.

        Raises:
            PipelineError: BigQuery refused or failed; nothing of these batches is in raw.
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
        """Note what batches that are about to be loaded can change: from which day on, and of which symbols.

        Those that no bar depends on are not noted.
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
        """Note that a build has taken these batches in."""
        self._note({"_archive_path": path, "event": "merged"} for path in paths)

    def _note(self, events: Iterable[dict[str, object]]) -> None:
        now = datetime.now(UTC)
        rows = [event | {"recorded_at": now} for event in events]
        if rows:
            with as_pipeline_error(f"writing into {self.raw}.{BATCH_EVENTS} failed"):
                # Repeating a note is harmless, so each has an id of its own.
                self._append(
                    f"{self.raw}.{BATCH_EVENTS}",
                    pa.Table.from_pylist(rows, _BATCH_EVENTS_SCHEMA),
                    f"note_{uuid.uuid4().hex}",
                )

    def note_build(self, project_digest: str, window_start: date | None) -> None:
        """Note a build in which every model and test passed; without a window it was a full one."""
        row = {"project_digest": project_digest, "window_start": window_start, "built_at": datetime.now(UTC)}
        with as_pipeline_error("noting the build failed"):
            rows = pa.Table.from_pylist([row], _BUILDS_SCHEMA)
            self._append(f"{self.raw}.{BUILDS}", rows, f"note_build_{uuid.uuid4().hex}")

    def alerts_sent(self) -> list[Row]:
        """What was sent last of each alert that has not been told to be gone, as columns of ``alert_events``."""
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
        """Note what was sent: alert_id, subject, severity, text, and ``raised`` or ``gone``."""
        names = _ALERT_EVENTS_SCHEMA.names
        rows = pa.Table.from_pylist([dict(zip(names, (*e, now), strict=True)) for e in events], _ALERT_EVENTS_SCHEMA)
        with as_pipeline_error(f"writing into {self.raw}.{ALERT_EVENTS} failed"):
            self._append(f"{self.raw}.{ALERT_EVENTS}", rows, f"note_alerts_{uuid.uuid4().hex}")

    def last_project_digest(self) -> str | None:
        """The digest of the project that made the marts as they are; None where nothing was built."""
        rows = list(self.query(f"select project_digest from `{self.raw}.{BUILDS}` order by built_at desc limit 1"))
        return rows[0]["project_digest"] if rows else None

    def last_built_at(self) -> datetime | None:
        """When the last build ended in which every model and test passed; None where none did."""
        if not self.exists(f"{self.dataset}_raw.{BUILDS}"):
            return None
        (row,) = self.query(f"select max(built_at) as built_at from `{self.raw}.{BUILDS}`")
        built_at: datetime | None = row["built_at"]
        return built_at

    def unmerged_batches(self) -> list[str]:
        """The paths of the batches that raw holds and that were not yet noted as merged, sorted.

        A batch that was noted as landing and never loaded is not among them: it lands again, and must be merged then.
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
        """Those of the given batches that raw holds."""
        if not paths:
            return set()
        # Only the days on which they were extracted are read, however long the history.
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
    """Connect to the warehouse that the settings name, and start the embedded one where they name none.

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
    """Go on only where the embedded warehouse has room to write.

    On a full disk DuckDB refuses each statement, and the server keeps those waiting that asked.

    Raises:
        PipelineError: there is next to none.
        OSError: the folder cannot be made.
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
            # The embedded warehouse bills nothing, and knows no limit.
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
    """Tell what BigQuery, or the way there, answers as a PipelineError: what failed, and its own words."""
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
    """The tables of the raw dataset as they are created; the dataset is named with its project."""
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
    """Go on only where something was built.

    Raises:
        PipelineError: nothing has been built yet, or the warehouse failed.
    """
    # The view of the alerts reads all the others.
    if not warehouse.exists(f"{warehouse.dataset}_operations.operations_alerts"):
        raise PipelineError(
            f"nothing has been built in {warehouse.client.project}.{warehouse.dataset} yet, by this release; run"
            " `trading-data run`, or `trading-data replay` where there is an archive"
        )
