"""A double of Cloud Storage: a server on loopback with the part of the XML API that the archive uses.

It is stricter than a folder. A create-only write onto an existing object is answered 412, as by the real service; a
write that could replace an object is refused, and so is a delete, as under a retention policy.
"""

import html
import json
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from infra.doubles.loopback import Loopback


class Bucket(Loopback):
    """The bucket ``prices``: its objects by name, and the requests. It can refuse everything, or not exist."""

    def __init__(self) -> None:
        """Begin with an empty bucket."""
        super().__init__(_Handler)
        self.objects: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.refuses_all = False
        self.is_missing = False


class _Handler(BaseHTTPRequestHandler):
    server: Bucket
    protocol_version = "HTTP/1.1"
    # Headers and body are two writes: otherwise the second would wait 40 ms until the client acknowledges the first.
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def _object(self) -> str:
        bucket, _, name = unquote(urlsplit(self.path).path).lstrip("/").partition("/")
        assert bucket == "prices"
        self.server.requests.append((self.command, name))
        return name

    def do_PUT(self) -> None:
        name = self._object()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.is_missing:
            self._answer(404, b"<Error><Code>NoSuchBucket</Code></Error>")
        elif self.server.refuses_all:
            self._answer(403, b"<Error><Code>AccessDenied</Code></Error>")
        elif self.headers.get("x-goog-if-generation-match") != "0":
            self._answer(400, b"<Error><Code>MissingPrecondition</Code></Error>")
        # Checks and writes atomically, so that one of two simultaneous writes is refused.
        elif self.server.objects.setdefault(name, body) is not body:
            self._answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
        else:
            self._answer(200, ETag='"1"', x_goog_generation="1")

    def do_DELETE(self) -> None:
        self._object()
        self._answer(403, b"<Error><Code>RetentionPolicyNotMet</Code></Error>")

    def do_GET(self) -> None:
        name = self._object()
        if self.server.is_missing:
            self._answer(404, b"<Error><Code>NoSuchBucket</Code></Error>")
        elif self.server.refuses_all:
            self._answer(403, b"<Error><Code>AccessDenied</Code></Error>")
        elif not name:
            asked = parse_qs(urlsplit(self.path).query)
            prefix, delimiter = (asked.get(key, [""])[0] for key in ("prefix", "delimiter"))
            keys = [key for key in sorted(self.server.objects) if key.startswith(prefix)]
            folders = {
                prefix + key[len(prefix) :].partition(delimiter)[0] + delimiter
                for key in keys
                if delimiter and delimiter in key[len(prefix) :]
            }
            common = "".join(
                f"<CommonPrefixes><Prefix>{html.escape(folder)}</Prefix></CommonPrefixes>" for folder in sorted(folders)
            )
            contents = "".join(
                f"<Contents><Key>{html.escape(key)}</Key><Size>{len(body)}</Size><ETag>1</ETag>"
                "<LastModified>2024-01-03T12:00:00.000Z</LastModified></Contents>"
                for key, body in ((key, self.server.objects[key]) for key in keys)
                if not delimiter or delimiter not in key[len(prefix) :]
            )
            self._answer(200, f"<ListBucketResult>{contents}{common}</ListBucketResult>".encode())
        elif name in self.server.objects:
            modified = "Wed, 03 Jan 2024 12:00:00 GMT"
            self._answer(200, self.server.objects[name], ETag='"1"', Last_Modified=modified, x_goog_generation="1")
        else:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")


def key_file(address: str, path: Path) -> str:
    """Write a key file that names the server and tells the client to use no token; return its path."""
    path.write_text(
        json.dumps(
            {
                "gcs_base_url": address,
                "disable_oauth": True,
                "client_email": "",
                "private_key": "",
                "private_key_id": "",
            }
        )
    )
    return str(path)
