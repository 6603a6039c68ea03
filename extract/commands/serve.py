"""``serve`` and ``docs``: serve over HTTP until Ctrl-C."""

import argparse
import errno
import os
import socket
from contextlib import ExitStack, suppress
from functools import partial

from extract.commands.options import Add, clock, tcp_port
from extract.commands.terminal import Step, say, screen
from extract.commands.writing import opened, starting
from extract.errors import OK, ConfigurationError
from extract.settings import Settings

# How long a server that is stopped waits for the requests that it is answering.
_ANSWER_SECONDS = 5


def add_commands(add: Add) -> None:
    """Add ``serve`` and ``docs`` to the command line."""
    served = add(
        "serve",
        serve_command,
        "serve the web page and the HTTP API, until Ctrl-C",
        "serve",
        "serve --host 0.0.0.0 --port 9000",
    )
    served.add_argument(
        "--host", default="127.0.0.1", help="the address to listen on (default: %(default)s; for Cloud Run: 0.0.0.0)"
    )
    served.add_argument(
        "--port",
        type=tcp_port,
        default=os.environ.get("PORT") or "8000",
        help="the port to listen on (default: the environment variable PORT, or 8000)",
    )
    documented = add(
        "docs",
        docs_command,
        "write dbt's documentation (the lineage graph, and all columns), and serve it until Ctrl-C",
        "docs",
        "docs --no-serve",
    )
    documented.add_argument(
        "--port", type=tcp_port, default="8080", help="the port to listen on (default: %(default)s; 0: any free port)"
    )
    documented.add_argument("--no-serve", action="store_true", help="only write it, and print the path of its page")


def serve_command(settings: Settings, options: argparse.Namespace) -> int:
    """Serve the page and the API."""
    # Uvicorn shuts down at SIGINT and SIGTERM, and then raises the signal again: hence the suppressed interrupt.
    with (
        listening(options.host, options.port) as listener,
        starting(settings),
        ExitStack() as leave,
        suppress(KeyboardInterrupt),
    ):
        with Step("starting the server"):
            import uvicorn

            from extract.api import application
            from extract.api.connections import BoundedConnection
            from extract.api.opened import OpenedWarehouse

            warehouse = leave.enter_context(OpenedWarehouse(settings))
        config = uvicorn.Config(
            application(settings, warehouse, clock),
            http=BoundedConnection,
            log_config=None,
            timeout_graceful_shutdown=_ANSWER_SECONDS,
        )
        host, port = listener.getsockname()[:2]
        host = f"[{host}]" if ":" in host else host
        screen.print(f"Listening on http://{host}:{port}; Ctrl-C stops it.", markup=False)
        uvicorn.Server(config).run([listener])
    return OK


def listening(host: str, port: int) -> socket.socket:
    """A listening socket for a server.

    Raises:
        ConfigurationError: another process has the port, we may not use it, or this machine has no such host.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family)
    except (OSError, UnicodeError) as error:
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            raise ConfigurationError(f"port {port} is in use; --port 0 takes a free one") from error
        if getattr(error, "errno", None) == errno.EACCES:
            raise ConfigurationError(f"this user may not use port {port}; --port 0 takes a free one") from error
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"--host {host} cannot be used: {reason}; 127.0.0.1 is this machine alone") from error


def docs_command(settings: Settings, options: argparse.Namespace) -> int:
    """Write dbt's documentation, and serve it."""
    with ExitStack() as leave:
        listener = None if options.no_serve else leave.enter_context(listening("127.0.0.1", options.port))
        with starting(settings), opened(settings) as warehouse, Step("writing the documentation"):
            from extract.warehouse.dbt_runner import preload_dbt
            from extract.warehouse.documentation import document

            preload_dbt()
            page = document(settings, warehouse)
        if listener is None:
            say(str(page))
            return OK
        from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

        server = ThreadingHTTPServer(
            ("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=page.parent), bind_and_activate=False
        )
        server.socket.close()
        server.socket = listener
        port = listener.getsockname()[1]
        with server, suppress(KeyboardInterrupt):
            screen.print(f"Listening on http://127.0.0.1:{port}; Ctrl-C stops it.", markup=False)
            server.serve_forever()
    return OK
