"""BigQuery's Storage API, by its real client, from an emulator that serves it over gRPC."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import grpc
import pyarrow as pa
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, bigquery_storage
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport

from extract.analysis.arrow import opened, read
from extract.settings import PROJECT_DIR
from extract.warehouse.connection import Warehouse
from infra.local.emulator import PROJECT

_SERVE = """
import json, sys
from pathlib import Path
import uvicorn
from infra.local import emulator
emulator.open_emulator(Path(sys.argv[1]))
from local_bigquery import app
from local_bigquery.grpc import server
storage, grpc_port = server.start("127.0.0.1", 0)
rest = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
started = rest.startup
async def startup(sockets=None):
    await started(sockets)
    print(json.dumps([rest.servers[0].sockets[0].getsockname()[1], grpc_port]), flush=True)
rest.startup = startup
rest.run()
"""


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """A warehouse as Google's: no address of an emulator is known."""
    command = [sys.executable, "-c", _SERVE, str(tmp_path_factory.mktemp("storage") / "bigquery")]
    patch = pytest.MonkeyPatch()
    with subprocess.Popen(command, cwd=PROJECT_DIR, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            rest, storage = json.loads(next(line for line in process.stdout if line.startswith("[")))

            def client(**_: object) -> Any:
                channel = grpc.insecure_channel(f"127.0.0.1:{storage}", [("grpc.max_receive_message_length", -1)])
                return of_google(transport=BigQueryReadGrpcTransport(channel=channel))  # type: ignore[no-untyped-call]

            of_google = bigquery_storage.BigQueryReadClient
            patch.setattr(bigquery_storage, "BigQueryReadClient", client)
            asked = bigquery.Client(
                project=PROJECT,
                credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
                client_options={"api_endpoint": f"http://127.0.0.1:{rest}"},
            )
            asked.create_dataset("trading_data")
            yield Warehouse(asked, "trading_data", "US", None)
        finally:
            patch.undo()
            process.kill()


SQL = """
select n, cast(n as numeric) / 8 as d, concat('s', n) as s, [n, n + 1] as l, timestamp_seconds(n) as at
from unnest(generate_array(1, {count})) as n
order by n desc
"""


def test_many_rows_come_in_their_order_and_in_exact_types(cloud: Warehouse) -> None:
    with opened(cloud, SQL.format(count=250_000)) as reader:
        numbers = [number for batch in reader for number in batch.column("n").to_pylist()]
    assert numbers == list(range(250_000, 0, -1))
    table = read(cloud, SQL.format(count=10))
    assert table.schema.field("d").type == pa.decimal128(38, 9)
    assert table.schema.field("at").type == pa.timestamp("us", tz="UTC")


def test_without_its_client_the_same_comes_in_pages(cloud: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    by_storage = read(cloud, SQL.format(count=500))
    monkeypatch.setitem(sys.modules, "google.cloud.bigquery_storage", None)
    monkeypatch.delattr("google.cloud.bigquery_storage")
    assert read(replace(cloud), SQL.format(count=500)).to_pylist() == by_storage.to_pylist()
    assert read(cloud, SQL.format(count=0)).num_rows == 0
