"""The files that a browser loads: the page's own, and those of two libraries, unchanged as released."""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import Response

_PAGE = Path(__file__).parent / "page"

# The page loads nothing from other hosts. Its icon is a data: URL.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)

_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}

# One page for all these addresses; its script shows what the address names.
_PAGES = ("/", "/symbols", "/symbols/{symbol}", "/quality")

# These files change only with a new release of the library.
_LIBRARIES = {
    "/lightweight-charts.js": ("lwcharts", "vendor/lightweight-charts.standalone.production.js"),
    "/swagger-ui.js": ("fastapi_swagger", "resources/swagger-ui-bundle.js"),
    "/swagger-ui.css": ("fastapi_swagger", "resources/swagger-ui.css"),
}


@dataclass(frozen=True, slots=True)
class _File:
    """A file, read and compressed once."""

    content: bytes
    compressed: bytes
    headers: dict[str, str]


@cache
def _read(file: Path, caching: str) -> _File:
    content = file.read_bytes()
    headers = {
        "Content-Type": f"{_TYPES[file.suffix]}; charset=utf-8",
        "Content-Security-Policy": _POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": caching,
        "ETag": f'W/"{hashlib.sha256(content).hexdigest()[:32]}"',
        "Vary": "Accept-Encoding",
    }
    return _File(content, gzip.compress(content, mtime=0), headers)


def _of_library(package: str, path: str) -> Path:
    """The path of a file in a package. The package is not imported, because that may import much."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / path


def _answer(request: Request, file: _File) -> Response:
    """The file, or 304 if the browser already has it."""
    if file.headers["ETag"] in request.headers.get("If-None-Match", ""):
        return Response(status_code=304, headers=file.headers)
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        return Response(file.compressed, headers=file.headers | {"Content-Encoding": "gzip"})
    return Response(file.content, headers=file.headers)


def file_routes() -> APIRouter:
    """The routes of the files. They need no token, because they hold no data; the routes that they call need one."""
    routes = APIRouter()

    def serve(address: str, package: str | None, path: str, caching: str) -> None:
        # Async, and so not in a thread of the pool: those may all be waiting for the warehouse.
        async def file(request: Request) -> Response:
            return _answer(request, _read(_of_library(package, path) if package else _PAGE / path, caching))

        routes.get(address, include_in_schema=False)(file)

    for address in _PAGES:
        serve(address, None, "index.html", "no-cache")
    serve("/docs", None, "docs.html", "no-cache")
    for own in sorted(_PAGE.iterdir()):
        if own.suffix != ".html":
            serve(f"/page/{own.name}", None, own.name, "no-cache")
    for address, (package, path) in _LIBRARIES.items():
        serve(address, package, path, "max-age=86400")
    return routes
