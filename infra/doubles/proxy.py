"""A server between a client and its server: it passes requests and answers on, changes them, or drops them."""

import http.client
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from infra.doubles.loopback import Loopback

_HOP_BY_HOP = {"connection", "content-length", "date", "keep-alive", "server", "transfer-encoding"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request."""

    method: str
    path: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer; the body is not decoded."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


# Given a request and a function that passes it on, returns the answer, or None to close the connection.
type Between = Callable[[Asked, Callable[[], Answered]], Answered | None]


class Proxy(Loopback):
    """Passes requests on to a server, as ``between`` decides."""

    def __init__(self, upstream: str, between: Between) -> None:
        """Pass requests on to ``upstream`` (``http://host:port``)."""
        super().__init__(_Handler)
        self.upstream = urlsplit(upstream).netloc
        self.upstream_url = upstream
        self.between = between


class _Handler(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = Asked(self.command, self.path, body)
        answer = self.server.between(asked, lambda: self._pass_on(asked))
        if answer is None:
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _pass_on(self, asked: Asked) -> Answered:
        connection = http.client.HTTPConnection(self.server.upstream, timeout=60)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
            connection.request(asked.method, asked.path, body=asked.body, headers=headers)
            response = connection.getresponse()
            answered = [
                # An upload continues at an address that the server returns; replace it, so that it passes through here.
                (name, value.replace(self.server.upstream_url, self.server.address))
                for name, value in response.getheaders()
                if name.lower() not in _HOP_BY_HOP
            ]
            return Answered(response.status, answered, response.read())
        finally:
            connection.close()

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = _serve  # noqa: N815 http.server's names.
