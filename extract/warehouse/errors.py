"""An error of BigQuery, or of the connection to it, as ours."""

import contextlib
from collections.abc import Iterator

from google.api_core.exceptions import GoogleAPICallError, RetryError
from google.auth.exceptions import RefreshError, TransportError
from requests.exceptions import RequestException

from extract.errors import PipelineError
from extract.network import unreached


@contextlib.contextmanager
def as_pipeline_error(what: str) -> Iterator[None]:
    """Turn an error of BigQuery, or of the connection, into a PipelineError: what failed, and the original message."""
    try:
        yield
    except (
        GoogleAPICallError,
        RefreshError,
        RequestException,
        RetryError,
        TransportError,
        ConnectionError,
        TimeoutError,
    ) as error:
        raise PipelineError(f"{what}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    cause = getattr(error, "cause", None) or error
    request = getattr(cause, "request", None)
    if isinstance(cause, RequestException) and request is not None:
        return unreached(cause, str(request.url))
    return getattr(error, "message", None) or str(error)
