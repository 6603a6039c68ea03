"""``serve`` and ``docs``: answer over HTTP until Ctrl-C."""

import argparse
import socket
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING

from extract.commands.options import clock
from extract.commands.terminal import say, screen
from extract.commands.writing import starting
from extract.errors import OK, ConfigurationError
from extract.settings import Settings

if TYPE_CHECKING:
    pass

# What a server that is asked to stop still waits for those whom it is answering.
_ANSWER_SECONDS = 5


def serve_command(settings: Settings, options: argparse.Namespace) -> int:
    """Serve the page and the API."""
    # The server ends well at either signal, and then passes it on.
    with starting(settings), ExitStack() as leave, suppress(KeyboardInterrupt):
        import uvicorn

        from extract.api import application
        from extract.api.opened import OpenedWarehouse

        warehouse = leave.enter_context(OpenedWarehouse(settings))
        listener = leave.enter_context(listening(options.host, options.port))
        config = uvicorn.Config(
            application(settings, warehouse, clock), log_config=None, timeout_graceful_shutdown=_ANSWER_SECONDS
        )
        host, port = listener.getsockname()[:2]
        host = f"[{host}]" if ":" in host else host
        screen.print(f"Listening on http://{host}:{port}; Ctrl-C stops it.", markup=False)
        uvicorn.Server(config).run([listener])
    return OK


def listening(host: str, port: int) -> socket.socket:
    """A socket that a server can take.

    Raises:
        ConfigurationError: another process has the port, it is not ours to use, or there is no such host here.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"{host}, --port {port}, cannot be used: {reason}; give another one") from error


def docs_command(settings: Settings, options: argparse.Namespace) -> int:
    """Write dbt's documentation, and serve it."""
    with starting(settings):
        from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

        from extract.warehouse.build import document, preload_dbt
        from extract.warehouse.connection import open_warehouse

        preload_dbt()
        with open_warehouse(settings) as warehouse:
            page = document(settings, warehouse)
    if options.no_serve:
        say(str(page))
        return OK
    handler = partial(SimpleHTTPRequestHandler, directory=page.parent)
    try:
        server = ThreadingHTTPServer(("127.0.0.1", options.port), handler)
    except OSError as error:
        raise ConfigurationError(f"--port {options.port} cannot be used: {error.strerror}; give another one") from error
    with server, suppress(KeyboardInterrupt):
        screen.print(f"Listening on http://127.0.0.1:{server.server_port}; Ctrl-C stops it.", markup=False)
        server.serve_forever()
    return OK
