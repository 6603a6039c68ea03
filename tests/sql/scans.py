"""What each statement reads on BigQuery: which tables, since which day, and which columns.

The source is the tree of Google's analyzer, with views and CTEs followed to the tables. BigQuery leaves out partitions
by a filter that compares the partitioning column alone with a constant: "If you use dynamic expressions in your query
filter, BigQuery must scan all of the partitions" (documentation, "Query partitioned tables"). Only those filters count
here that every planner moves down to the scan: through projections, unions, inner joins, the kept side of an outer
join, and the keys of a group or of a window.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, timedelta
from typing import Any

from zetasql import types as zetasql

_EPOCH = date(1970, 1, 1)
_JOINS = zetasql.ResolvedJoinScanEnums.JoinType
_DAYS_OF_PART = {2: 31.0, 3: 1.0, 7: 1 / 24}  # zetasql.DateTimestampPart: MONTH, DAY, HOUR

# Of a column: how many days before today its constant lower bound lies; None if the bound is not a constant.
type _Filters = Mapping[int, float | None]
# A column: the view in whose tree it is, or "", and its number there.
type _Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Scan:
    """A reference of a statement to a table.

    Attributes:
        table: its name, with its dataset.
        bounds: the columns with a lower bound, and how many days before today that lies; None if it is not a constant.
    """

    table: str
    bounds: Mapping[str, float | None]


@dataclass(slots=True)
class Reads:
    """What a statement reads.

    Attributes:
        scans: each reference to a table, a view or a CTE counting as often as it is referenced.
        columns: the columns of each table whose values are used, and their types.
        rewritten: the columns of the table that it merges into, which is the first of the scans; none for any other
            statement.
    """

    scans: list[Scan] = field(default_factory=list)
    columns: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    rewritten: dict[str, str] = field(default_factory=dict)


def children(node: Any) -> Iterator[Any]:
    """The nodes right below a node of the analyzer's tree."""
    for each in fields(node):
        value = getattr(node, each.name)
        for child in value if isinstance(value, list) else (value,):
            if isinstance(child, zetasql.ResolvedNode):
                yield child


def nodes(node: Any, *kinds: type) -> Iterator[Any]:
    """The nodes of these kinds in a tree, its root included."""
    if isinstance(node, kinds):
        yield node
    for child in children(node):
        yield from nodes(child, *kinds)


def reads(statement: Any, views: Mapping[str, Any], today: date) -> Reads:
    """What a statement reads when it runs.

    Args:
        statement: its tree.
        views: the tree of each statement that created a view, by the view's path.
        today: the day before which the days of constant dates are counted.

    Raises:
        NotImplementedError: the tree has a scan or a constant of a kind that is not known here.
    """
    if isinstance(statement, zetasql.ResolvedCreateViewStmt):
        return Reads()
    return _Reader(views, today).read(statement)


class _Reader:
    def __init__(self, views: Mapping[str, Any], today: date) -> None:
        self._views, self._today = views, today
        self._reads = Reads()
        # What each column is made of, which columns are used whatever is selected, and the columns of tables.
        self._parts: dict[_Key, set[_Key]] = defaultdict(set)
        self._used: set[_Key] = set()
        self._tables: dict[_Key, tuple[str, str, str]] = {}
        self._ctes: dict[tuple[str, str], Any] = {}

    def read(self, statement: Any) -> Reads:
        if isinstance(statement, zetasql.ResolvedMergeStmt):
            filters = self._bounds(statement.merge_expr)
            self._scan(statement.table_scan, "", filters)
            self._reads.rewritten = {column.name: _type_of(column) for column in statement.table_scan.column_list}
            self._scan(statement.from_scan, "", filters)
            for part in (statement.merge_expr, *statement.when_clause_list):
                self._expression(part, "", None)
        elif query := getattr(statement, "query", None):
            self._scan(query, "", {})
            self._used |= {("", output.column.column_id) for output in statement.output_column_list}
        waiting, seen = list(self._used), set(self._used)
        while waiting:
            key = waiting.pop()
            if key in self._tables:
                table, column, kind = self._tables[key]
                self._reads.columns[table][column] = kind
            waiting += self._parts[key] - seen
            seen |= self._parts[key]
        return self._reads

    def _scan(self, scan: Any, space: str, filters: _Filters) -> None:
        match scan:
            case zetasql.ResolvedTableScan():
                self._table(scan, space, filters)
            case zetasql.ResolvedWithScan():
                for entry in scan.with_entry_list:
                    self._ctes[space, entry.with_query_name] = entry.with_subquery
                self._scan(scan.query, space, filters)
            case zetasql.ResolvedWithRefScan():
                inner = self._ctes[space, scan.with_query_name]
                self._scan(inner, space, self._renamed(scan.column_list, inner.column_list, space, space, filters))
            case zetasql.ResolvedSetOperationScan():
                for item in scan.input_item_list:
                    columns = item.output_column_list
                    self._scan(item.scan, space, self._renamed(scan.column_list, columns, space, space, filters))
            case zetasql.ResolvedJoinScan():
                self._join(scan, space, filters)
            case _:
                self._step(scan, space, filters)

    def _step(self, scan: Any, space: str, filters: _Filters) -> None:
        """A scan of one input, or of none."""
        if isinstance(scan, zetasql.ResolvedAggregateScanBase):
            # A group needs its keys, whatever is selected.
            self._used |= {(space, key.column.column_id) for key in scan.group_by_list}
        passed = self._passed(scan, filters)
        below = getattr(scan, "input_scan", None)
        if below is not None:
            self._scan(below, space, passed)
        for child in children(scan):
            if child is not below:
                self._expression(child, space, None)

    def _passed(self, scan: Any, filters: _Filters) -> _Filters:
        """The filters of a scan's columns that hold for its input too."""
        match scan:
            case zetasql.ResolvedFilterScan():
                return _both(filters, self._bounds(scan.filter_expr))
            case zetasql.ResolvedProjectScan():
                return _both(filters, _of_renamed(scan.expr_list, filters))
            case zetasql.ResolvedAggregateScan():
                return _of_renamed(scan.group_by_list, filters)
            case zetasql.ResolvedAnalyticScan():
                return _of_partitions(scan, filters)
            case zetasql.ResolvedOrderByScan() | zetasql.ResolvedArrayScan():
                return filters
            case zetasql.ResolvedLimitOffsetScan() | zetasql.ResolvedSingleRowScan():
                return {}
        raise NotImplementedError(f"tests/sql/scans.py does not know {type(scan).__name__}")

    def _table(self, scan: Any, space: str, filters: _Filters) -> None:
        path = scan.table.full_name
        if path in self._views:
            view = self._views[path]
            by_name = {output.name: output.column for output in view.output_column_list}
            inner = [by_name[column.name] for column in scan.column_list]
            self._scan(view.query, path, self._renamed(scan.column_list, inner, space, path, filters))
            return
        table = path.partition(".")[2]
        self._tables |= {(space, c.column_id): (table, c.name, _type_of(c)) for c in scan.column_list}
        bounds = {c.name: filters[c.column_id] for c in scan.column_list if c.column_id in filters}
        self._reads.scans.append(Scan(table, bounds))

    def _renamed(
        self, outer: Sequence[Any], inner: Sequence[Any], space: str, within: str, filters: _Filters
    ) -> _Filters:
        """The filters of the outer columns as filters of the inner ones, which they are."""
        for column, made_of in zip(outer, inner, strict=True):
            self._parts[space, column.column_id].add((within, made_of.column_id))
        pairs = zip(outer, inner, strict=True)
        return {made_of.column_id: filters[c.column_id] for c, made_of in pairs if c.column_id in filters}

    def _join(self, join: Any, space: str, filters: _Filters) -> None:
        within = self._bounds(join.join_expr) if join.join_expr else {}
        both = _both(filters, within)
        # The condition of an outer join leaves out no row of the side that it keeps.
        left, right = {
            _JOINS.INNER: (both, both),
            _JOINS.LEFT: (filters, within),
            _JOINS.RIGHT: (within, filters),
            _JOINS.FULL: ({}, {}),
        }[join.join_type]
        self._scan(join.left_scan, space, left)
        self._scan(join.right_scan, space, right)
        if join.join_expr:
            self._expression(join.join_expr, space, None)

    def _expression(self, node: Any, space: str, owner: _Key | None) -> None:
        """Note which columns an expression uses, for the column ``owner``, or whatever is selected."""
        match node:
            case zetasql.ResolvedColumnRef():
                self._use((space, node.column.column_id), owner)
            case zetasql.ResolvedComputedColumn() | zetasql.ResolvedDeferredComputedColumn():
                owner = (space, node.column.column_id)
            case zetasql.ResolvedSubqueryExpr():
                self._scan(node.subquery, space, {})
                for column in node.subquery.column_list:
                    self._use((space, column.column_id), owner)
        for child in children(node):
            if not isinstance(child, zetasql.ResolvedScan):
                self._expression(child, space, owner)

    def _use(self, key: _Key, owner: _Key | None) -> None:
        (self._used if owner is None else self._parts[owner]).add(key)

    def _bounds(self, condition: Any) -> dict[int, float | None]:
        """The columns that a condition compares, in each of the parts that are joined by `and`."""
        found: dict[int, float | None] = {}
        name, arguments = _called(condition)
        if name == "$and":
            for argument in arguments:
                found = dict(_both(found, self._bounds(argument)))
        sides = []
        if name in ("$greater_or_equal", "$greater", "$equal", "$between"):
            sides.append((arguments[0], arguments[1]))
        if name in ("$less_or_equal", "$less", "$equal"):
            sides.append((arguments[1], arguments[0]))
        for column, bound in sides:
            if isinstance(column, zetasql.ResolvedColumnRef):
                found[column.column.column_id] = self._days_ago(bound)
        return found

    def _days_ago(self, bound: Any) -> float | None:
        """How many days before today a constant lies; None if it is none, endless if it is not understood."""
        if next(nodes(bound, zetasql.ResolvedColumnRef, zetasql.ResolvedSubqueryExpr), None):
            return None
        if isinstance(bound, zetasql.ResolvedCast):
            return self._days_ago(bound.expr)
        name, arguments = _called(bound)
        if isinstance(bound, zetasql.ResolvedLiteral):
            return self._literal_days_ago(bound.value.value)
        if name in ("current_date", "current_timestamp"):
            return 0.0
        if name in ("date", "timestamp"):
            return self._days_ago(arguments[0])
        if name in ("date_sub", "timestamp_sub"):
            count, part = (argument.value.value for argument in arguments[1:])
            return float((self._days_ago(arguments[0]) or 0) + count.int64_value * _DAYS_OF_PART[part.enum_value])
        return math.inf

    def _literal_days_ago(self, value: Any) -> float:
        if value.date_value is not None:
            day = _EPOCH + timedelta(days=value.date_value)
        elif value.timestamp_value is not None:
            day = value.timestamp_value.date()
        else:
            try:
                day = date.fromisoformat((value.string_value or "")[:10])
            except ValueError:
                return math.inf
        return float((self._today - day).days)


def _type_of(column: Any) -> str:
    return str(zetasql.TypeKind(column.type.type_kind).name).removeprefix("TYPE_").lower()


def _called(node: Any) -> tuple[str, list[Any]]:
    if isinstance(node, zetasql.ResolvedFunctionCall):
        return node.function.name.removeprefix("ZetaSQL:"), node.argument_list
    return "", []


def _both(first: _Filters, second: _Filters) -> _Filters:
    """The filters of both: of two bounds of a column the later one, and a constant one rather than another."""
    both = dict(first)
    for column, bound in second.items():
        known = both.get(column)
        both[column] = bound if known is None else known if bound is None else min(known, bound)
    return both


def _of_renamed(computed: Sequence[Any], filters: _Filters) -> dict[int, float | None]:
    """The filters of computed columns that are only another name of a column, as filters of that column."""
    return {
        made.expr.column.column_id: filters[made.column.column_id]
        for made in computed
        if isinstance(made.expr, zetasql.ResolvedColumnRef) and made.column.column_id in filters
    }


def _of_partitions(scan: Any, filters: _Filters) -> _Filters:
    groups = [
        {reference.column.column_id for reference in group.partition_by.partition_by_list}
        if group.partition_by
        else set()
        for group in scan.function_group_list
    ]
    kept = set.intersection(*groups)
    return {column: bound for column, bound in filters.items() if column in kept}
