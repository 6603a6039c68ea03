"""The embedded BigQuery: a server that a command starts if none runs, and that keeps running for a while after it.

One server serves one data folder. Three files in that folder coordinate the processes that use it:

- ``server.lock`` is held, exclusively, by the server for as long as it lives. A lock dies with its process, so a
  server that was killed never looks alive, and a second one on the same folder refuses to start.
- ``address`` says where the server listens, on a port that the system picked, and which code it runs. It is written
  once the server listens. The server holds this file too, because a server that is still starting finds the address
  of its dead predecessor there.
- ``users.lock`` is held, shared, by each process that uses the server. The server ends only while it holds this lock
  exclusively, that is when nobody uses it. So a process that has this lock and finds an address can rely on the server.

The server ends when nobody has used it for the idle time that its starter gave. It ends earlier when it is asked to, or
its terminal is closed, once nobody uses it; and at once when its folder is removed. Killing it loses nothing: every
write is in DuckDB's log before its request is answered.

While the disk is full, it refuses each request. It ends at once when there is room again.
"""

import argparse
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from infra.local import arrow, emulator

# On two busy cores, a server listens about 2 s after its start; after a minute, it never will.
START_SECONDS = 60.0
STOP_SECONDS = 30.0

# How often a server checks whether it is in use. An idle server takes 0.6 % of a processor.
_LOOK_SECONDS = 0.05

_ALREADY_SERVED = 75

# With less than the first, DuckDB cannot write the end of a job. With the second, a command can begin again.
_LEAST_BYTES_FREE, _ENOUGH_BYTES_FREE = 1_000_000, 20_000_000


class WarehouseNotRunningError(Exception):
    """The embedded warehouse did not start; the text says why, as far as its log shows it."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server, from its own description in the file ``address``.

    Attributes:
        address: ``http://127.0.0.1:PORT``.
        pid: its process; None if another version of this code did not write it.
        code: the digest of the code that it runs.
        idle_seconds: how long it stays after its last user.
    """

    address: str
    pid: int | None
    code: str
    idle_seconds: float


@contextlib.contextmanager
def running(data_dir: Path, idle_seconds: float = 0) -> Iterator[str]:
    """Yield the address (``http://127.0.0.1:PORT``) of the server of this folder; start one if none runs.

    A server of another version of the code is asked to end, and is replaced.

    Args:
        data_dir: the folder.
        idle_seconds: how long a server that is started here stays after its last user. With 0, it ends with its last
            user, and the process that started it waits for its end.

    Raises:
        WarehouseNotRunningError: the server ended, or did not listen within ``START_SECONDS``; or a server of another
            version was in use for that long.
    """
    data_dir = data_dir.absolute()
    data_dir.mkdir(parents=True, exist_ok=True)
    code = emulator.running_code()
    own: subprocess.Popen[bytes] | None = None
    try:
        with (data_dir / "users.lock").open("a") as users:
            fcntl.flock(users, fcntl.LOCK_SH)
            deadline = time.monotonic() + START_SECONDS
            while (server := find(data_dir)) is None or server.code != code:
                if server is not None:
                    _ask_to_end(server)
                    # It ends only when nobody uses it, so give up our own lock.
                    fcntl.flock(users, fcntl.LOCK_UN)
                elif own is None and not _is_served(data_dir):
                    own = _start(data_dir, idle_seconds)
                elif own is not None and own.poll() == _ALREADY_SERVED:
                    own = None  # Another process was faster: use its server.
                elif own is not None and own.poll() is not None:
                    raise WarehouseNotRunningError(
                        f"the embedded warehouse in {data_dir} did not start: "
                        f"{_last_words(data_dir) or f'it ended with status {own.returncode}'}; "
                        "move other files out of that folder, or set WAREHOUSE_DIR to another one"
                    )
                if time.monotonic() > deadline:
                    raise WarehouseNotRunningError(
                        f"the embedded warehouse in {data_dir} did not listen within {START_SECONDS:.0f} s: "
                        f"{_last_words(data_dir) or 'is the machine very busy?'}; run this again"
                        if server is None
                        else f"the embedded warehouse in {data_dir} was started by another version of this code, and a"
                        f" command still uses it; run this again when that command has ended"
                    )
                time.sleep(_LOOK_SECONDS)
                fcntl.flock(users, fcntl.LOCK_SH)
            yield server.address
    finally:
        if own is not None:
            _leave(own, data_dir, idle_seconds)


def find(data_dir: Path) -> Server | None:
    """The running server of this folder; None if there is none, or while it still starts."""
    try:
        with (data_dir / "address").open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _described(file.read())
            return None  # The server that wrote it has ended.
    except FileNotFoundError:
        return None


def stop(data_dir: Path) -> bool:
    """End the server of this folder, if there is one; return False if a command uses it: it ends after that command."""
    deadline = time.monotonic() + STOP_SECONDS
    in_use = 0
    while server := find(data_dir):
        _ask_to_end(server)
        time.sleep(_LOOK_SECONDS)
        # The server itself holds the lock for a moment at each check.
        in_use = in_use + 1 if _has_users(data_dir) else 0
        if in_use == 5 or time.monotonic() > deadline:
            return False
    return True


def _last_words(data_dir: Path) -> str:
    """The last line of a server's log, without the name of the error; empty if there is none."""
    lines = (data_dir / "server.log").read_text(errors="replace").strip().splitlines()[-1:]
    return "".join(lines).rpartition("Error: ")[2].rpartition("Exception: ")[2].rstrip("!.")


def _described(text: str) -> Server:
    try:
        return Server(**json.loads(text))
    except (TypeError, ValueError):
        return Server(text, None, "unknown", 0)  # Another version of this code has written it.


def _ask_to_end(server: Server) -> None:
    if server.pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(server.pid, signal.SIGHUP)


def _start(data_dir: Path, idle_seconds: float) -> subprocess.Popen[bytes]:
    """Start a server. Its standard input lets it notice that the terminal of this process was closed."""
    with contextlib.ExitStack() as leave:
        log = leave.enter_context((data_dir / "server.log").open("ab"))
        try:
            terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
            leave.callback(os.close, terminal)
        except OSError:
            terminal = subprocess.DEVNULL
        return subprocess.Popen(
            [sys.executable, "-m", __name__, str(data_dir), str(idle_seconds)],
            stdin=terminal,
            stdout=log,
            stderr=log,
            cwd=Path(__file__).parents[2],
            # So that Ctrl-C ends the command and not the server, which the command may need to finish cleanly.
            start_new_session=True,
        )


def _leave(own: subprocess.Popen[bytes], data_dir: Path, idle_seconds: float) -> None:
    """If the server ends with its last user, and that was this process, wait for its end; else leave it running."""
    deadline = time.monotonic() + STOP_SECONDS
    while idle_seconds == 0 and own.poll() is None and not _has_users(data_dir) and time.monotonic() < deadline:
        time.sleep(0.02)
    if own.poll() is None:
        own.returncode = 0  # Otherwise Popen warns that nobody has waited for the process.


def _is_free(path: Path, mode: int) -> bool:
    try:
        with path.open("a") as file:
            fcntl.flock(file, mode | fcntl.LOCK_NB)
            return True
    except BlockingIOError:
        return False


def _is_served(data_dir: Path) -> bool:
    return not _is_free(data_dir / "server.lock", fcntl.LOCK_EX)


def _has_users(data_dir: Path) -> bool:
    """Whether another process holds the lock; a server that is ending holds it exclusively."""
    lock = data_dir / "users.lock"
    return not _is_free(lock, fcntl.LOCK_EX) and _is_free(lock, fcntl.LOCK_SH)


def serve(data_dir: Path, idle_seconds: float) -> int:
    """Serve the folder until nobody has used the server for ``idle_seconds``; return the exit status."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "server.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return _ALREADY_SERVED
        is_asked, was_full = threading.Event(), threading.Event()
        signal.signal(signal.SIGHUP, lambda *_: is_asked.set())
        partial = data_dir / "address.partial"
        with socket.socket() as listener, partial.open("w") as address:
            fcntl.flock(address, fcntl.LOCK_EX)
            listener.bind(("127.0.0.1", 0))
            host, port = listener.getsockname()
            server = Server(f"http://{host}:{port}", os.getpid(), emulator.running_code(), idle_seconds)
            json.dump(asdict(server), address)
            address.flush()
            uvicorn_server = _bigquery(data_dir, port, was_full)
            threading.Thread(
                target=_exit_when_over, args=(data_dir, idle_seconds, is_asked, was_full, lock, address), daemon=True
            ).start()
            threading.Thread(target=_publish, args=(uvicorn_server, partial), daemon=True).start()
            uvicorn_server.run(sockets=[listener])
    return 0


def _bigquery(data_dir: Path, port: int, was_full: threading.Event):  # type: ignore[no-untyped-def]
    """The server itself, not yet listening."""
    # Hidden, because DuckDB would import it to check whether a value is a data frame.
    sys.modules["pandas"] = None  # type: ignore[assignment]
    import uvicorn
    from local_bigquery import app
    from local_bigquery.settings import settings

    emulator.open_emulator(data_dir / "bigquery")
    app.add_route(arrow.PATH, arrow.answer, methods=["POST"])
    settings.bigquery_port = port
    refusing = _refusing_on_a_full_disk(app, data_dir, was_full)
    return uvicorn.Server(uvicorn.Config(refusing, log_level="warning", timeout_graceful_shutdown=1))


def _refusing_on_a_full_disk(app, data_dir: Path, was_full: threading.Event):  # type: ignore[no-untyped-def]
    """The application, but each request is refused while the disk is full.

    A job that fails for lack of room cannot be saved as failed, so its client would wait for it until its own timeout.
    It looks as if it still ran until the next server starts: hence the end of this one, when there is room again.
    """
    from starlette.responses import JSONResponse

    async def wrapped(scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        if scope["type"] == "http" and shutil.disk_usage(data_dir).free < _LEAST_BYTES_FREE:
            was_full.set()
            told = f"the disk is full at {data_dir}; make room, or name another WAREHOUSE_DIR, then run this again"
            # BigQuery's clients do not try again after this reason.
            error = {"code": 403, "message": told, "errors": [{"reason": "quotaExceeded", "message": told}]}
            await JSONResponse({"error": error}, 403)(scope, receive, send)
        else:
            await app(scope, receive, send)

    return wrapped


def _publish(server, partial: Path) -> None:  # type: ignore[no-untyped-def]
    while not server.started:
        time.sleep(0.01)
    partial.replace(partial.with_suffix(""))


def _exit_when_over(
    data_dir: Path,
    idle_seconds: float,
    is_asked: threading.Event,
    was_full: threading.Event,
    lock: IO[str],
    address: IO[str],
) -> None:
    terminal = select.poll()
    terminal.register(sys.stdin.fileno(), 0)
    last_used = time.monotonic()
    with (data_dir / "users.lock").open("a") as users:
        while _is_there(data_dir / "server.lock", lock):
            if was_full.is_set() and shutil.disk_usage(data_dir).free >= _ENOUGH_BYTES_FREE:
                break
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                last_used = time.monotonic()
            else:
                is_closed = any(event & select.POLLHUP for _, event in terminal.poll(0))
                if is_asked.is_set() or is_closed or time.monotonic() - last_used >= idle_seconds:
                    # Release these first, so that a process waiting for the other lock never finds this server alive.
                    for file in (lock, address):
                        fcntl.flock(file, fcntl.LOCK_UN)
                    break
                fcntl.flock(users, fcntl.LOCK_UN)
            time.sleep(_LOOK_SECONDS)
        # Every write is in DuckDB's log before its request is answered, so there is nothing to flush.
        os._exit(0)


def _is_there(path: Path, file: IO[str]) -> bool:
    """Whether this path still points to the open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def main() -> int:
    """Serve; the command that starts the server calls this."""
    parser = argparse.ArgumentParser(description="Serve the embedded BigQuery until nobody has used it for a while.")
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("idle_seconds", type=float)
    options = parser.parse_args()
    return serve(options.data_dir, options.idle_seconds)


if __name__ == "__main__":
    sys.exit(main())
