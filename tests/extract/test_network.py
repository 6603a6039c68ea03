"""A server that cannot be reached is one sentence, whichever client finds that out. The clients are the real ones."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import curl_cffi.requests
import httpx
import pytest
import requests
from curl_cffi.requests.exceptions import RequestException as CurlError

from extract.errors import PipelineError
from extract.network import unreached
from extract.settings import Settings
from extract.warehouse.connection import open_warehouse
from infra.doubles.loopback import serving
from infra.doubles.proxy import Answered, Asked, Proxy
from tests.conftest import Pipeline

_CLIENTS: dict[str, Callable[[str], object]] = {
    "requests": lambda url: requests.get(url, timeout=1),
    "httpx": lambda url: httpx.get(url, timeout=1),
    "curl": lambda url: curl_cffi.requests.Session().get(url, timeout=1),
}
_NOISE = ("Pool", "Errno", "Caused by", "curl", "Max retries", "secret", "_ssl.c")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def _said(client: str, url: str) -> str:
    with pytest.raises((requests.RequestException, httpx.HTTPError, CurlError)) as raised:
        _CLIENTS[client](url)
    sentence = unreached(raised.value, url)
    assert not [noise for noise in _NOISE if noise in sentence], sentence
    return sentence


def _answer_with(listening: socket.socket, answer: Callable[[socket.socket], object]) -> str:
    def work() -> None:
        # It ends with the listener.
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(2)
                answer(connection)

    threading.Thread(target=work, daemon=True).start()
    return f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize("client", _CLIENTS)
def test_no_such_host(client: str) -> None:
    assert _said(client, "https://nobody.invalid/x") == "nobody.invalid could not be found; is there a network?"


@pytest.mark.parametrize("client", _CLIENTS)
def test_nobody_listens(client: str, listener: socket.socket) -> None:
    host, port = listener.getsockname()
    listener.close()
    assert _said(client, f"http://{host}:{port}/x").startswith(f"{host}:{port} refuses the connection")


@pytest.mark.parametrize("client", _CLIENTS)
def test_no_answer(client: str, listener: socket.socket) -> None:
    address = _answer_with(listener, lambda connection: connection.recv(65536) and threading.Event().wait(1.5))
    assert _said(client, f"http://{address}/x") == f"{address} did not answer in time"


@pytest.mark.parametrize("client", _CLIENTS)
def test_half_an_answer(client: str, listener: socket.socket) -> None:
    address = _answer_with(listener, lambda connection: connection.recv(65536))
    assert _said(client, f"http://{address}/x") == f"{address} closed the connection without a whole answer"


@pytest.mark.parametrize("client", _CLIENTS)
def test_a_certificate_that_nobody_vouches_for(client: str, listener: socket.socket, certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def answer(connection: socket.socket) -> None:
        with suppress(OSError), context.wrap_socket(connection, server_side=True) as wrapped:
            wrapped.recv(1)

    address = _answer_with(listener, answer)
    assert _said(client, f"https://{address}/x").startswith(f"{address} could not prove who it is (")


@pytest.mark.parametrize("client", _CLIENTS)
@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        ("http://user:simulated@127.0.0.1:1", "the proxy 127.0.0.1:1, which the environment names, refuses"),
        ("http://nobody.invalid:9", "the proxy nobody.invalid:9, which the environment names, could not be found"),
    ],
)
def test_a_proxy_that_is_not_there(monkeypatch: pytest.MonkeyPatch, client: str, proxy: str, words: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    monkeypatch.setenv("https_proxy", proxy)
    assert _said(client, "https://api.kite.trade/x").startswith(words)


@pytest.mark.parametrize("client", _CLIENTS)
def test_a_proxy_that_wants_a_password(monkeypatch: pytest.MonkeyPatch, listener: socket.socket, client: str) -> None:
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    address = _answer_with(listener, lambda c: c.recv(65536) and c.send(refusal))
    monkeypatch.setenv("HTTPS_PROXY", f"http://{address}")
    monkeypatch.setenv("https_proxy", f"http://{address}")
    said = _said(client, "https://api.kite.trade/x")
    assert said.startswith(f"the proxy {address}, which the environment names, lets no request through (407")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost that it has signed itself, with its key."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "own.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    return path


def test_a_warehouse_that_is_lost_while_rows_are_read(pipeline: Pipeline) -> None:
    is_lost = threading.Event()

    def between(_: Asked, pass_on: Callable[[], Answered]) -> Answered | None:
        return None if is_lost.is_set() else pass_on()

    with pipeline.warehouse() as warehouse:
        assert warehouse.address is not None
        with serving(Proxy(warehouse.address, between)) as before_it:
            behind = pipeline.environment | {"BIGQUERY_EMULATOR_HOST": before_it.address}
            with open_warehouse(Settings.from_environment(behind)) as lost:
                rows = lost.hurried(2).query("select x from unnest(generate_array(1, 10)) as x")
                is_lost.set()
                with pytest.raises(PipelineError, match="reading the rows failed: ") as told:
                    list(rows)
    assert not [noise for noise in _NOISE if noise in str(told.value)]
