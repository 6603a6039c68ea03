"""local-bigquery as we run it: its settings, and the few functions of it that we replace in the server's process.

Each replacement answers as the original does (``tests/infra/test_emulator.py`` holds both side by side), and may go
when upstream no longer needs it.
"""

import os
import sys
from collections import deque
from collections.abc import Callable
from functools import lru_cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from local_bigquery.models import TableFieldSchema

# The project that the embedded warehouse serves; it has no meaning beyond this machine.
PROJECT = "local"

# DuckDB would download these at run time; they are installed with the requirements instead.
EXTENSIONS = ("ducklake", "icu", "spatial")

# In this environment, and not in the user's home, which is DuckDB's own choice.
EXTENSION_DIRECTORY = Path(sys.prefix) / "share" / "duckdb-extensions"

# A full build of 16 years of 250 symbols runs out of 2 GB; DuckDB spills most of what goes beyond the limit to disk.
MEMORY_LIMIT = "4000MB"

# The environment variable with how many threads DuckDB may use for one statement; without it, one for each core. Where
# several servers share the cores, as in the tests, sharing a small statement among threads costs more than it saves.
THREADS = "EMULATOR_THREADS"

# Where the emulator keeps the results of queries: a DuckDB database, not a lake.
RESULTS_DATABASE = "emulator"
RESULTS_KEPT = 500

# What local-bigquery 0.3.2 asks before each statement.
TEMPORARY_TABLES = "SELECT table_name FROM duckdb_tables() WHERE temporary"


def prepare_extensions() -> None:
    """Let DuckDB look for extensions in ``EXTENSION_DIRECTORY``, in this process; install those that are missing there.

    They come from their wheels; no network is used.
    """
    import duckdb

    if not hasattr(duckdb.connect, "__wrapped__"):
        duckdb.connect = _with_extension_directory(duckdb.connect)  # type: ignore[no-untyped-call]
    missing = [
        name
        for name in EXTENSIONS
        if not any(EXTENSION_DIRECTORY.glob(f"v{duckdb.__version__}/*/{name}.duckdb_extension"))
    ]
    if missing:
        from duckdb_extensions import import_extension

        with duckdb.connect() as connection:
            connection.execute("SET enable_progress_bar = false")
            for name in missing:
                import_extension(name, con=connection)


def _with_extension_directory(connect):  # type: ignore[no-untyped-def]
    """Give every database of this process the setting, which each has for itself."""

    @wraps(connect)
    def wrapped(*args, config=None, **kwargs):  # type: ignore[no-untyped-def]
        settings = {"extension_directory": str(EXTENSION_DIRECTORY), **(config or {})}
        return connect(*args, config=settings, **kwargs)

    return wrapped


def open_emulator(data_dir: Path) -> None:
    """Open the emulator's database in this folder, in this process, with our replacements in place."""
    from local_bigquery.catalog import tabledata, tables
    from local_bigquery.engine import database
    from local_bigquery.jobs import query
    from local_bigquery.settings import settings
    from local_bigquery.sql.rules import partitions

    query.execute = _with_destination(_keeping_few_results(_on_fresh_cursors(query.execute)))  # type: ignore[no-untyped-call]
    database.objects = objects
    tables.columns = tabledata.columns = columns
    partitions._hidden = is_hidden
    prepare_extensions()
    _follow_moved_folder(data_dir)
    settings.data_dir = data_dir
    settings.default_project_id = PROJECT
    # Opened now, so that the first request does not pay for it.
    database.connection().execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
    if threads := os.environ.get(THREADS):
        database.connection().execute(f"SET threads = {int(threads)}")
    # What does not fit goes beside the data, and not into the folder that the command was started in.
    database.connection().execute("SET temp_directory = ?", [str(data_dir / "spilled")])
    _end_orphaned_jobs()
    # Whoever asked for these has gone with the server that answered.
    for (name,) in database.fetch(
        f"select table_name from duckdb_tables() where database_name = '{RESULTS_DATABASE}'"
        f" and schema_name = '{tables.RESULTS}'"
    ):
        database.execute(f"drop table {database.quote(RESULTS_DATABASE, tables.RESULTS, name)}")


def _follow_moved_folder(data_dir: Path) -> None:
    """Tell the lake where it lies now: it refuses to open in another folder than the one that it was made in.

    The files' own paths are relative to it.
    """
    import duckdb

    catalog = data_dir / f"{PROJECT}.ducklake"
    if catalog.exists():
        with duckdb.connect(catalog) as connection:
            connection.execute(
                "update ducklake_metadata set value = $1 where key = 'data_path' and value != $1",
                [f"{data_dir / PROJECT}/"],
            )


def _end_orphaned_jobs() -> None:
    """End the jobs that a server which was killed left running, whether or not they had committed.

    local-bigquery 0.3.2 takes them for running for ever, and whoever finds one under its id waits for it.
    """
    from local_bigquery.jobs import store
    from local_bigquery.models import ErrorProto

    for job in store.list_(PROJECT, states=["PENDING", "RUNNING"]):
        reason = ErrorProto(reason="stopped", message="the server was stopped before the job had ended")
        store.save(job.replace(status=job.status.replace(state="DONE", errorResult=reason, errors=[reason])))


def _with_destination(execute):  # type: ignore[no-untyped-def]
    """Name the table that a ``create table … as select`` made as the destination of its job, as BigQuery does.

    dbt-bigquery reads it; local-bigquery 0.3.2 leaves it out.
    """

    def wrapped(*args, **kwargs):  # type: ignore[no-untyped-def]
        statistics, children, destination = execute(*args, **kwargs)
        if destination is None and statistics.statementType == "CREATE_TABLE_AS_SELECT":
            destination = statistics.ddlTargetTable
        return statistics, children, destination

    return wrapped


class FreshCursor:
    """A cursor of DuckDB's on which no temporary table was made, and which does not look for any to know it."""

    def __init__(self, cursor: Any) -> None:
        """Wrap a cursor."""
        self._cursor = cursor

    def __getattr__(self, name: str) -> Any:
        """Whatever else a cursor has."""
        return getattr(self._cursor, name)

    def sql(self, statement: str, **options: Any) -> Any:
        """Ask, as the cursor does."""
        return self._cursor.sql("select null where false" if statement == TEMPORARY_TABLES else statement, **options)


def _on_fresh_cursors(execute):  # type: ignore[no-untyped-def]
    """Let a statement without a session look for no temporary tables: its cursor is its own, and new.

    local-bigquery 0.3.2 looks through all tables before each statement, which is a tenth of a build's time.
    """

    def wrapped(cursor, *args, session=None, **kwargs):  # type: ignore[no-untyped-def]
        return execute(cursor if session else FreshCursor(cursor), *args, session=session, **kwargs)

    return wrapped


def _keeping_few_results(execute):  # type: ignore[no-untyped-def]
    """Drop the oldest result of a query when there are many.

    local-bigquery 0.3.2 keeps all of them for ever, in tables among which it looks for temporary ones at each
    statement. BigQuery keeps them for a day; our clients read theirs at once.
    """
    from local_bigquery.catalog import tables
    from local_bigquery.engine import database

    kept: deque[str] = deque()

    def wrapped(*args, **kwargs):  # type: ignore[no-untyped-def]
        statistics, children, destination = execute(*args, **kwargs)
        if destination is not None and destination.datasetId == tables.RESULTS:
            kept.append(tables.name(destination.projectId, destination.datasetId, destination.tableId))
            while len(kept) > RESULTS_KEPT:
                database.execute(f"drop table if exists {kept.popleft()}")
        return statistics, children, destination

    return wrapped


# local-bigquery 0.3.2 looks for a table in duckdb_tables(), which goes through every table of every database, the kept
# results of all queries among them: half of a build's time, and more with each query. The lake's own catalogue is a
# DuckDB database with an index.
_LIVE = """
    "__ducklake_metadata_{project}".ducklake_schema as s
    join "__ducklake_metadata_{project}".ducklake_{kind} as o using (schema_id)
    where s.schema_name = $1 and s.end_snapshot is null and o.end_snapshot is null
    and o.{kind}_name = coalesce($2, o.{kind}_name)
"""


def _once_per_snapshot[*A, T](ask: Callable[[str, *A], T]) -> Callable[[str, *A], T]:
    """Keep what a function told of a project until its lake has another snapshot.

    What our one lake holds changes with its snapshot alone, views and numbers of rows included. A statement asks many
    times, and to find the columns of a view takes as long as to plan it.
    """
    kept = lru_cache(maxsize=5000)(lambda _, *arguments: ask(*arguments))

    def asked(project_id: str, *arguments: *A) -> T:
        from local_bigquery.engine import database

        ((snapshot,),) = database.fetch(
            f'select max(snapshot_id) from "__ducklake_metadata_{project_id}".ducklake_snapshot'
        )
        return kept(snapshot, project_id, *arguments)

    return asked


def objects(project_id: str, dataset_id: str, table_id: str | None = None) -> list[tuple[str, str, int]]:
    """Name, kind (``TABLE``, ``VIEW``) and estimated rows of a dataset's tables and views, or of the named one."""
    import duckdb
    from local_bigquery.engine import database

    if project_id == RESULTS_DATABASE:
        assert table_id, "results are asked for by name"
        try:
            ((rows,),) = database.fetch(f"select count(*) from {database.quote(project_id, dataset_id, table_id)}")
        except duckdb.CatalogException:
            return []
        return [(table_id, "TABLE", rows)]
    return list(_objects_of_lake(project_id, dataset_id, table_id))


@_once_per_snapshot
def _objects_of_lake(project_id: str, dataset_id: str, table_id: str | None) -> tuple[tuple[str, str, int], ...]:
    from local_bigquery.engine import database

    stats = f'"__ducklake_metadata_{project_id}".ducklake_table_stats'
    rows_of_table = f"(select any_value(record_count) from {stats} as t where t.table_id = o.table_id)"
    found: list[tuple[str, str, int]] = database.fetch(
        f"select o.table_name, 'TABLE', coalesce({rows_of_table}, 0)"
        f" from {_LIVE.format(project=project_id, kind='table')}"
        f" union all select o.view_name, 'VIEW', 0 from {_LIVE.format(project=project_id, kind='view')} order by 1",
        [dataset_id, table_id],
    )
    return tuple(found)


def columns(project_id: str, dataset_id: str, table_id: str) -> "list[TableFieldSchema]":
    """The columns of a table, a view or the result of a query, in their order."""
    from local_bigquery.catalog import tables

    columns_of = _columns if dataset_id == tables.RESULTS else _columns_of_lake
    return list(columns_of(project_id, dataset_id, table_id))


def _columns(project_id: str, dataset_id: str, table_id: str) -> "list[TableFieldSchema]":
    import duckdb
    from local_bigquery.catalog import names, tables
    from local_bigquery.engine import database, types
    from local_bigquery.errors import not_found

    database_name, schema, table = tables.physical(project_id, dataset_id, table_id)
    required = _columns_where(database_name, schema, table, "not nulls_allowed")
    with database.cursor() as cursor:
        try:
            relation = cursor.sql(f"select * from {tables.name(project_id, dataset_id, table_id)} limit 0")
        except duckdb.CatalogException:
            raise not_found("Table", names.label(project_id, dataset_id, table_id)) from None
        return [
            types.field(column, kind, column in required)
            for column, kind in zip(relation.columns, relation.types, strict=True)
            if column != tables.INGESTION_TIME or dataset_id == tables.RESULTS
        ]


_columns_of_lake = _once_per_snapshot(_columns)


def is_hidden(table: Any) -> bool:
    """Whether the table of a statement has the hidden column of a partitioning by time of ingestion."""
    from local_bigquery.catalog import tables
    from sqlglot import exp

    if not (table.catalog and table.db) or not isinstance(table.this, exp.Identifier):
        return False
    return tables.INGESTION_TIME in _columns_where(table.catalog, table.db, table.name, "true")


def _columns_where(project_id: str, dataset_id: str, table_id: str, condition: str) -> frozenset[str]:
    if project_id == RESULTS_DATABASE:
        return frozenset()  # A result has no required columns, and hides none.
    return _columns_of_lake_where(project_id, dataset_id, table_id, condition)


@_once_per_snapshot
def _columns_of_lake_where(project_id: str, dataset_id: str, table_id: str, condition: str) -> frozenset[str]:
    from local_bigquery.engine import database

    rows = database.fetch(
        f'select column_name from "__ducklake_metadata_{project_id}".ducklake_column'
        f" where end_snapshot is null and parent_column is null and {condition}"
        f" and table_id in (select o.table_id from {_LIVE.format(project=project_id, kind='table')})",
        [dataset_id, table_id],
    )
    return frozenset(name for (name,) in rows)
