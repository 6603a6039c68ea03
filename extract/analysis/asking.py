"""One statement of an analyst's, and its rows as they come."""

import re
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from google.api_core.exceptions import GoogleAPICallError
from google.cloud import bigquery

from extract.analysis.catalogue import with_hint
from extract.errors import ConfigurationError, PipelineError
from extract.warehouse.connection import Warehouse, as_pipeline_error

# Of an answer that is read as it comes, so many rows are held.
_ROWS_PER_PAGE = 10_000


@dataclass(frozen=True, slots=True)
class Answer:
    """What a statement gave.

    Attributes:
        names: of the columns; none where the statement wrote.
        rows: a value for each column, read from BigQuery as they are taken.
        total: how many rows there are; of a statement that wrote, how many it changed, and None where it changed none.
        began_at: when it was asked, by the monotonic clock.
    """

    names: Sequence[str]
    rows: Generator[tuple[object, ...]]
    total: int | None
    began_at: float


def ask(warehouse: Warehouse, sql: str, *, may_write: bool = False, most_rows: int | None = None) -> Answer:
    """Run one statement of GoogleSQL. Tables without a dataset are the marts.

    Args:
        warehouse: where.
        sql: the statement.
        may_write: whether it may change something; else one that would is refused before it runs.
        most_rows: where the answer ends; None for all.

    Raises:
        ConfigurationError: there are several statements, or one that writes.
        PipelineError: BigQuery refused or failed; the text is its own, with the name that may be meant.
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
    # What makes a table gives its columns too.
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
    """What BigQuery says, once, and without the job's address."""
    details = [item for item in error.errors or () if isinstance(item, dict) and item.get("message")]
    text = str(details[0]["message"] if details else error.message)
    return re.split("; reason:|\n\nLocation:", text, maxsplit=1)[0].strip()
