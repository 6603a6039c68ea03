"""The embedded BigQuery: a server of our own, started where none runs and stopped after its last user.

One server serves one data folder. Three files in that folder carry the agreement between the processes that use it:

- ``server.lock`` is held, exclusively, by the server for as long as it lives; a lock dies with its process, so a
  server that was killed never looks alive, and a second one on the same folder refuses to start;
- ``address`` holds the server's address, written once it listens, on a port that the system picked; the server holds
  this file too, because one that has only just begun finds the address of a dead one there;
- ``users.lock`` is held, shared, by each process that uses the server. When the process that started the server ends,
  however it ends, the server waits for this lock exclusively, that is for the last user, and exits.
"""

import argparse
import contextlib
import fcntl
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from infra.local.emulator import open_emulator

# A server listens about 2 s after its start on two busy cores; a minute means that it never will.
START_SECONDS = 60.0
STOP_SECONDS = 30.0

_ALREADY_SERVED = 75


class WarehouseNotRunningError(Exception):
    """The embedded warehouse did not come up; the text says where its own words are."""


@contextlib.contextmanager
def running(data_dir: Path) -> Iterator[str]:
    """Yield the address (``http://127.0.0.1:PORT``) of the server of this folder, starting one where none runs.

    Raises:
        WarehouseNotRunningError: the server ended, or did not listen within ``START_SECONDS``.
    """
    data_dir = data_dir.absolute()
    data_dir.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as leave:
        server: subprocess.Popen[bytes] | None = None
        with _held(data_dir / "users.lock", fcntl.LOCK_SH):
            deadline = time.monotonic() + START_SECONDS
            while not (address := _address(data_dir)):
                if server is None and not _is_served(data_dir):
                    server = leave.enter_context(_server(data_dir))
                if server is not None and server.poll() == _ALREADY_SERVED:
                    server = None  # Another process was faster: its server is ours too.
                elif server is not None and server.poll() is not None:
                    raise WarehouseNotRunningError(
                        f"the embedded warehouse in {data_dir} ended with status {server.returncode}; "
                        f"its own words are in {data_dir / 'server.log'}"
                    )
                if time.monotonic() > deadline:
                    raise WarehouseNotRunningError(
                        f"the embedded warehouse in {data_dir} did not listen within {START_SECONDS:.0f} s; "
                        f"its own words are in {data_dir / 'server.log'}"
                    )
                time.sleep(0.05)
            yield address


@contextlib.contextmanager
def _server(data_dir: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a server that lives until this process closes its end of the pipe, or dies, and the last user has gone."""
    with (data_dir / "server.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(data_dir)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=Path(__file__).parents[2],
            # Ctrl-C on the terminal is for the command, which may still need the server to finish cleanly.
            start_new_session=True,
        )
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        # Where another command still uses the server, it outlives us, and ends after that command.
        deadline = time.monotonic() + STOP_SECONDS
        while process.poll() is None and not _has_users(data_dir) and time.monotonic() < deadline:
            time.sleep(0.02)


@contextlib.contextmanager
def _held(path: Path, mode: int) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, mode)
        yield


def _is_free(path: Path, mode: int) -> bool:
    try:
        with _held(path, mode | fcntl.LOCK_NB):
            return True
    except BlockingIOError:
        return False


def _is_served(data_dir: Path) -> bool:
    return not _is_free(data_dir / "server.lock", fcntl.LOCK_EX)


def _has_users(data_dir: Path) -> bool:
    """Whether others hold the lock with us; a server on its way out holds it alone."""
    lock = data_dir / "users.lock"
    return not _is_free(lock, fcntl.LOCK_EX) and _is_free(lock, fcntl.LOCK_SH)


def _address(data_dir: Path) -> str | None:
    """The address of the living server of this folder; None while there is none, or while it still starts."""
    try:
        with (data_dir / "address").open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read()
            return None  # Whoever wrote it has gone.
    except FileNotFoundError:
        return None


def serve(data_dir: Path) -> int:
    """Serve the folder until standard input ends and the last user has gone; return the exit status."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "server.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return _ALREADY_SERVED
        partial = data_dir / "address.partial"
        with socket.socket() as listener, partial.open("w") as address:
            fcntl.flock(address, fcntl.LOCK_EX)
            listener.bind(("127.0.0.1", 0))
            host, port = listener.getsockname()
            address.write(f"http://{host}:{port}")
            address.flush()
            server = _bigquery(data_dir, port)
            threading.Thread(target=_exit_after_last_user, args=(data_dir, lock, address), daemon=True).start()
            threading.Thread(target=_publish, args=(server, partial), daemon=True).start()
            server.run(sockets=[listener])
    return 0


def _bigquery(data_dir: Path, port: int):  # type: ignore[no-untyped-def]
    """The server itself, not yet listening."""
    import uvicorn
    from local_bigquery import app
    from local_bigquery.settings import settings

    open_emulator(data_dir / "bigquery")
    settings.bigquery_port = port
    return uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))


def _publish(server, partial: Path) -> None:  # type: ignore[no-untyped-def]
    while not server.started:
        time.sleep(0.01)
    partial.replace(partial.with_suffix(""))


def _exit_after_last_user(data_dir: Path, *held: IO[str]) -> None:
    sys.stdin.buffer.read()
    with _held(data_dir / "users.lock", fcntl.LOCK_EX):
        # Given up first, so that who waits for the other lock never takes this server for a living one.
        for file in held:
            fcntl.flock(file, fcntl.LOCK_UN)
        # Every write is in DuckDB's log by the time that its request was answered: nothing is left to flush.
        os._exit(0)


def main() -> int:
    """Serve; the command that starts the server calls this."""
    parser = argparse.ArgumentParser(description="Serve the embedded BigQuery until standard input ends.")
    parser.add_argument("data_dir", type=Path)
    return serve(parser.parse_args().data_dir)


if __name__ == "__main__":
    sys.exit(main())
