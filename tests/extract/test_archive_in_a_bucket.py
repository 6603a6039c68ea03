"""The same code against ``gs://``: a server on loopback that speaks the part of Cloud Storage's XML API we use.

It is strict where a folder would be lenient: a create-only write onto an existing object is answered 412, as the real
service does, and a write that could replace an object is refused.
"""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest

from extract.archive import Archive
from extract.errors import PipelineError
from extract.raw import KITE_DAILY_BARS
from tests.conftest import write_bars
from tests.extract.test_archive import BAR, NOON, PATH


class Bucket(ThreadingHTTPServer):
    """The bucket ``prices``: objects by name, and what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.refuses_all = False


class _Handler(BaseHTTPRequestHandler):
    server: Bucket
    protocol_version = "HTTP/1.1"

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
        if self.server.refuses_all:
            self._answer(403, b"<Error><Code>AccessDenied</Code></Error>")
        elif self.headers.get("x-goog-if-generation-match") != "0":
            self._answer(400, b"<Error><Code>MissingPrecondition</Code></Error>")
        elif name in self.server.objects:
            self._answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
        else:
            self.server.objects[name] = body
            self._answer(200, ETag='"1"', x_goog_generation="1")

    def do_GET(self) -> None:
        name = self._object()
        if not name:
            prefix = parse_qs(urlsplit(self.path).query).get("prefix", [""])[0]
            contents = "".join(
                f"<Contents><Key>{escape(key)}</Key><Size>{len(body)}</Size><ETag>1</ETag>"
                "<LastModified>2024-01-03T12:00:00.000Z</LastModified></Contents>"
                for key, body in sorted(self.server.objects.items())
                if key.startswith(prefix)
            )
            self._answer(200, f"<ListBucketResult>{contents}</ListBucketResult>".encode())
        elif name in self.server.objects:
            modified = "Wed, 03 Jan 2024 12:00:00 GMT"
            self._answer(200, self.server.objects[name], ETag='"1"', Last_Modified=modified, x_goog_generation="1")
        else:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    with Bucket() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        # The client's own switch for another server: a key file that names it and needs no token.
        key = {
            "gcs_base_url": f"http://127.0.0.1:{server.server_port}",
            "disable_oauth": True,
            "client_email": "",
            "private_key": "",
            "private_key_id": "",
        }
        (tmp_path / "key.json").write_text(json.dumps(key))
        monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(tmp_path / "key.json"))
        yield server
        server.shutdown()
        thread.join()


def test_a_batch_goes_into_a_bucket_and_comes_back(bucket: Bucket) -> None:
    archive = Archive("gs://prices/daily")
    assert write_bars(archive, KITE_DAILY_BARS, "run-1", NOON, BAR) == PATH
    assert list(bucket.objects) == [f"daily/{PATH}"]
    # Another archive in the same bucket is none of ours.
    bucket.objects[f"other/{PATH}"] = b""
    assert archive.paths() == [PATH]
    assert archive.read(PATH).rows.num_rows == 1


@pytest.mark.usefixtures("bucket")
def test_writing_again_sends_no_replacement() -> None:
    archive = Archive("gs://prices/daily")
    write_bars(archive, KITE_DAILY_BARS, "run-1", NOON, BAR)
    write_bars(archive, KITE_DAILY_BARS, "run-1", NOON, BAR)
    with pytest.raises(PipelineError, match="already holds another batch"):
        write_bars(archive, KITE_DAILY_BARS, "run-1", NOON, BAR | {"close": 101.0})
    assert archive.read(PATH).rows["close"].to_pylist() == [100.0]


def test_a_refusal_is_told_with_the_bucket(bucket: Bucket) -> None:
    bucket.refuses_all = True
    with pytest.raises(PipelineError, match="the archive gs://prices/daily cannot be written"):
        write_bars(Archive("gs://prices/daily"), KITE_DAILY_BARS, "run-1", datetime(2024, 1, 3, tzinfo=UTC), BAR)
