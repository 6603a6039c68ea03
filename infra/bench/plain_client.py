"""BigQuery's own client, as a user writes it without our code: a statement's result as Arrow, or as a file."""

import sys

import pyarrow as pa
import pyarrow.parquet as pq
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from infra.local.emulator import PROJECT


def client_of(address: str) -> bigquery.Client:
    """A client of the warehouse at an address."""
    credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]
    return bigquery.Client(PROJECT, credentials, client_options={"api_endpoint": address})


def rows_of(client: bigquery.Client, sql: str) -> pa.Table:
    """All rows of a statement's result, as Arrow."""
    # The embedded warehouse has no Storage API, from which the client reads larger results otherwise.
    return client.query_and_wait(sql).to_arrow(create_bqstorage_client=False)


if __name__ == "__main__":
    _, address, sql, target = sys.argv
    pq.write_table(rows_of(client_of(address), sql), target, compression="zstd")
