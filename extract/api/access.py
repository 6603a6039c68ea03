"""Who may ask, and how those are answered whom nothing can be told."""

import secrets
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request
from fastapi.datastructures import Headers
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

from extract.errors import ConfigurationError, PipelineError
from extract.settings import Settings

# What ASGI calls the parts of a request; the package that has these types is another's, not ours.
type Scope = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
type Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
type ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

# A list of all symbols has three thousand.
_LARGEST_BODY = 65_536


class Wrong(BaseModel):
    """Why there is no answer, and what to do."""

    detail: str


# What any route of data may answer instead.
REFUSALS: dict[int | str, dict[str, Any]] = {status: {"model": Wrong} for status in (401, 403, 503)}

_bearer = HTTPBearer(auto_error=False, description="API_TOKEN, where Cloud Run's IAM has not asked who it is")


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
            HTTPException: the token is not set here, or not sent.
        """
        if self._settings.api_authentication == "cloud_run":
            # Nothing reaches this process that IAM has not let through.
            return
        token = self._settings.api_token
        if token is None:
            raise HTTPException(403, "API_TOKEN is not set where this runs: only /health is answered")
        if given is None or not secrets.compare_digest(given.credentials.encode(), token.encode()):
            raise HTTPException(401, "send the header Authorization: Bearer API_TOKEN", {"WWW-Authenticate": "Bearer"})


async def refuse_other_sites(request: Request) -> None:
    """Let no page of another site act for whoever is looking at it, and whom a proxy has let through.

    Browsers tell where a request comes from; see w3c.github.io/webappsec-fetch-metadata.

    Raises:
        HTTPException: it comes from a page of another site.
    """
    if request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site"):
        raise HTTPException(403, "a page of another site may not start a run")


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
            refusal = 411, "send the length of the body with it"
        elif length and (not length.isdecimal() or int(length) > _LARGEST_BODY):
            refusal = 413, f"a body has {_LARGEST_BODY} bytes at most"
        if refusal is None:
            await self._app(scope, receive, send)
            return
        status, detail = refusal
        # Else the server would go on reading, to find the next request behind the body.
        await JSONResponse({"detail": detail}, status, {"Connection": "close"})(scope, receive, send)


@contextmanager
def unavailable() -> Iterator[None]:
    """Answer 503, with the reason, where what is asked fails."""
    try:
        yield
    except (ConfigurationError, PipelineError) as error:
        raise HTTPException(503, str(error)) from error
