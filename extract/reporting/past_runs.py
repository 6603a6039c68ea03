"""The past runs as operations_runs has them, and what BigQuery has billed for them."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from google.cloud import bigquery

from extract.warehouse.connection import Warehouse

_BILLED_DAYS = 30
# Google's list price of on-demand queries, in US$ a tebibyte (cloud.google.com/bigquery/pricing). It is that of the US;
# some regions cost more.
TEBIBYTE_PRICE = 6.25


@dataclass(frozen=True, slots=True)
class Run:
    """A row of operations_runs, whose model describes each column."""

    run_id: str
    command: str | None
    reason: str | None
    exit_status: int | None
    request_count: int
    failed_request_count: int
    landed_row_count: int | None
    built_node_count: int | None
    failed_node_count: int | None
    bytes_processed: int | None
    bytes_billed: int | None
    elapsed_seconds: float | None
    started_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Bill:
    """What the models and seeds of the builds of the last days were billed, and an estimate of what that costs.

    Attributes:
        days: of how many days.
        run_count: how many commands have noted what they were billed.
        bytes_billed: the bytes that BigQuery billed them.
        estimated_price: what so many bytes cost, in US$, at the on-demand price; the free tebibyte of each month is
            not subtracted, because others may have used it.
    """

    days: int
    run_count: int
    bytes_billed: int
    estimated_price: float


def read_runs(warehouse: Warehouse, limit: int, run_id: str | None = None) -> list[Run]:
    """The last runs, the latest first; or one run, with its later attempts.

    Raises:
        PipelineError: nothing has been built yet, or the warehouse failed.
    """
    base = f"{warehouse.client.project}.{warehouse.dataset}"
    rows = warehouse.query(
        f"""
        select * from `{base}_operations.operations_runs`
        where
            @run_id is null
            or run_id = @run_id
            -- The second attempt of a task, and those after it.
            or (
                starts_with(run_id, concat(@run_id, '.'))
                and regexp_contains(substr(run_id, length(@run_id) + 1), r'^[.][0-9]+$')
            )
        order by started_at desc
        limit {limit}
        """,
        [bigquery.ScalarQueryParameter("run_id", "STRING", run_id)],
    )
    return [Run(**dict(row.items())) for row in rows]


def read_bill(warehouse: Warehouse, now: datetime) -> Bill:
    """What the commands of the last 30 days have noted as billed, and its estimated price.

    Raises:
        PipelineError: nothing has been built yet, or the warehouse failed.
    """
    since = bigquery.ScalarQueryParameter("since", "TIMESTAMP", now - timedelta(days=_BILLED_DAYS))
    (row,) = warehouse.query(
        f"""
        select count(bytes_billed) as run_count, coalesce(sum(bytes_billed), 0) as bytes_billed
        from `{warehouse.client.project}.{warehouse.dataset}_operations.operations_runs`
        where started_at >= @since
        """,
        [since],
    )
    billed = int(row["bytes_billed"])
    return Bill(_BILLED_DAYS, row["run_count"], billed, round(billed * TEBIBYTE_PRICE / 2**40, 2))
