"""The tables and columns that an analyst can query: the marts, quality and operations."""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from google.api_core.exceptions import Forbidden, NotFound
from google.cloud import bigquery

from extract.errors import ConfigurationError
from extract.warehouse.connection import Warehouse
from extract.warehouse.errors import as_pipeline_error
from extract.words import did_you_mean

# The suffixes of the datasets that people read. The marts are in the dataset with the base name, without a suffix.
_READ_BY_PEOPLE = ("", "_quality", "_operations")

_LOOKS_AT_ONCE = 8
_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        name: the column's name.
        kind: its type in GoogleSQL, such as ``NUMERIC`` or ``ARRAY<STRING>``.
        description: what it holds; empty if the warehouse has no description.
    """

    name: str
    kind: str
    description: str


@dataclass(frozen=True, slots=True)
class Described:
    """A table or view.

    Attributes:
        name: the name to use in `query`: without a dataset for a mart.
        description: what a row is, and what to know about the table.
        row_count: how many rows a table has; None for a view.
        columns: in the order of the table.
    """

    name: str
    description: str
    row_count: int | None
    columns: tuple[Column, ...]


def catalogue(warehouse: Warehouse) -> list[Described]:
    """The tables and views that people read: the marts, then quality, then operations.

    Raises:
        PipelineError: BigQuery refused or failed.
    """
    return _all_described(warehouse, _names(warehouse))


def described(warehouse: Warehouse, typed: str) -> Described:
    """The table that a person names: with its dataset or without, in any case.

    Raises:
        ConfigurationError: there is no table of that name; the text says which one may be meant.
        PipelineError: BigQuery refused or failed.
    """
    names = _names(warehouse)
    wanted = typed.strip().strip("`").casefold()
    for name in names:
        full = _full(warehouse, name)
        known_as = (_last(name), full.partition(".")[2], full)
        if wanted in (each.casefold() for each in known_as):
            return _all_described(warehouse, [name])[0]
    if not names:
        raise ConfigurationError("there are no tables yet; run `trading-data run` first")
    hint = did_you_mean(_last(wanted), map(_last, names))
    raise ConfigurationError(f"there is no table {typed}{hint or '; `trading-data tables` lists them'}")


def with_counts(warehouse: Warehouse, tables: Sequence[Described]) -> list[Described]:
    """The same tables, with the rows of those marts that are views counted. Other views keep ``row_count`` None.

    To count a view of quality takes as long as to compute it: there is a row for each check of each bar. BigQuery knows
    the rows of a table. The embedded warehouse's number includes rows that a merge has replaced, so it is not used.

    Raises:
        PipelineError: BigQuery refused or failed.
    """
    names = [table.name for table in tables if table.row_count is None and "." not in table.name]
    if warehouse.address:
        names += [table.name for table in tables if table.row_count is not None]
    if not names:
        return list(tables)
    selects = (f"select '{name}' as name, count(*) as row_count from `{_full(warehouse, name)}`" for name in names)
    counted = {row["name"]: row["row_count"] for row in warehouse.query("\nunion all\n".join(selects))}
    return [replace(table, row_count=counted.get(table.name, table.row_count)) for table in tables]


def with_hint(message: str, sql: str, warehouse: Warehouse) -> str:
    """BigQuery's message about a statement, with a suggestion if a name in the statement is unknown.

    Args:
        message: BigQuery's own.
        sql: the statement.
        warehouse: the warehouse that the statement was sent to.
    """
    if "did you mean" in message.casefold():
        return message
    if found := re.search(r"(?:Unrecognized name:|Name) [`\"]?(\w+)", message):
        words = {word.casefold() for word in re.findall(r"\w+", sql)}
        tables = _all_described(warehouse, [name for name in _names(warehouse) if _last(name).casefold() in words])
        return _joined(message, did_you_mean(found[1], (column.name for table in tables for column in table.columns)))
    if "Not found: Dataset" in message and not _names(warehouse):
        return "nothing has been built yet; run `trading-data run`"
    if found := re.search(r"(?:Not found: Table|Table) [`\"]?([\w:.-]+)", message):
        names = _names(warehouse)
        if not names:
            return "nothing has been built yet; run `trading-data run`"
        last = _last(found[1].replace(":", "."))
        for name in names:
            if "." in name and _last(name).casefold() == last.casefold():
                return f"there is no table {last} among the marts; did you mean {name}?"
        return (
            f"there is no table {last}{did_you_mean(last, map(_last, names)) or '; `trading-data tables` lists them'}"
        )
    return message


def _joined(message: str, hint: str) -> str:
    """The message with the hint before the position, which BigQuery puts last."""
    text, at, position = message.partition(" at [")
    return f"{text}{hint} {at.strip()} [{position}" if hint and at else f"{message}{hint}"


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _names(warehouse: Warehouse) -> list[str]:
    with as_pipeline_error("listing the tables failed"):
        return [name for part in _READ_BY_PEOPLE for name in _listed(warehouse, part)]


def _listed(warehouse: Warehouse, part: str) -> list[str]:
    dataset = f"{warehouse.dataset}{part}"
    try:
        tables = list(warehouse.client.list_tables(f"{warehouse.client.project}.{dataset}", timeout=_TIMEOUT))
    except (NotFound, Forbidden):
        # Analysts may read marts and quality, and not the other datasets.
        return []
    # A build that is under way has tables of its own.
    names = sorted(str(table.table_id) for table in tables if "__dbt_tmp" not in table.table_id)
    return [f"{dataset}.{name}" if part else name for name in names]


def _all_described(warehouse: Warehouse, names: Sequence[str]) -> list[Described]:
    with as_pipeline_error("reading what the tables hold failed"), ThreadPoolExecutor(_LOOKS_AT_ONCE) as pool:
        return list(pool.map(lambda name: _described(warehouse, name), names))


def _full(warehouse: Warehouse, name: str) -> str:
    return f"{warehouse.client.project}.{name if '.' in name else f'{warehouse.dataset}.{name}'}"


def _described(warehouse: Warehouse, name: str) -> Described:
    table = warehouse.client.get_table(_full(warehouse, name), timeout=_TIMEOUT)
    columns = (Column(field.name, _kind(field), field.description or "") for field in table.schema)
    row_count = table.num_rows if table.table_type == "TABLE" else None
    return Described(name, table.description or "", row_count, tuple(columns))


def _kind(field: bigquery.SchemaField) -> str:
    kinds = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}
    kind = kinds.get(field.field_type, field.field_type)
    if kind in ("RECORD", "STRUCT"):
        kind = f"STRUCT<{', '.join(f'{inner.name} {_kind(inner)}' for inner in field.fields)}>"
    return f"ARRAY<{kind}>" if field.mode == "REPEATED" else kind
