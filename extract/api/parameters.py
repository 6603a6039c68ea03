"""The query parameters of a request: each is in the API's description, and is given once."""

from fastapi import Request
from fastapi.exceptions import RequestValidationError

from extract.words import did_you_mean


async def refuse_unknown_parameters(request: Request) -> None:
    """A dependency that refuses what the route would ignore: the answer would be to another question.

    Raises:
        RequestValidationError: a parameter is not in the route's description, or is given twice.
    """
    operation = request.app.openapi()["paths"][request.scope["route"].path_format][request.method.lower()]
    known = [given["name"] for given in operation.get("parameters", []) if given["in"] == "query"]
    for name in request.query_params:
        if name not in known:
            raise not_valid(name, f"is not known here{did_you_mean(name, known)}", name)
        if len(request.query_params.getlist(name)) > 1:
            raise not_valid(name, "is given twice", name)


def not_valid(name: str, fault: str, given: object) -> RequestValidationError:
    """An error about a query parameter, for a fault that the OpenAPI description cannot express."""
    return RequestValidationError([{"type": "value_error", "loc": ("query", name), "msg": fault, "input": str(given)}])
