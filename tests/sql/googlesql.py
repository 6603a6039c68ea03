"""Check the statements of a build with Google's own SQL analyzer: would BigQuery have accepted them?

The embedded warehouse runs on DuckDB, which accepts functions, types and clauses that BigQuery refuses. `zetasql` is
the analyzer that BigQuery itself is built on, as WebAssembly: it needs no server and no network, and it parses and
type-checks statements. It may still accept what BigQuery does not, and it does not check BigQuery's limits, the case of
names, or partitioning. The results of the statements are tested on the embedded warehouse.

Two faults that only BigQuery's planner refuses are searched for in the analyzer's tree: an outer join without an
equality, and a statement that becomes too complex when its views are inlined.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from google.cloud import bigquery
from zetasql import types as zetasql
from zetasql.core import ZetaSqlLocalService
from zetasql.core.exceptions import ZetaSQLError

from tests.sql.scans import Reads, children, nodes, reads

# Features of the analyzer's maximum set that BigQuery lacks, and that DuckDB would accept too: in BigQuery, arrays
# cannot be ordered (data types reference, "Orderable data types"), and `=` does not compare them.
_BEYOND_BIGQUERY = (
    zetasql.LanguageFeature.FEATURE_ARRAY_EQUALITY,
    zetasql.LanguageFeature.FEATURE_ARRAY_ORDERING,
)

# The analyzer accepts these without an equality. BigQuery's planner answers: "LEFT OUTER JOIN cannot be used without a
# condition that is an equality of fields from both sides of the join".
_OUTER_JOINS = {
    zetasql.ResolvedJoinScanEnums.JoinType.LEFT: "left",
    zetasql.ResolvedJoinScanEnums.JoinType.RIGHT: "right",
    zetasql.ResolvedJoinScanEnums.JoinType.FULL: "full",
}

# The analyzer's names of the two types that have another name in BigQuery.
_BIGQUERY_NAMES = {"double": "float64", "float": "float32"}

_DBT_COMMENT = re.compile(r"\A\s*/\* (\{\"app\": \"dbt\".*?\}) \*/")
_WHOLE_PATH_IN_QUOTES = re.compile(r"`([\w-]+)\.(\w+)\.(\w+)`")


class Refused(Exception):
    """The analyzer does not accept a statement; the text names the dbt node that sent it, and says why."""

    def __init__(self, node: str, reason: str) -> None:
        super().__init__(f"{node}: {reason}")
        self.node = node
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Complexity:
    """The size of a statement for BigQuery's planner, with views inlined and each reference to a CTE counted as a copy.

    "The optimizer attempts to detect parts of the query that could be executed only once, but this might not always be
    possible" (BigQuery's documentation, "Optimize query computation"): so this is the worst case. Above a limit that is
    not published, BigQuery answers "too many subqueries or query is too complex".
    """

    scans: int = 0
    joins: int = 0
    group_bys: int = 0
    windows: int = 0

    def __add__(self, other: "Complexity") -> "Complexity":
        """The sum of both."""
        return Complexity(
            self.scans + other.scans,
            self.joins + other.joins,
            self.group_bys + other.group_bys,
            self.windows + other.windows,
        )


class Analyzer:
    """Google's analyzer with a catalog that changes with each statement, as a warehouse does.

    The catalog is one project, and is empty at first. All names have three parts, as dbt writes them.
    """

    def __init__(self, project: str) -> None:
        language = zetasql.LanguageOptions.maximum_features()
        language.enabled_language_features = [
            feature for feature in language.enabled_language_features if feature not in _BEYOND_BIGQUERY
        ]
        language.reserved_keywords = ["QUALIFY"]
        # In the other mode, `double` and `int32` are types.
        language.product_mode = zetasql.ProductMode.PRODUCT_EXTERNAL
        # Our own queries have parameters. The type of a parameter is inferred from its use.
        self._options = zetasql.AnalyzerOptions(language_options=language, allow_undeclared_parameters=True)
        self._project = zetasql.SimpleCatalog(name=project)
        functions = zetasql.ZetaSQLBuiltinFunctionOptions(language_options=language)
        self._root = zetasql.SimpleCatalog(name="root", catalog=[self._project], builtin_function_options=functions)
        self._service = ZetaSqlLocalService.get_instance()
        # The id of the catalog in the service, until the catalog changes. On two busy cores, the 210 statements of two
        # builds took 16 s this way, and 25 s with the catalog sent along with each of them.
        self._registered: int | None = None
        # The complexity of each view, and the tree of the statement that created it, by its path.
        self._views: dict[str, Complexity] = {}
        self._trees: dict[str, Any] = {}

    def analyze(self, statement: str) -> Complexity:
        """The complexity of a statement with its views inlined; see ``examine``."""
        return self.examine(statement, datetime.now(UTC).date())[0]

    def examine(self, statement: str, today: date) -> tuple[Complexity, Reads]:
        """Analyze one statement and apply its effect: the next one can read what it creates, and not what it drops.

        Args:
            statement: as it was sent.
            today: the day before which the days of its constant dates are counted.

        Returns:
            The complexity of the statement with its views inlined, and what it reads.

        Raises:
            Refused: the analyzer does not accept it, or its effect is not known here (a script, an added column).
        """
        node = node_of(statement)
        resolved = self._resolved(node, statement)
        complexity = _complexity(resolved, self._views, {})
        read = reads(resolved, self._trees, today)
        match type(resolved).__name__:
            case "ResolvedCreateSchemaStmt":
                self._create_dataset(resolved.name_path[-1])
            case "ResolvedCreateTableAsSelectStmt" | "ResolvedCreateViewStmt":
                columns = [(output.name, output.column.type) for output in resolved.output_column_list]
                self._replace(node, resolved.name_path, columns)
                if isinstance(resolved, zetasql.ResolvedCreateViewStmt):
                    path = ".".join(resolved.name_path)
                    self._views[path], self._trees[path] = complexity, resolved
            case "ResolvedCreateTableStmt":
                columns = [(column.name, column.type) for column in resolved.column_definition_list]
                self._replace(node, resolved.name_path, columns)
            case "ResolvedDropStmt":
                self._replace(node, resolved.name_path, None)
            case "ResolvedQueryStmt" | "ResolvedMergeStmt" | "ResolvedInsertStmt" | "ResolvedAlterTableSetOptionsStmt":
                pass
            case kind:
                raise Refused(node, f"accepted, but tests/sql/googlesql.py does not know what {kind} changes")
        return complexity, read

    def declare(self, table: str, columns: Mapping[str, str]) -> None:
        """Add a table that no statement creates, such as a loaded one.

        Args:
            table: its name, ``project.dataset.table``, with or without quotes.
            columns: BigQuery's type of each column.
        """
        project, dataset, name = table.replace("`", "").split(".")
        self._create_dataset(dataset)
        definitions = ", ".join(f"`{column}` {kind}" for column, kind in columns.items())
        self.analyze(f"create table `{project}`.`{dataset}`.`{name}` ({definitions})")

    def columns(self, query: str) -> dict[str, str]:
        """The columns that a query returns, each with BigQuery's name of its type in lower case.

        Raises:
            Refused: the analyzer does not accept it.
        """
        resolved = self._resolved(node_of(query), query)
        return {output.name: _name_of(output.column.type) for output in resolved.output_column_list}

    def _resolved(self, node: str, statement: str) -> Any:
        # BigQuery splits a whole path in one pair of quotes; the analyzer leaves this to its host.
        statement = _WHOLE_PATH_IN_QUOTES.sub(r"`\1`.`\2`.`\3`", statement)
        if self._registered is None:
            self._registered = self._service.register_catalog(simple_catalog=self._root).registered_id
        try:
            resolved = self._service.analyze(
                sql_statement=statement, options=self._options, registered_catalog_id=self._registered
            ).resolved_statement
        except ZetaSQLError as error:
            raise Refused(node, getattr(error, "message", str(error))) from error
        for join in nodes(resolved, zetasql.ResolvedJoinScan):
            if join.join_type in _OUTER_JOINS and not _has_equality(join):
                reason = f"a {_OUTER_JOINS[join.join_type]} join without an equality of fields from both of its sides"
                raise Refused(node, reason)
        return resolved

    def _create_dataset(self, name: str) -> None:
        if all(dataset.name != name for dataset in self._project.catalog):
            self._project.catalog = [*self._project.catalog, zetasql.SimpleCatalog(name=name)]
            self._forget_registered()

    def _replace(self, node: str, path: list[str], columns: list[tuple[str, Any]] | None) -> None:
        """Replace the table at this path by one with these columns; with None, remove it."""
        project, dataset_name, name = path
        dataset = next((found for found in self._project.catalog if found.name == dataset_name), None)
        if project != self._project.name or dataset is None:
            raise Refused(node, f"Dataset not found: {project}.{dataset_name}")
        tables = [table for table in dataset.table if table.name != name]
        self._views.pop(".".join(path), None)
        self._trees.pop(".".join(path), None)
        if columns is not None:
            definitions = [zetasql.SimpleColumn(name=column, type=kind) for column, kind in columns]
            tables.append(zetasql.SimpleTable(name=name, full_name=".".join(path), column=definitions))
        dataset.table = tables
        self._forget_registered()

    def _forget_registered(self) -> None:
        if self._registered is not None:
            self._service.unregister_catalog(registered_id=self._registered)
            self._registered = None


def analyzer_before_build(client: bigquery.Client, raw_dataset: str, manifest: Mapping[str, Any]) -> Analyzer:
    """An analyzer whose catalog has the tables that dbt reads and no statement creates: the raw tables, and the seeds.

    Args:
        client: of the warehouse that was built.
        raw_dataset: the raw dataset, with its project; the columns of its tables are read from the warehouse.
        manifest: dbt's manifest. dbt loads a seed by a load job, with the types of its ``column_types``.
    """
    analyzer = Analyzer(client.project)
    for item in client.list_tables(raw_dataset):
        table = client.get_table(item.reference)
        columns = [field.to_standard_sql() for field in table.schema]
        analyzer.declare(str(table.reference), {column.name: column.type.type_kind.name for column in columns})
    for node in manifest["nodes"].values():
        if node["resource_type"] == "seed":
            analyzer.declare(node["relation_name"], node["config"]["column_types"])
    return analyzer


def contract_differences(analyzer: Analyzer, manifest: Mapping[str, Any]) -> list[str]:
    """Where the columns that a model returns differ from its enforced contract, a sentence for each column.

    Every model that the build compiled is compared. Its own query is analyzed, as dbt compiled it: the table that dbt
    creates from it always has the contract's types, because `create table` converts the values.
    """
    differences = []
    for unique_id, node in manifest["nodes"].items():
        is_promised = node["resource_type"] == "model" and node["config"]["contract"]["enforced"]
        if not is_promised or "compiled_code" not in node:
            continue
        found = analyzer.columns(node["compiled_code"])
        casts = [f"cast(null as {column['data_type']}) as `{name}`" for name, column in node["columns"].items()]
        promised = analyzer.columns(f"select {', '.join(casts)}")
        differences += [
            f"{unique_id}: {name} is {found.get(name, 'absent')}, its contract says {promised.get(name, 'absent')}"
            for name in sorted(found.keys() | promised.keys())
            if found.get(name) != promised.get(name)
        ]
    return differences


def sent_statements(client: bigquery.Client, since: datetime) -> list[str]:
    """Every statement that was sent to the warehouse since then, exactly as sent, in the order of arrival.

    dbt runs nodes in parallel, but sends the statements of a node only after those of its parents were answered. So
    each statement comes after the ones that created what it reads. A script counts as one statement, as it was sent.
    """
    jobs = [job for job in client.list_jobs(min_creation_time=since) if isinstance(job, bigquery.QueryJob)]
    return [job.query for job in sorted(jobs, key=lambda job: job.created)]


def node_of(statement: str) -> str:
    """The sender of a statement: a dbt node's unique id, a dbt connection, or ``extract`` for our Python."""
    comment = _DBT_COMMENT.match(statement)
    if comment is None:
        return "extract"
    sender = json.loads(comment[1])
    return str(sender.get("node_id") or sender["connection_name"])


def _has_equality(join: Any) -> bool:
    """Whether one of the conditions joined by `and` is an equality between the left and the right side."""
    left, right = ({column.column_id for column in scan.column_list} for scan in (join.left_scan, join.right_scan))
    conditions = [join.join_expr]
    while conditions:
        condition = conditions.pop()
        if not isinstance(condition, zetasql.ResolvedFunctionCall):
            continue
        if condition.function.name == "ZetaSQL:$and":
            conditions += condition.argument_list
        elif condition.function.name == "ZetaSQL:$equal":
            first, second = (
                {reference.column.column_id for reference in nodes(argument, zetasql.ResolvedColumnRef)}
                for argument in condition.argument_list
            )
            if first and second and ((first <= left and second <= right) or (first <= right and second <= left)):
                return True
    return False


def _complexity(node: Any, views: Mapping[str, Complexity], ctes: dict[str, Complexity]) -> Complexity:
    """The complexity of a tree; ``ctes`` collects its CTEs, whose names the analyzer makes unique in a statement."""
    if isinstance(node, zetasql.ResolvedWithEntry):
        ctes[node.with_query_name] = _complexity(node.with_subquery, views, ctes)
        return Complexity()
    total = Complexity()
    match node:
        case zetasql.ResolvedWithRefScan():
            total = ctes[node.with_query_name]
        case zetasql.ResolvedTableScan():
            total = views.get(node.table.full_name, Complexity(scans=1))
        case zetasql.ResolvedJoinScan():
            total = Complexity(joins=1)
        case zetasql.ResolvedAggregateScanBase():
            total = Complexity(group_bys=1)
        case zetasql.ResolvedAnalyticFunctionGroup():
            total = Complexity(windows=len(node.analytic_function_list))
    for child in children(node):
        total += _complexity(child, views, ctes)
    return total


def _name_of(kind: Any) -> str:
    name = zetasql.TypeKind(kind.type_kind).name.removeprefix("TYPE_").lower()
    if name == "array":
        return f"array<{_name_of(kind.array_type.element_type)}>"
    if name == "struct":
        members = (f"{field.field_name} {_name_of(field.field_type)}" for field in kind.struct_type.field)
        return f"struct<{', '.join(members)}>"
    return str(_BIGQUERY_NAMES.get(name, name))
