"""Who may call the API, and how other callers are refused."""

import secrets
from typing import Annotated

from fastapi import Depends, Request
from fastapi.datastructures import Headers
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from extract.api.problems import Refusal, problem, refusals
from extract.settings import Settings

# A list of all symbols has three thousand bytes.
_LARGEST_BODY = 65_536

# A larger body up to this one is read and dropped after the answer.
_LARGEST_DROPPED_BODY = 1_048_576

# The errors that any route of data may answer.
REFUSALS = refusals(401, 403, 503)

HOW_TO_OPEN = (
    "API_TOKEN is not set where this server runs, so it answers only about its own health. Set it, and start the"
    " server again: API_TOKEN=... trading-data serve"
)

_bearer = HTTPBearer(auto_error=False, description="What API_TOKEN is set to where the server runs.")


class Access:
    """A dependency that lets a caller through, or answers 401 or 403."""

    def __init__(self, settings: Settings) -> None:
        """Keep the settings that say how a caller is checked."""
        self._settings = settings

    @property
    def is_possible(self) -> bool:
        """Whether any caller can be let through."""
        return self._settings.api_authentication == "cloud_run" or self._settings.api_token is not None

    # Async, and so not in a thread of the pool: those may all be waiting for the warehouse.
    async def __call__(self, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> None:
        """Let the caller through.

        Raises:
            Refusal: the server has no token, or the caller sent none or a wrong one.
        """
        if self._settings.api_authentication == "cloud_run":
            # Cloud Run's IAM has checked every request before it reaches this process.
            return
        token = self._settings.api_token
        if token is None:
            raise Refusal(403, "token-not-set", HOW_TO_OPEN)
        if given is None:
            told = "Send the header Authorization: Bearer, followed by what API_TOKEN is set to where the server runs."
            raise Refusal(401, "no-token", told, {"WWW-Authenticate": 'Bearer realm="trading-data"'})
        if not secrets.compare_digest(given.credentials.encode(), token.encode()):
            told = "The token is not the one that API_TOKEN is set to where the server runs."
            # In the form of RFC 6750.
            challenge = f'Bearer realm="trading-data", error="invalid_token", error_description="{told}"'
            raise Refusal(401, "wrong-token", told, {"WWW-Authenticate": challenge})


async def refuse_other_sites(request: Request) -> None:
    """Refuse requests that a page of another site sends from the browser of a person who has access through a proxy.

    Browsers say where a request comes from; see w3c.github.io/webappsec-fetch-metadata.

    Raises:
        Refusal: it comes from a page of another site.
    """
    if request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site"):
        raise Refusal(403, "other-site", "A page of another site may not start a run.")


class BoundedBodies:
    """Middleware that refuses a body that is too large for any route, before reading it or checking the caller."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap the application."""
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
        # Without this header, the server would read the whole body to find the next request after it.
        answer = problem(status, detail, headers={"Connection": "close"})

        async def send_but_the_end(message: Message) -> None:
            is_body = message["type"] == "http.response.body"
            await send({**message, "more_body": True} if is_body else message)

        await answer(scope, receive, send_but_the_end)
        # The end closes the connection, and the sender of a body that has not been read may then lose the answer.
        if length and length.isdecimal() and int(length) <= _LARGEST_DROPPED_BODY:
            while (await receive()).get("more_body"):
                pass
        await send({"type": "http.response.body"})
