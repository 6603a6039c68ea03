"""Who may ask, and how those are answered whom nothing can be told."""

import secrets
from typing import Annotated

from fastapi import Depends, Request
from fastapi.datastructures import Headers
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.types import ASGIApp, Receive, Scope, Send

from extract.api.problems import Refusal, problem, refusals
from extract.settings import Settings

# A list of all symbols has three thousand.
_LARGEST_BODY = 65_536

# What any route of data may answer instead.
REFUSALS = refusals(401, 403, 503)

HOW_TO_OPEN = (
    "API_TOKEN is not set where this server runs, so only /health, /ready and /live are answered. Set it, and start the"
    " server again: API_TOKEN=... trading-data serve"
)

_bearer = HTTPBearer(auto_error=False, description="What API_TOKEN is set to where the server runs.")


class Access:
    """A dependency that lets a caller through, or answers 401 or 403."""

    def __init__(self, settings: Settings) -> None:
        """Take how a caller is known, and the token."""
        self._settings = settings

    @property
    def is_possible(self) -> bool:
        """Whether anybody can be let through."""
        return self._settings.api_authentication == "cloud_run" or self._settings.api_token is not None

    # Not in a thread: those may all be waiting for the warehouse.
    async def __call__(self, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> None:
        """Let the caller through.

        Raises:
            Refusal: the token is not set here, not sent, or not the right one.
        """
        if self._settings.api_authentication == "cloud_run":
            # Nothing reaches this process that IAM has not let through.
            return
        token = self._settings.api_token
        if token is None:
            raise Refusal(403, "token-not-set", HOW_TO_OPEN)
        if given is None:
            told = "Send the header Authorization: Bearer, followed by what API_TOKEN is set to where the server runs."
            raise Refusal(401, "no-token", told, {"WWW-Authenticate": 'Bearer realm="trading-data"'})
        if not secrets.compare_digest(given.credentials.encode(), token.encode()):
            told = "The token is not the one that API_TOKEN is set to where the server runs."
            # As RFC 6750 has it.
            challenge = f'Bearer realm="trading-data", error="invalid_token", error_description="{told}"'
            raise Refusal(401, "wrong-token", told, {"WWW-Authenticate": challenge})


async def refuse_other_sites(request: Request) -> None:
    """Let no page of another site act for whoever is looking at it, and whom a proxy has let through.

    Browsers tell where a request comes from; see w3c.github.io/webappsec-fetch-metadata.

    Raises:
        Refusal: it comes from a page of another site.
    """
    if request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site"):
        raise Refusal(403, "other-site", "A page of another site may not start a run.")


class BoundedBodies:
    """Refuse a body that is larger than any that is taken here, before a byte of it is read, whoever sends it."""

    def __init__(self, app: ASGIApp) -> None:
        """Stand before the application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        length = headers.get("Content-Length")
        refusal = None
        if length is None and "Transfer-Encoding" in headers:
            refusal = 411, "Send the header Content-Length with the body."
        elif length and (not length.isdecimal() or int(length) > _LARGEST_BODY):
            refusal = 413, f"A body has {_LARGEST_BODY} bytes at most."
        if refusal is None:
            await self._app(scope, receive, send)
            return
        status, detail = refusal
        # Else the server would go on reading, to find the next request behind the body.
        await problem(status, detail, headers={"Connection": "close"})(scope, receive, send)
