"""Errors in the form of RFC 9457: each answer says what kind of problem it is, what is wrong, and what to do."""

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Annotated, Any

import structlog
from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from extract.errors import ConfigurationError, PipelineError

_log = structlog.get_logger()

_MEDIA_TYPE = "application/problem+json"

# The last part of a problem's type URI, and its title. /docs lists them.
KINDS = {
    "no-token": "The token is missing",
    "wrong-token": "The token is not the right one",
    "token-not-set": "This server has no token set",
    "other-site": "A page of another site may not do this",
    "unknown-symbol": "There is no such symbol",
    "renamed-symbol": "The symbol has changed",
    "unknown-run": "There is no such run",
    "run-under-way": "A run is under way",
    "start-unknown": "It is not known whether the run has begun",
    "too-many-runs": "Too many runs were started",
    "not-valid": "A part of the request is not valid",
    "too-much": "This asks for too much at once",
    "nothing-built": "There is no data yet",
    "unavailable": "The warehouse cannot answer now",
}


class Fault(BaseModel):
    """One part of a request that is not valid."""

    location: Annotated[str, Field(description="Where it is: `body/symbols/0`, `query/from`.")]
    detail: str


class Problem(BaseModel):
    """What is wrong, in the form of RFC 9457 (application/problem+json)."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "/docs#unknown-symbol",
                "title": "There is no such symbol",
                "status": 404,
                "detail": "RELIANC is not among the symbols; did you mean RELIANCE?",
            }
        }
    )

    type: Annotated[str, Field(description="Which kind of problem; `about:blank` where the status says it all.")]
    title: Annotated[str, Field(description="The same for each problem of this type.")]
    status: Annotated[int, Field(description="The HTTP status.")]
    detail: Annotated[str, Field(description="What is wrong this time, and what to do.")]
    instance: Annotated[
        str | None, Field(description="Where to read more of this one: a run, or the id that the server's log has.")
    ] = None
    errors: Annotated[list[Fault] | None, Field(description="Each part that is not valid.")] = None
    run_id: Annotated[str | None, Field(description="The run that is under way, or may be.")] = None


class Refusal(HTTPException):
    """An error that is answered as a problem of one of our kinds."""

    def __init__(
        self, status: int, kind: str, detail: str, headers: Mapping[str, str] | None = None, **members: Any
    ) -> None:
        """Say what is wrong.

        Args:
            status: the HTTP status.
            kind: a key of ``KINDS``.
            detail: what is wrong this time, and what to do.
            headers: headers of the answer.
            members: further fields of ``Problem``.
        """
        super().__init__(status, detail, dict(headers or {}))
        self.kind = kind
        self.members = members


class _Escaped(JSONResponse):
    """JSON in ASCII: what a caller sent is quoted, and may be half a character, which UTF-8 cannot write."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, separators=(",", ":")).encode()


def problem(
    status: int, detail: str, kind: str | None = None, headers: Mapping[str, str] | None = None, **members: Any
) -> JSONResponse:
    """The answer for a problem; see ``Refusal``."""
    told = Problem(
        type=f"/docs#{kind}" if kind else "about:blank",
        title=KINDS[kind] if kind else HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        **members,
    )
    return _Escaped(told.model_dump(mode="json", exclude_none=True), status, headers, _MEDIA_TYPE)


@contextmanager
def unavailable() -> Iterator[None]:
    """Turn an error of the pipeline in this block into a 503 with the reason."""
    try:
        yield
    except (ConfigurationError, PipelineError) as error:
        raise Refusal(503, "unavailable", str(error)) from error


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors that a route may answer, for its OpenAPI description."""
    return {status: {"model": Problem} for status in statuses}


def answer_with_problems(app: FastAPI) -> None:
    """Let an application answer every error as a problem, and describe it so."""

    async def refused(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, StarletteHTTPException)
        headers = dict(error.headers or {})
        if "GET" in headers.get("Allow", ""):
            headers["Allow"] += ", HEAD"
        members = error.members if isinstance(error, Refusal) else {}
        kind = error.kind if isinstance(error, Refusal) else None
        return problem(error.status_code, _sentence(error), kind, headers, **members)

    async def not_valid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        faults = [
            Fault(location="/".join(map(str, each["loc"])), detail=each["msg"].removeprefix("Value error, "))
            for each in error.errors()
        ]
        detail = "; ".join(f"{fault.location}: {fault.detail}" for fault in faults)
        return problem(422, detail, "not-valid", errors=faults)

    async def failed(_: Request, error: Exception) -> JSONResponse:
        number = uuid.uuid4()
        # The text of the error may be confidential: log it, and answer only its number.
        _log.error("request failed", error_id=str(number), exc_info=error)
        detail = "The server has a fault. Its log has the reason, beside the id that is given as the instance."
        return problem(500, detail, instance=f"urn:uuid:{number}")

    app.add_exception_handler(StarletteHTTPException, refused)
    app.add_exception_handler(RequestValidationError, not_valid)
    app.add_exception_handler(Exception, failed)
    app.openapi = _described(app)  # type: ignore[method-assign]


def _sentence(error: StarletteHTTPException) -> str:
    if isinstance(error, Refusal) or error.detail != HTTPStatus(error.status_code).phrase:
        return error.detail
    return {
        404: "There is nothing at this address. /docs lists what there is.",
        405: "This address does not take this method. The header Allow says which it takes.",
    }.get(error.status_code, error.detail)


def _described(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """The OpenAPI description of an application, with problems in place of FastAPI's own error schemas."""

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
                tags=app.openapi_tags,
            )
            problems = {"schema": {"$ref": "#/components/schemas/Problem"}}
            replaced = ("/Problem", "/HTTPValidationError")
            for operations in schema["paths"].values():
                for operation in operations.values():
                    for answer in operation["responses"].values():
                        content = answer.get("content", {})
                        reference = content.get("application/json", {}).get("schema", {}).get("$ref", "")
                        if reference.endswith(replaced):
                            answer["content"] = {_MEDIA_TYPE: problems}
            for unused in ("HTTPValidationError", "ValidationError"):
                schema["components"]["schemas"].pop(unused, None)
            app.openapi_schema = schema
        return app.openapi_schema

    return described


class AnswersHead:
    """Middleware that answers HEAD as GET; the HTTP server then sends no body."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap the application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = dict(scope) | {"method": "GET"}
        await self._app(scope, receive, send)
