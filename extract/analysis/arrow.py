"""Read many rows from the warehouse as Arrow record batches, one batch at a time.

From BigQuery they come by its Storage API if ``google-cloud-bigquery-storage`` is installed (it is a dependency of the
embedded warehouse), else as pages of JSON. The embedded warehouse sends DuckDB's own Arrow batches.
"""

import io
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pyarrow as pa
import requests
from google.api_core.exceptions import Forbidden
from google.cloud import bigquery
from urllib3.exceptions import HTTPError

from extract.errors import PipelineError
from extract.warehouse.connection import Warehouse
from extract.warehouse.errors import as_pipeline_error

# The same as in infra.local.arrow, which is not installed everywhere.
_PATH = "/arrow"
_ROWS_PER_PAGE = 20_000


@contextmanager
def opened(warehouse: Warehouse, sql: str) -> Iterator[pa.RecordBatchReader]:
    """Run one query, and read its rows in their order.

    Tables without a dataset are the marts. A NUMERIC becomes a ``decimal128(38, 9)``, a TIMESTAMP one in microseconds
    and UTC.

    Raises:
        PipelineError: BigQuery refused or failed, at once or while rows are read; the text is BigQuery's.
    """
    with ExitStack() as leave:
        with as_pipeline_error("the query failed"):
            reader = _from_embedded(warehouse, sql, leave) if warehouse.address else None
            if reader is None:
                reader = _from_bigquery(warehouse, sql)
        yield pa.RecordBatchReader.from_batches(reader.schema, _told(reader))


def read(warehouse: Warehouse, sql: str) -> pa.Table:
    """All rows of one query as one table; see ``opened``."""
    with opened(warehouse, sql) as reader:
        return reader.read_all()


def _told(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    try:
        with as_pipeline_error("reading the rows failed"):
            yield from reader
    # When the connection breaks, each of the layers below may be the first to notice.
    except (OSError, ValueError, HTTPError) as error:
        raise PipelineError(f"reading the rows failed: the warehouse ended before its last row ({error})") from error


def _from_embedded(warehouse: Warehouse, sql: str, leave: ExitStack) -> pa.RecordBatchReader | None:
    """The rows from the embedded warehouse; None if the server is another emulator, which lacks this route."""
    session = leave.enter_context(requests.Session())
    # The server is on this machine or in the same network: use no proxy.
    session.trust_env = False
    asked = {"sql": sql, "project": warehouse.client.project, "dataset": warehouse.dataset}
    answer = leave.enter_context(
        session.post(f"{warehouse.address}{_PATH}", json=asked, stream=True, timeout=warehouse.seconds)
    )
    if answer.status_code == 404 and "arrow" not in answer.headers.get("content-type", ""):
        told = _reason(answer)
        if told is None:
            return None
        raise PipelineError(f"the query failed: {told}")
    if answer.status_code != 200:
        raise PipelineError(f"the query failed: {_reason(answer) or answer.reason}")
    return pa.ipc.open_stream(io.BufferedReader(answer.raw, 1 << 20))


def _reason(answer: requests.Response) -> str | None:
    """The error message in the form of BigQuery's API; None if the answer has another form."""
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, LookupError, TypeError):
        return None


def _from_bigquery(warehouse: Warehouse, sql: str) -> pa.RecordBatchReader:
    job = warehouse.ask(sql)
    rows = job.result(timeout=warehouse.seconds, retry=warehouse.retry, page_size=_ROWS_PER_PAGE)
    if not rows.total_rows:
        return rows.to_arrow(create_bqstorage_client=False).to_reader()
    if warehouse.address is None and (by_storage := _by_storage_api(warehouse, job)):
        return by_storage
    batches = rows.to_arrow_iterable()
    first = next(batches)

    def all_batches() -> Iterator[pa.RecordBatch]:
        yield first
        yield from batches

    return pa.RecordBatchReader.from_batches(first.schema, all_batches())


def _by_storage_api(warehouse: Warehouse, job: bigquery.QueryJob) -> pa.RecordBatchReader | None:
    """The rows of a query by the Storage API; None if its client is not installed, or this user may not use it."""
    try:
        from google.cloud import bigquery_storage
    except ImportError:
        return None
    storage: Any = bigquery_storage.BigQueryReadClient(credentials=warehouse.client._credentials)  # type: ignore[no-untyped-call]
    wanted = bigquery_storage.ReadSession(
        table=job.destination.to_bqstorage(), data_format=bigquery_storage.DataFormat.ARROW
    )
    # One stream: between several, the order of the rows is lost.
    try:
        session = storage.create_read_session(
            parent=f"projects/{warehouse.client.project}", read_session=wanted, max_stream_count=1
        )
    except Forbidden:
        # It needs the role bigquery.readSessionUser. The pages of the result are slower, and need none.
        return None
    schema = pa.ipc.read_schema(pa.py_buffer(session.arrow_schema.serialized_schema))

    def batches() -> Iterator[pa.RecordBatch]:
        for stream in session.streams:
            for message in storage.read_rows(stream.name):
                yield pa.ipc.read_record_batch(pa.py_buffer(message.arrow_record_batch.serialized_record_batch), schema)

    return pa.RecordBatchReader.from_batches(schema, batches())
