"""Kite's daily session: a person's login, and where the token is kept."""

import base64
import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from extract.errors import ConfigurationError, PipelineError, SourceRefused
from extract.seeds import EXCHANGE_ZONE
from extract.settings import KiteSettings, Settings
from extract.sources.kite_session import KiteSession, access_token, log_in, login_url
from infra.doubles import loopback
from infra.doubles.loopback import Loopback
from infra.local.market import draft_market
from infra.local.providers import Providers, environment, serving

EVENING = datetime(2024, 12, 31, 18, 30, tzinfo=EXCHANGE_ZONE)


@pytest.fixture(scope="module")
def kite() -> Iterator[tuple[Providers, str]]:
    providers = Providers(draft_market(first=date(2024, 12, 2), last=date(2024, 12, 31), symbols=["TCS"]))
    with serving(providers) as address:
        yield providers, address


@pytest.fixture
def settings(kite: tuple[Providers, str], tmp_path: Path) -> KiteSettings:
    """Settings for a login that will succeed once, with a store that is still empty."""
    kite[0].request_tokens = {"onetime"}
    store = {"KITE_TOKEN_STORE": str(tmp_path / "config" / "session.json")}
    return Settings.from_environment(environment(kite[1]) | store).kite


@pytest.mark.parametrize(
    "answer",
    ["onetime", " onetime\n", "https://127.0.0.1/?action=login&status=success&request_token=onetime"],
)
def test_what_the_person_brings_back_opens_the_session_until_six(
    kite: tuple[Providers, str], settings: KiteSettings, answer: str
) -> None:
    session = log_in(settings, answer, EVENING)
    assert session.expires_at == datetime(2025, 1, 1, 6, 0, tzinfo=EXCHANGE_ZONE)
    assert {session.access_token} == kite[0].tokens
    assert access_token(settings, EVENING) == session.access_token
    assert Path(settings.token_store).stat().st_mode & 0o777 == 0o600
    assert list(Path(settings.token_store).parent.iterdir()) == [Path(settings.token_store)]


def test_a_login_before_six_holds_until_six_of_the_same_day(settings: KiteSettings) -> None:
    early = datetime(2025, 1, 1, 5, 30, tzinfo=EXCHANGE_ZONE)
    assert log_in(settings, "onetime", early).expires_at == datetime(2025, 1, 1, 6, 0, tzinfo=EXCHANGE_ZONE)


def test_a_request_token_holds_once(settings: KiteSettings) -> None:
    log_in(settings, "onetime", EVENING)
    before = Path(settings.token_store).read_text()
    with pytest.raises(PipelineError, match="log in again"):
        log_in(settings, "onetime", EVENING)
    assert Path(settings.token_store).read_text() == before


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("", "holds no request token"),
        ("https://127.0.0.1/?status=success", "holds no request token"),
        ("https://127.0.0.1/?status=error&request_token=onetime", "did not succeed"),
    ],
)
def test_an_answer_without_a_token_is_refused_before_kite_is_asked(
    settings: KiteSettings, answer: str, words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        log_in(settings, answer, EVENING)


def test_an_ended_session_names_the_command(settings: KiteSettings) -> None:
    log_in(settings, "onetime", EVENING)
    with pytest.raises(SourceRefused, match="ended at 2025-01-01 06:00 IST: run `trading-data kite-login`") as caught:
        access_token(settings, datetime(2025, 1, 1, 6, 0, tzinfo=EXCHANGE_ZONE))
    assert caught.value.stops_source


@pytest.mark.parametrize("text", ["", "token", '{"access_token": "x"}', "[]"])
def test_a_store_that_holds_something_else_is_no_session(settings: KiteSettings, text: str) -> None:
    store = Path(settings.token_store)
    store.parent.mkdir()
    store.write_text(text)
    store.chmod(0o600)
    with pytest.raises(SourceRefused, match="holds no Kite session"):
        access_token(settings, EVENING)


def test_a_store_that_others_can_read_is_refused(settings: KiteSettings) -> None:
    log_in(settings, "onetime", EVENING)
    Path(settings.token_store).chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        access_token(settings, EVENING)


def test_the_token_in_the_environment_comes_first() -> None:
    given = {"KITE_API_KEY": "key", "KITE_ACCESS_TOKEN": "given"}
    assert access_token(Settings.from_environment(given).kite, EVENING) == "given"
    assert "given" not in repr(Settings.from_environment(given))


def test_without_a_key_kite_is_not_configured() -> None:
    with pytest.raises(SourceRefused, match="set KITE_API_KEY"):
        access_token(Settings.from_environment({}).kite, EVENING)


def test_the_login_page_is_kites_own(settings: KiteSettings) -> None:
    assert login_url(settings) == "https://kite.zerodha.com/connect/login?api_key=simulatedkey&v=3"


class _SecretManager(BaseHTTPRequestHandler):
    """One secret of Secret Manager, by its REST interface."""

    # None is a version that was destroyed.
    versions: list[str | None]
    refuses: bool
    refuses_to_destroy: bool

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path == "/v1/projects/p/secrets/s/versions":
            asked = parse_qs(query)
            assert asked["filter"] == ["state:ENABLED"]
            first = int(asked.get("pageToken", ["0"])[0])
            names = [f"projects/1/secrets/s/versions/{n}" for n, kept in enumerate(self.versions, 1) if kept]
            # Of two a page.
            page: dict[str, object] = {"versions": [{"name": name} for name in names[first : first + 2]]}
            if first + 2 < len(names):
                page["nextPageToken"] = str(first + 2)
            return self._answer(200, page)
        if self.path != "/v1/projects/p/secrets/s/versions/latest:access" or not self.versions:
            return self._answer(404, {"error": {"status": "NOT_FOUND"}})
        return self._answer(200, {"payload": {"data": self.versions[-1]}})

    def do_POST(self) -> None:
        if destroyed := re.fullmatch(r"/v1/projects/p/secrets/s/versions/(\d+):destroy", self.path):
            if not self.refuses_to_destroy:
                self.versions[int(destroyed[1]) - 1] = None
            return self._answer(403 if self.refuses_to_destroy else 200, {})
        assert self.path == "/v1/projects/p/secrets/s:addVersion"
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.versions.append(body["payload"]["data"])
        return self._answer(200, {"name": f"projects/1/secrets/s/versions/{len(self.versions)}"})

    def _answer(self, status: int, body: dict[str, object]) -> None:
        text = json.dumps(body).encode()
        self.send_response(403 if self.refuses else status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


@pytest.fixture
def secret_manager() -> Iterator[tuple[type[_SecretManager], str]]:
    handler = type("Handler", (_SecretManager,), {"versions": [], "refuses": False, "refuses_to_destroy": False})
    with loopback.serving(Loopback(handler)) as server:
        yield handler, server.address


def test_in_the_cloud_each_session_is_a_new_version_of_the_secret(
    kite: tuple[Providers, str], secret_manager: tuple[type[_SecretManager], str]
) -> None:
    manager, address = secret_manager
    kite[0].request_tokens = {"onetime"}
    cloud = {"KITE_TOKEN_STORE": "projects/p/secrets/s", "SECRET_MANAGER_EMULATOR_HOST": address}
    settings = Settings.from_environment(environment(kite[1]) | cloud).kite
    now = datetime.now(UTC)
    with pytest.raises(SourceRefused, match="no session yet"):
        access_token(settings, now)
    session = log_in(settings, "onetime", now)
    assert manager.versions[0]
    assert json.loads(base64.b64decode(manager.versions[0]))["access_token"] == session.access_token
    assert access_token(settings, now) == session.access_token
    manager.refuses = True
    with pytest.raises(ConfigurationError, match="Secret Manager does not serve it"):
        access_token(settings, now)


def test_a_year_of_logins_leaves_one_version_of_the_secret(
    kite: tuple[Providers, str], secret_manager: tuple[type[_SecretManager], str]
) -> None:
    manager, address = secret_manager
    cloud = {"KITE_TOKEN_STORE": "projects/p/secrets/s", "SECRET_MANAGER_EMULATOR_HOST": address}
    settings = Settings.from_environment(environment(kite[1]) | cloud).kite
    now = datetime.now(UTC)

    def log_in_on(day: int) -> KiteSession:
        kite[0].request_tokens = {f"onetime{day}"}
        return log_in(settings, f"onetime{day}", now)

    for day in range(250):
        session = log_in_on(day)
        assert sum(version is not None for version in manager.versions) == 1
        assert access_token(settings, now) == session.access_token
    # What could not be destroyed costs no session, and is destroyed with the next one.
    manager.refuses_to_destroy = True
    for day in range(250, 254):
        assert log_in_on(day).access_token == access_token(settings, now)
    assert sum(version is not None for version in manager.versions) == 5
    manager.refuses_to_destroy = False
    assert log_in_on(254).access_token == access_token(settings, now)
    assert sum(version is not None for version in manager.versions) == 1
