"""local-bigquery as we run it: its settings, and the few functions of it that we replace in the server's process.

Each replacement gives the same answers as the original (``tests/infra/test_emulator.py`` compares them), and can be
removed when upstream no longer needs it.
"""

import hashlib
import os
import re
import sys
from collections import deque
from collections.abc import Hashable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache, wraps
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from local_bigquery.models import TableFieldSchema

# The project that the embedded warehouse serves; it has no meaning beyond this machine.
PROJECT = "local"

# DuckDB would download these extensions at run time; they are installed with the requirements instead.
EXTENSIONS = ("ducklake", "icu", "spatial")

# In this environment; DuckDB's default is the user's home.
EXTENSION_DIRECTORY = Path(sys.prefix) / "share" / "duckdb-extensions"

# One file of translated statements for the servers of all folders.
TRANSLATIONS = Path(sys.prefix) / "share" / "bigquery-translations.sqlite"

# A full build of 16 years of 250 symbols runs out of 2 GB; DuckDB spills most of what goes beyond the limit to disk.
MEMORY_LIMIT = "4000MB"

# The environment variable with the number of threads that DuckDB may use for one statement; the default is one for each
# core. If several servers share the cores, as in the tests, several threads for a small statement cost more than they
# save.
THREADS = "EMULATOR_THREADS"

# The emulator keeps the results of queries in this DuckDB database, and not in a lake.
RESULTS_DATABASE = "emulator"
RESULTS_KEPT = 500

# The query that local-bigquery 0.3.2 sends before each statement.
TEMPORARY_TABLES = "SELECT table_name FROM duckdb_tables() WHERE temporary"


def running_code() -> str:
    """A digest of what a server's answers depend on: our code, and the packages that answer."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path.stem in ("arrow", "emulator", "translations", "warehouse"):
            digest.update(path.read_bytes())
    digest.update("".join(version(package) for package in ("local-bigquery", "duckdb", "sqlglot")).encode())
    return digest.hexdigest()


def prepare_extensions() -> None:
    """Make DuckDB in this process look for extensions in ``EXTENSION_DIRECTORY``; install those that are missing there.

    They are copied from their wheels, without network.
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
    """Set the extension directory for every database of this process, as the setting is per database."""

    @wraps(connect)
    def wrapped(*args, config=None, **kwargs):  # type: ignore[no-untyped-def]
        settings = {"extension_directory": str(EXTENSION_DIRECTORY), **(config or {})}
        return connect(*args, config=settings, **kwargs)

    return wrapped


def open_emulator(data_dir: Path) -> None:
    """Open the emulator's database in this folder, in this process, with our replacements in place."""
    from local_bigquery.catalog import tabledata, tables
    from local_bigquery.engine import database
    from local_bigquery.jobs import merge, query
    from local_bigquery.settings import settings
    from local_bigquery.sql.rules import STATEMENT_RULES, partitions
    from local_bigquery.sql.rules.query import limited_aggregates

    from infra.local.translations import Translations

    query.execute = _with_destination(_keeping_few_results(_on_fresh_cursors(query.execute)))  # type: ignore[no-untyped-call]
    data_dir.mkdir(parents=True, exist_ok=True)
    kept = Translations(TRANSLATIONS, running_code()).kept(query.translate, named_in)
    query.translate = merge.translate = _in_one_snapshot(kept)  # type: ignore[no-untyped-call]
    database.objects = objects
    tables.columns = tabledata.columns = columns
    partitions._hidden = is_hidden
    STATEMENT_RULES.insert(STATEMENT_RULES.index(limited_aggregates), without_nulls_before_limits)
    prepare_extensions()
    _follow_moved_folder(data_dir)
    settings.data_dir = data_dir
    settings.default_project_id = PROJECT
    # Opened now, so that the first request need not wait for it.
    database.connection().execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
    if threads := os.environ.get(THREADS):
        database.connection().execute(f"SET threads = {int(threads)}")
    # Spill to a folder beside the data, and not into the folder in which the command was started.
    database.connection().execute("SET temp_directory = ?", [str(data_dir / "spilled")])
    _end_orphaned_jobs()
    # Results of an earlier server: the clients that asked for them are gone.
    for (name,) in database.fetch(
        f"select table_name from duckdb_tables() where database_name = '{RESULTS_DATABASE}'"
        f" and schema_name = '{tables.RESULTS}'"
    ):
        database.execute(f"drop table {database.quote(RESULTS_DATABASE, tables.RESULTS, name)}")


def _follow_moved_folder(data_dir: Path) -> None:
    """Tell the lake its present folder: it refuses to open in another folder than the one in which it was created.

    The paths of its files are relative to that folder.
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
    """End the jobs that a killed server left as running, whether or not they had committed.

    local-bigquery 0.3.2 reports them as running for ever, and a client that finds one by its id waits for it.
    """
    from local_bigquery.jobs import store
    from local_bigquery.models import ErrorProto

    for job in store.list_(PROJECT, states=["PENDING", "RUNNING"]):
        reason = ErrorProto(reason="stopped", message="the server was stopped before the job had ended")
        store.save(job.replace(status=job.status.replace(state="DONE", errorResult=reason, errors=[reason])))


def _with_destination(execute):  # type: ignore[no-untyped-def]
    """Set the table of a ``create table … as select`` as the destination of its job, as BigQuery does.

    dbt-bigquery reads it; local-bigquery 0.3.2 does not set it.
    """

    def wrapped(*args, **kwargs):  # type: ignore[no-untyped-def]
        statistics, children, destination = execute(*args, **kwargs)
        if destination is None and statistics.statementType == "CREATE_TABLE_AS_SELECT":
            destination = statistics.ddlTargetTable
        return statistics, children, destination

    return wrapped


def without_nulls_before_limits(tree, context):  # type: ignore[no-untyped-def]  # noqa: ARG001 All rules have it.
    """Drop the nulls of ``array_agg(… ignore nulls … limit n)`` before the limit counts, as BigQuery does.

    local-bigquery 0.3.2 applies the limit first, so that the array has fewer values, or nulls.
    """
    from sqlglot import exp

    # The inner ones first, because an outer one is replaced by a copy.
    for ignoring in reversed(list(tree.find_all(exp.IgnoreNulls))):
        limit = ignoring.this.this
        if not (isinstance(ignoring.this, exp.ArrayAgg) and isinstance(limit, exp.Limit)):
            continue
        value = limit.this.this if isinstance(limit.this, exp.Order) else limit.this
        value = value.expressions[0] if isinstance(value, exp.Distinct) else value
        if isinstance(value, exp.HavingMax):
            continue
        values = exp.ArrayAgg(this=limit.this.copy())
        present = exp.Filter(this=values, expression=exp.Where(this=value.copy().is_(exp.null()).not_()))
        ignoring.replace(exp.func("list_slice", present, exp.Literal.number(1), limit.expression.copy()))
    return tree


class FreshCursor:
    """A DuckDB cursor without temporary tables, which answers the query for them without running it."""

    def __init__(self, cursor: Any) -> None:
        """Wrap a cursor."""
        self._cursor = cursor

    def __getattr__(self, name: str) -> Any:
        """Everything else is the cursor's."""
        return getattr(self._cursor, name)

    def sql(self, statement: str, **options: Any) -> Any:
        """Run a statement, as the cursor does."""
        return self._cursor.sql("select null where false" if statement == TEMPORARY_TABLES else statement, **options)


def _on_fresh_cursors(execute):  # type: ignore[no-untyped-def]
    """Skip the search for temporary tables for a statement without a session, because its cursor is new.

    local-bigquery 0.3.2 searches all tables before each statement, which takes a tenth of a build's time.
    """

    def wrapped(cursor, *args, session=None, **kwargs):  # type: ignore[no-untyped-def]
        return execute(cursor if session else FreshCursor(cursor), *args, session=session, **kwargs)

    return wrapped


def _keeping_few_results(execute):  # type: ignore[no-untyped-def]
    """Drop the oldest query results when there are many.

    local-bigquery 0.3.2 keeps all results for ever, in tables that it searches for temporary ones at each statement.
    BigQuery keeps them for a day; our clients read theirs at once.
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


# local-bigquery 0.3.2 looks for a table in duckdb_tables(), which goes through every table of every database, including
# the kept results of all queries: this takes half of a build's time, and more with each query. The lake's own catalogue
# is a DuckDB database that changes only with its snapshot, so we read all of it once for each snapshot.
_OBJECTS = """
    with stats as (select table_id, any_value(record_count) as row_count from {lake}.ducklake_table_stats group by 1)
    select s.schema_name, o.table_name, 'TABLE', coalesce(row_count, 0), table_id, null, null
    from {lake}.ducklake_table as o
    join {lake}.ducklake_schema as s using (schema_id)
    left join stats using (table_id)
    where o.end_snapshot is null and s.end_snapshot is null
    union all
    select s.schema_name, o.view_name, 'VIEW', 0, null, o.sql, o.column_aliases
    from {lake}.ducklake_view as o
    join {lake}.ducklake_schema as s using (schema_id)
    where o.end_snapshot is null and s.end_snapshot is null
"""
_COLUMNS = """
    select table_id, column_name, column_type, nulls_allowed, parent_column
    from {lake}.ducklake_column where end_snapshot is null order by table_id, column_order, column_id
"""


@dataclass(frozen=True, slots=True)
class _Object:
    """A table or view of the lake.

    Attributes:
        kind: ``TABLE`` or ``VIEW``.
        rows: the number of rows of a table, from the lake's statistics, which also count deleted rows.
        columns: of a table, as (name, type, may be null, parent column).
        text: the statement of a view, with the names of its columns.
    """

    kind: str
    rows: int
    columns: tuple[tuple[str, str, bool, int | None], ...]
    text: str


@dataclass(frozen=True, slots=True)
class _Lake:
    """What the lake holds in a snapshot, by dataset and name."""

    objects: dict[tuple[str, str], _Object]
    named: dict[str, tuple[_Object, ...]]

    def reads(self, view: _Object) -> frozenset[Hashable]:
        """What a view's columns depend on: its text, and everything that it may read, directly or through other views.

        Every object whose name occurs in the text counts. A column of the same name makes the set larger than
        necessary, but never smaller.
        """
        found: set[_Object] = set()
        waiting = [view]
        while waiting:
            each = waiting.pop()
            if each not in found:
                found.add(each)
                waiting += [other for word in _words(each.text) for other in self.named.get(word, ())]
        return frozenset((each.columns, each.text) for each in found)


# The lakes as read during the translation of the current statement.
_seen: ContextVar[dict[str, _Lake] | None] = ContextVar("_seen", default=None)


@lru_cache(maxsize=1000)
def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.lower()))


def named_in(project_id: str, text: str) -> Hashable:
    """What a statement may read: every object whose name occurs in its text, and everything that its views read."""
    lake = _lake(project_id)
    named = {other for word in _words(text) for other in lake.named.get(word, ())}
    return tuple(sorted(repr((each.kind, sorted(map(repr, lake.reads(each))))) for each in named))


def _lake(project_id: str) -> _Lake:
    seen = _seen.get()
    if seen is None:
        return _lake_at(project_id, _snapshot(project_id))
    if project_id not in seen:
        seen[project_id] = _lake_at(project_id, _snapshot(project_id))
    return seen[project_id]


def _snapshot(project_id: str) -> int:
    from local_bigquery.engine import database

    query = f'select max(snapshot_id) from "__ducklake_metadata_{project_id}".ducklake_snapshot'
    ((snapshot,),) = database.fetch(query)
    assert isinstance(snapshot, int)
    return snapshot


def _in_one_snapshot(translate):  # type: ignore[no-untyped-def]
    """Translate a statement with one snapshot of the lakes, because the translation looks up each table many times."""

    @wraps(translate)
    def wrapped(*args, **kwargs):  # type: ignore[no-untyped-def]
        token = _seen.set({})
        try:
            return translate(*args, **kwargs)
        finally:
            _seen.reset(token)

    return wrapped


@lru_cache(maxsize=3)
def _lake_at(project_id: str, _: int) -> _Lake:
    from local_bigquery.engine import database

    lake = f'"__ducklake_metadata_{project_id}"'
    columns: dict[int, list[tuple[str, str, bool, int | None]]] = {}
    for table, *column in database.fetch(_COLUMNS.format(lake=lake)):
        columns.setdefault(table, []).append(tuple(column))
    objects: dict[tuple[str, str], _Object] = {}
    named: dict[str, tuple[_Object, ...]] = {}
    for dataset, name, kind, rows, table, text, aliases in database.fetch(_OBJECTS.format(lake=lake)):
        each = _Object(kind, rows, tuple(columns.get(table, ())), f"{text or ''} {aliases or ''}")
        objects[dataset, name] = each
        named[name.lower()] = (*named.get(name.lower(), ()), each)
    return _Lake(objects, named)


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
    found = _lake(project_id).objects
    if table_id is not None:
        each = found.get((dataset_id, table_id))
        return [(table_id, each.kind, each.rows)] if each else []
    return sorted((name, each.kind, each.rows) for (dataset, name), each in found.items() if dataset == dataset_id)


def columns(project_id: str, dataset_id: str, table_id: str) -> "list[TableFieldSchema]":
    """The columns of a table, a view or the result of a query, in their order."""
    from local_bigquery.catalog import tables

    if dataset_id == tables.RESULTS:
        return _columns(project_id, dataset_id, table_id)
    lake = _lake(project_id)
    each = lake.objects.get((dataset_id, table_id))
    reads: Hashable = each and (lake.reads(each) if each.kind == "VIEW" else each.columns)
    return list(_columns_of_lake(reads, project_id, dataset_id, table_id))


@lru_cache(maxsize=5000)
def _columns_of_lake(_: Hashable, project_id: str, dataset_id: str, table_id: str) -> "tuple[TableFieldSchema, ...]":
    # Finding the columns of a view takes as long as planning it.
    return tuple(_columns(project_id, dataset_id, table_id))


def _columns(project_id: str, dataset_id: str, table_id: str) -> "list[TableFieldSchema]":
    import duckdb
    from local_bigquery.catalog import names, tables
    from local_bigquery.engine import database, types
    from local_bigquery.errors import not_found

    database_name, schema, table = tables.physical(project_id, dataset_id, table_id)
    required = {name for name, _, is_nullable, _ in _top_columns(database_name, schema, table) if not is_nullable}
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


def is_hidden(table: Any) -> bool:
    """Whether the table of a statement has the hidden column of a table that is partitioned by ingestion time."""
    from local_bigquery.catalog import tables
    from sqlglot import exp

    if not (table.catalog and table.db) or not isinstance(table.this, exp.Identifier):
        return False
    return any(name == tables.INGESTION_TIME for name, *_ in _top_columns(table.catalog, table.db, table.name))


def _top_columns(project_id: str, dataset_id: str, table_id: str) -> list[tuple[str, str, bool, int | None]]:
    """The columns of a table that are not part of another column."""
    if project_id == RESULTS_DATABASE:
        return []  # A query result has no required columns, and no hidden ones.
    each = _lake(project_id).objects.get((dataset_id, table_id))
    return [column for column in each.columns if column[3] is None] if each else []
