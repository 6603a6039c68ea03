"""Run one statement of an analyst, and read its rows as they arrive."""

import re
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from google.api_core.exceptions import GoogleAPICallError
from google.cloud import bigquery

from extract.analysis.catalogue import with_hint
from extract.errors import ConfigurationError, PipelineError
from extract.warehouse.connection import Warehouse
from extract.warehouse.errors import as_pipeline_error

# The number of rows of an answer that are held in memory at a time.
_ROWS_PER_PAGE = 10_000


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a statement.

    Attributes:
        names: the names of the columns; empty for a statement that writes.
        rows: a value for each column; fetched from BigQuery as they are consumed.
        total: how many rows there are; for a statement that writes, how many it changed, None if it is not DML.
        began_at: when the statement was sent, by the monotonic clock.
    """

    names: Sequence[str]
    rows: Generator[tuple[object, ...]]
    total: int | None
    began_at: float


def ask(warehouse: Warehouse, sql: str, *, may_write: bool = False, most_rows: int | None = None) -> Answer:
    """Run one statement of GoogleSQL. Tables without a dataset are the marts.

    Args:
        warehouse: where to run it.
        sql: the statement.
        may_write: whether it may change data; if False, a statement that would is refused before it runs.
        most_rows: the number of rows after which the answer ends; None for all.

    Raises:
        ConfigurationError: there are several statements, or one that writes.
        PipelineError: BigQuery refused or failed; the text is BigQuery's, with a suggestion for an unknown name.
    """
    began_at = time.monotonic()
    try:
        tried = warehouse.ask(sql, is_dry=True)
        _check(tried.statement_type, may_write=may_write)
        rows = warehouse.ask(sql).result(
            timeout=warehouse.seconds, retry=warehouse.retry, page_size=_ROWS_PER_PAGE, max_results=most_rows
        )
    except GoogleAPICallError as error:
        if 400 <= (error.code or 500) < 500:
            raise PipelineError(with_hint(_plain(error), sql, warehouse)) from error
        with as_pipeline_error("the query failed"):
            raise
    except Exception:
        with as_pipeline_error("the query failed"):
            raise
    # A statement that creates a table has a schema too, but returns no rows.
    names = [field.name for field in rows.schema] if tried.statement_type in (None, "SELECT") else []
    total = rows.total_rows if names else rows.num_dml_affected_rows
    return Answer(names, _read(rows), total, began_at)


def _read(rows: bigquery.table.RowIterator) -> Generator[tuple[object, ...]]:
    with as_pipeline_error("reading the rows failed"):
        for row in rows:
            yield tuple(row)


def _check(kind: str | None, *, may_write: bool) -> None:
    if kind == "SCRIPT":
        raise ConfigurationError("there are several statements; `query` takes one, so ask each by itself")
    if kind and kind != "SELECT" and not may_write:
        raise ConfigurationError(
            f"the statement would change the warehouse ({kind.replace('_', ' ').lower()}), and `query` only reads;"
            " add --write if that is meant"
        )


def _plain(error: GoogleAPICallError) -> str:
    """BigQuery's message, once, and without the address of the job."""
    details = [item for item in error.errors or () if isinstance(item, dict) and item.get("message")]
    text = str(details[0]["message"] if details else error.message)
    return re.split("; reason:|\n\nLocation:", text, maxsplit=1)[0].strip()
