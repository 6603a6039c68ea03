import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from google.api_core.exceptions import Forbidden, GoogleAPICallError
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


def _wait_until_gone(folder: Path, seconds: float = embedded.STOP_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while _servers(folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _servers(folder) == []


@pytest.fixture
def sitting(tmp_path: Path) -> Iterator[Path]:
    """A folder in which no server is left when the test ends."""
    folder = tmp_path / "warehouse"
    yield folder
    for server in _servers(folder):
        server.kill()


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that keeps the warehouse of ``tmp_path`` running, as `trading-data warehouse` does."""
    command = [sys.executable, "-m", "extract", "warehouse"]
    environment = os.environ | {
        "WAREHOUSE_DIR": str(tmp_path),
        "WAREHOUSE_IDLE_SECONDS": "600",
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
        assert not embedded.stop(tmp_path)
        assert _rows(address, "select 1") == [(1,)]
    _wait_until_gone(tmp_path)


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
    assert json.loads((tmp_path / "address").read_text())["address"] == address
    with embedded.running(tmp_path) as new_address:
        assert _rows(new_address, "select x from kept.t") == [(1,)]


def _ran(*command: str) -> str:
    """Run a command of the system; return why it failed, nothing if it did not."""
    ended = subprocess.run(["/usr/bin/env", *command], capture_output=True, text=True, check=False)
    return ended.stderr if ended.returncode else ""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 40 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if refused := _ran("mount", "-t", "tmpfs", "-o", "size=40m", "none", str(disk)):
        pytest.skip(f"this user may not mount a small disk: {refused}")
    try:
        yield disk
    finally:
        assert not _ran("umount", "--lazy", str(disk))


def test_a_disk_that_fills_is_told_at_once_and_loses_nothing(small_disk: Path) -> None:
    folder = small_disk / "warehouse"
    with embedded.running(folder) as address:
        _client(address).create_dataset("kept", timeout=10)
        _rows(address, "create table kept.t as select 1 as x")
        with pytest.raises(GoogleAPICallError, match=r"the disk is full|Could not write|No space left"):
            _rows(
                address, "create table kept.wide as select generate_uuid() as x from unnest(generate_array(1, 5000000))"
            )
        with suppress(OSError), (small_disk / "of-another-program").open("wb", buffering=0) as other:
            while True:
                other.write(b"0" * 65_536)
        with pytest.raises(Forbidden, match=r"the disk is full at .*; make room"):
            _rows(address, "select 1")
        assert not _ran("mount", "-o", "remount,size=400m", str(small_disk))
        # A job whose end it could not save looks as if it still ran, so it ends although it is in use.
        _wait_until_gone(folder)
    with embedded.running(folder) as address:
        assert _rows(address, "select x from kept.t") == [(1,)]


def test_the_address_of_a_dead_server_is_not_that_of_one_that_begins(tmp_path: Path) -> None:
    (tmp_path / "address").write_text("http://127.0.0.1:1")
    with (tmp_path / "server.lock").open("a") as begun:
        fcntl.flock(begun, fcntl.LOCK_EX)
        threading.Timer(1, fcntl.flock, (begun, fcntl.LOCK_UN)).start()
        with embedded.running(tmp_path) as address:
            assert _rows(address, "select 1") == [(1,)]


@pytest.mark.parametrize(
    ("stray", "words"),
    [
        ("bigquery", r"did not start: .*File exists"),
        ("bigquery/emulator.duckdb", "did not start: .*not a valid DuckDB"),
    ],
)
def test_a_server_that_cannot_start_says_why(tmp_path: Path, stray: str, words: str) -> None:
    (tmp_path / stray).parent.mkdir(exist_ok=True)
    (tmp_path / stray).write_text("a file that is not its own")
    with pytest.raises(embedded.WarehouseNotRunningError, match=words) as told, embedded.running(tmp_path):
        pass
    assert "WAREHOUSE_DIR" in str(told.value)
    assert "server.log" not in str(told.value)


def test_a_server_stays_for_its_idle_time_and_the_next_command_finds_it(sitting: Path) -> None:
    with embedded.running(sitting, idle_seconds=3) as address:
        # In use, it stays for longer.
        time.sleep(4)
        assert _rows(address, "select 1") == [(1,)]
    (server,) = _servers(sitting)
    with embedded.running(sitting) as found:
        assert found == address
        time.sleep(1)
    left = time.monotonic()
    assert _servers(sitting) == [server]
    _wait_until_gone(sitting)
    assert time.monotonic() - left > 2


def test_a_server_that_stays_stops_when_it_is_told_to(sitting: Path) -> None:
    assert embedded.stop(sitting)  # There is none.
    with embedded.running(sitting, idle_seconds=600):
        pass
    assert len(_servers(sitting)) == 1
    assert embedded.stop(sitting)
    assert _servers(sitting) == []


def test_starters_at_once_share_one_server(sitting: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from infra.local.warehouse import running\n"
        "with running(Path(sys.argv[1]), 600) as address: print(address, flush=True); sys.stdin.read()"
    )
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(sitting)],
            cwd=PROJECT_DIR,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    assert len({starter.stdout.readline() for starter in starters if starter.stdout}) == 1
    assert len(_servers(sitting)) == 1
    for starter in starters:
        starter.communicate()
        assert starter.returncode == 0
    assert len(_servers(sitting)) == 1


def test_a_starter_that_was_killed_leaves_a_server_that_the_next_command_finds(sitting: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from infra.local.warehouse import running\n"
        "with running(Path(sys.argv[1]), 600): pass"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(sitting)], cwd=PROJECT_DIR) as starter:
        while not _servers(sitting):
            time.sleep(0.01)
        starter.kill()
    with embedded.running(sitting) as address:
        assert _rows(address, "select 1") == [(1,)]
        # Until the first server holds the folder's lock, a second one may start: one of the two then ends by itself.
        deadline = time.monotonic() + embedded.STOP_SECONDS
        while len(_servers(sitting)) > 1 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(_servers(sitting)) == 1
        assert _rows(address, "select 1") == [(1,)]


def test_a_server_ends_with_its_folder(sitting: Path) -> None:
    with embedded.running(sitting, idle_seconds=600):
        pass
    shutil.rmtree(sitting)
    _wait_until_gone(sitting)
    assert not sitting.exists()


def test_a_server_ends_with_the_terminal_that_it_was_started_from(sitting: Path) -> None:
    # What a terminal's window, or sshd, does: a session on a terminal of its own, which is closed at the end.
    script = (
        "import fcntl, sys, termios; from pathlib import Path; from infra.local.warehouse import running\n"
        f"fcntl.ioctl(0, {termios.TIOCSCTTY}, 0)\n"
        "with running(Path(sys.argv[1]), 600): pass\n"
        "print('left', flush=True)"
    )
    ours, theirs = os.openpty()
    try:
        with subprocess.Popen(
            [sys.executable, "-c", script, str(sitting)],
            cwd=PROJECT_DIR,
            stdin=theirs,
            stdout=subprocess.PIPE,
            start_new_session=True,
        ) as shell:
            assert shell.stdout is not None
            assert shell.stdout.readline() == b"left\n"
        time.sleep(1)
        assert len(_servers(sitting)) == 1
    finally:
        os.close(theirs)
        os.close(ours)
    _wait_until_gone(sitting)


@pytest.mark.parametrize("is_readable", [True, False])
def test_a_server_of_other_code_is_replaced_once_nobody_uses_it(
    sitting: Path, monkeypatch: pytest.MonkeyPatch, *, is_readable: bool
) -> None:
    with embedded.running(sitting, idle_seconds=600) as old:
        _client(old).create_dataset("kept", timeout=10)
        (server,) = _servers(sitting)
        described = json.loads((sitting / "address").read_text())
        # Not written anew: the server holds this very file.
        with (sitting / "address").open("r+") as file:
            file.truncate()
            file.write(json.dumps(described | {"code": "other"}) if is_readable else old)
        monkeypatch.setattr(embedded, "START_SECONDS", 1.0)
        with pytest.raises(embedded.WarehouseNotRunningError, match="another version"), embedded.running(sitting):
            pass
        assert _servers(sitting) == [server]
        if not is_readable:
            # It does not say whom to ask; what is of our time is stopped by what it says.
            server.kill()
    monkeypatch.undo()
    with embedded.running(sitting) as new:
        assert "kept" in [dataset.dataset_id for dataset in _client(new).list_datasets(timeout=10)]
        assert _servers(sitting) != [server]
