import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from extract.settings import PROJECT_DIR
from infra.local import warehouse as embedded
from infra.local.emulator import PROJECT


def _client(address: str) -> bigquery.Client:
    return bigquery.Client(
        project=PROJECT,
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": address},
    )


def _rows(address: str, sql: str) -> list[tuple[object, ...]]:
    job = _client(address).query(sql, timeout=10, retry=bigquery.DEFAULT_RETRY.with_timeout(20), job_retry=None)
    return [tuple(row.values()) for row in job.result(timeout=30)]


def _servers(folder: Path) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if "infra.local.warehouse" in (process.info["cmdline"] or []) and str(folder) in process.info["cmdline"]
    ]


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that keeps the warehouse of ``tmp_path`` running, as `trading-data warehouse` does."""
    command = [sys.executable, "-m", "extract", "warehouse"]
    environment = os.environ | {
        "WAREHOUSE_DIR": str(tmp_path),
        "BIGQUERY_PROJECT": "",
        "BIGQUERY_EMULATOR_HOST": "",
    }
    with subprocess.Popen(
        command,
        env=environment,
        cwd=PROJECT_DIR,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_it_starts_answers_keeps_its_data_and_stops(tmp_path: Path) -> None:
    with embedded.running(tmp_path) as address:
        assert len(_servers(tmp_path)) == 1
        _client(address).create_dataset("kept", timeout=10)
        _rows(address, "create table kept.t as select 1 as x")
    assert _servers(tmp_path) == []
    with embedded.running(tmp_path) as address:
        assert _rows(address, "select x from kept.t") == [(1,)]


def test_two_folders_have_two_servers_and_their_own_data(tmp_path: Path) -> None:
    with embedded.running(tmp_path / "one") as one, embedded.running(tmp_path / "two") as two:
        assert one != two
        _client(one).create_dataset("only_in_one", timeout=10)
        assert [dataset.dataset_id for dataset in _client(two).list_datasets(timeout=10)] == ["local"]


def test_a_second_user_of_a_folder_shares_the_server(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    assert holder.stdout is not None
    held_address = holder.stdout.readline().strip()
    with embedded.running(tmp_path) as address:
        assert address == held_address
        assert len(_servers(tmp_path)) == 1
        # The process that started the server dies; the server stays for us.
        holder.kill()
        holder.wait()
        assert _rows(address, "select 1") == [(1,)]
    deadline = time.monotonic() + embedded.STOP_SECONDS
    while _servers(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _servers(tmp_path) == []


def test_ctrl_c_stops_the_kept_warehouse(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    assert holder.stdout is not None
    assert holder.stdout.readline().startswith("http://127.0.0.1:")
    holder.send_signal(signal.SIGINT)
    assert holder.wait(embedded.STOP_SECONDS) == 0
    assert _servers(tmp_path) == []


def test_a_killed_server_does_not_look_alive_and_lost_nothing(tmp_path: Path) -> None:
    with embedded.running(tmp_path) as address:
        _client(address).create_dataset("kept", timeout=10)
        _rows(address, "create table kept.t as select 1 as x")
        (server,) = _servers(tmp_path)
        server.kill()
        server.wait()
    # The dead server's address is still written there.
    assert (tmp_path / "address").read_text() == address
    with embedded.running(tmp_path) as new_address:
        assert _rows(new_address, "select x from kept.t") == [(1,)]


def test_the_address_of_a_dead_server_is_not_that_of_one_that_begins(tmp_path: Path) -> None:
    (tmp_path / "address").write_text("http://127.0.0.1:1")
    with (tmp_path / "server.lock").open("a") as begun:
        fcntl.flock(begun, fcntl.LOCK_EX)
        threading.Timer(1, fcntl.flock, (begun, fcntl.LOCK_UN)).start()
        with embedded.running(tmp_path) as address:
            assert _rows(address, "select 1") == [(1,)]


def test_a_server_that_cannot_start_says_where_its_words_are(tmp_path: Path) -> None:
    (tmp_path / "bigquery").write_text("a file where the data folder should be")
    with (
        pytest.raises(embedded.WarehouseNotRunningError, match=r"ended with status 1; .*server\.log"),
        embedded.running(tmp_path),
    ):
        pass
