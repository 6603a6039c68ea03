"""An HTTP server in a thread of this process, on a free port of 127.0.0.1: the base of the doubles of services."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Loopback(ThreadingHTTPServer):
    """A listening server with one handler."""

    daemon_threads = True

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        """Listen on a free port."""
        super().__init__(("127.0.0.1", 0), handler)

    @property
    def address(self) -> str:
        """Its address: ``http://127.0.0.1:PORT``."""
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def serving[Server: Loopback](server: Server) -> Iterator[Server]:
    """Run a server until the block ends."""
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
