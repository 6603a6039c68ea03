"""Kite's daily session: a person logs in, and the resulting token is stored where the next run finds it.

The exchange requires that a person logs in once a day, and Kite asks not to automate it. This code does not.
https://kite.trade/docs/connect/v3/user
"""

import base64
import contextlib
import json
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
import structlog

from extract.errors import ConfigurationError, PipelineError, SourceRefused
from extract.network import unreached
from extract.seeds import EXCHANGE_ZONE
from extract.settings import KITE_IS_NOT_CONFIGURED, KiteSettings

_log = structlog.get_logger()

# Kite's documentation says that a token "will expire at 6 AM on the next day"; the answer has no field for it.
_EXPIRES_AT = time(6, tzinfo=EXCHANGE_ZONE)

_SECRET = re.compile(r"projects/[^/]+/secrets/[A-Za-z0-9_-]+")
_MANAGER_URL = "https://secretmanager.googleapis.com"
_TIMEOUT_SECONDS = 10.0

LOGIN = "run `trading-data kite-login`"


@dataclass(frozen=True, slots=True)
class KiteSession:
    """A live session: its access token, and when it ends."""

    access_token: str
    expires_at: datetime


def access_token(settings: KiteSettings, now: datetime) -> str:
    """Today's access token: the one in the settings, or the one that ``kite-login`` put into the token store.

    Raises:
        SourceRefused: there is no token that is still valid; the text says what to do.
        ConfigurationError: the token store cannot be used.
    """
    if not settings.is_configured:
        raise SourceRefused(KITE_IS_NOT_CONFIGURED, stops_source=True)
    if settings.access_token:
        return settings.access_token
    stored = _read(settings)
    if stored is None:
        raise SourceRefused(f"Kite has no session yet: {LOGIN}", stops_source=True)
    try:
        session = json.loads(stored)
        expires_at = datetime.fromisoformat(session["expires_at"])
        token = str(session["access_token"])
        is_over = expires_at <= now
    except (ValueError, KeyError, TypeError) as error:
        raise SourceRefused(f"{settings.token_store} holds no Kite session: {LOGIN}", stops_source=True) from error
    if is_over:
        ended = expires_at.astimezone(EXCHANGE_ZONE)
        raise SourceRefused(f"Kite's session ended at {ended:%Y-%m-%d %H:%M} IST: {LOGIN}", stops_source=True)
    return token


def login_url(settings: KiteSettings) -> str:
    """The page on which a person logs in. Kite then redirects the browser to the app's address, with a request token.

    Raises:
        ConfigurationError: there is no key or no secret.
    """
    if not settings.api_key or not settings.api_secret:
        raise ConfigurationError(
            "KITE_API_KEY and KITE_API_SECRET are needed to log in; they are on the app's page at developers.kite.trade"
        )
    return str(_client(settings).login_url())


def log_in(settings: KiteSettings, answer: str, now: datetime) -> KiteSession:
    """Exchange the request token that the person copied from the browser for a session, and store the session.

    Args:
        settings: with key and secret.
        answer: the request token, or the whole address that Kite redirected to.
        now: a time with zone.

    Raises:
        ConfigurationError: the answer has no request token, or the token store cannot be used.
        PipelineError: Kite refuses the exchange, or cannot be reached.
    """
    import kiteconnect.exceptions

    login_url(settings)
    request_token = _request_token(answer)
    client = _client(settings)
    try:
        answered = client.generate_session(request_token, settings.api_secret)
        session = KiteSession(answered["access_token"], _next_expiry(now))
    except (kiteconnect.exceptions.TokenException, kiteconnect.exceptions.InputException) as error:
        raise PipelineError(
            f"Kite refuses the login: {error} A request token is valid for a few minutes and one login: log in again"
        ) from None
    except requests.RequestException as error:
        raise PipelineError(f"Kite could not be reached: {unreached(error, client.root)}") from None
    except (
        kiteconnect.exceptions.KiteException,
        KeyError,
        TypeError,
        ValueError,
    ) as error:
        raise PipelineError(f"Kite could not complete the login: {type(error).__name__}; try again") from None
    _write(
        settings,
        json.dumps({"access_token": session.access_token, "expires_at": session.expires_at.isoformat()}),
    )
    return session


def _client(settings: KiteSettings) -> Any:
    # Imported here, because it takes half a second that a command without Kite need not spend.
    from kiteconnect import KiteConnect

    return KiteConnect(settings.api_key, root=settings.base_url)


def _request_token(answer: str) -> str:
    text = answer.strip()
    if "request_token=" in text:
        query = parse_qs(urlsplit(text).query or text)
        if query.get("status", ["success"]) != ["success"]:
            raise ConfigurationError("Kite says that the login did not succeed; log in again")
        text = query.get("request_token", [""])[0]
    if not re.fullmatch(r"[A-Za-z0-9]+", text):
        raise ConfigurationError(
            "that holds no request token; paste the whole address that Kite redirected to, or what follows"
            " request_token= in it"
        )
    return text


def _next_expiry(now: datetime) -> datetime:
    local = now.astimezone(EXCHANGE_ZONE)
    expiry = datetime.combine(local.date(), _EXPIRES_AT)
    return expiry if local < expiry else expiry + timedelta(days=1)


def _read(settings: KiteSettings) -> str | None:
    if _SECRET.fullmatch(settings.token_store):
        with _secret_manager(settings) as (session, base):
            response = session.get(f"{base}/v1/{settings.token_store}/versions/latest:access", timeout=_TIMEOUT_SECONDS)
            if response.status_code == requests.codes.not_found:
                return None
            response.raise_for_status()
            try:
                return base64.b64decode(response.json()["payload"]["data"]).decode()
            except (ValueError, KeyError, TypeError) as error:
                raise ConfigurationError(f"the latest version of {settings.token_store} cannot be read") from error
    path = _file(settings)
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise ConfigurationError(f"{path} can be read by others than its owner; run `chmod 600 {path}`")
        # Bytes that are not text are replaced: such a file is not a session, and is refused later.
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"KITE_TOKEN_STORE is {path}, which cannot be read: {error.strerror}") from error


def _file(settings: KiteSettings) -> Path:
    try:
        return Path(settings.token_store).expanduser()
    except RuntimeError as error:
        raise ConfigurationError(
            f"KITE_TOKEN_STORE is {settings.token_store}, and this user has no home; write the whole path, from / on"
        ) from error


def _write(settings: KiteSettings, text: str) -> None:
    if _SECRET.fullmatch(settings.token_store):
        with _secret_manager(settings) as (session, base):
            data = base64.b64encode(text.encode()).decode()
            response = session.post(
                f"{base}/v1/{settings.token_store}:addVersion",
                json={"payload": {"data": data}},
                timeout=_TIMEOUT_SECONDS,
            )
            response.raise_for_status()
            _destroy_older(session, f"{base}/v1", settings.token_store, response.json())
        return
    path = _file(settings)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # mkstemp creates a file that only its owner can read, from its first byte on.
        handle, partial = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        with os.fdopen(handle, "w") as file:
            file.write(text)
        Path(partial).replace(path)
    except OSError as error:
        raise ConfigurationError(f"KITE_TOKEN_STORE is {path}, which cannot be written: {error.strerror}") from error


def _destroy_older(session: requests.Session, base: str, secret: str, added: dict[str, Any]) -> None:
    """Destroy the versions before the one that was added: none is of use any more, and each is billed while it exists.

    A failure is logged. The session is stored by then, and the next login tries again.
    """
    try:
        newest = _number(added)
        numbers: list[int] = []
        page: str | None = ""
        while page is not None:
            asked = {"filter": "state:ENABLED", "pageSize": "500", "pageToken": page}
            response = session.get(f"{base}/{secret}/versions", params=asked, timeout=_TIMEOUT_SECONDS)
            response.raise_for_status()
            listed = response.json()
            numbers += [_number(version) for version in listed.get("versions", ())]
            page = listed.get("nextPageToken") or None
        # A later one is of somebody who has logged in since.
        for number in (number for number in numbers if number < newest):
            url = f"{base}/{secret}/versions/{number}:destroy"
            session.post(url, json={}, timeout=_TIMEOUT_SECONDS).raise_for_status()
    except (requests.RequestException, ValueError, KeyError, TypeError, AttributeError) as error:
        _log.warning("older versions not destroyed", secret=secret, reason=str(error))


def _number(version: dict[str, Any]) -> int:
    return int(str(version["name"]).rpartition("/")[2])


@contextlib.contextmanager
def _secret_manager(settings: KiteSettings) -> Iterator[tuple[requests.Session, str]]:
    """A session for the REST API of Secret Manager, and its address."""
    import google.auth
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import AuthorizedSession

    try:
        if settings.secret_manager_host:
            with requests.Session() as session:
                yield session, settings.secret_manager_host
        else:
            credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
            with AuthorizedSession(credentials) as session:  # type: ignore[no-untyped-call]
                yield session, _MANAGER_URL
    except (requests.RequestException, GoogleAuthError) as error:
        is_answered = getattr(error, "response", None) is not None
        reason = str(error) if is_answered else unreached(error, settings.secret_manager_host or _MANAGER_URL)
        raise ConfigurationError(
            f"KITE_TOKEN_STORE is {settings.token_store}, and Secret Manager does not serve it: {reason}"
        ) from error
