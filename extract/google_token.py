"""Access tokens of the application-default credentials, for Google's interfaces that are asked over plain HTTP."""

from collections.abc import Callable

from extract.errors import ConfigurationError, SourceUnavailable

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def default_token() -> Callable[[], str]:
    """What gives a token that is valid now, and raises SourceUnavailable where none can be had.

    Raises:
        ConfigurationError: there are no such credentials here.
    """
    import google.auth
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import Request

    try:
        credentials, _ = google.auth.default(scopes=[_SCOPE])
    except GoogleAuthError as error:
        raise ConfigurationError(
            "there are no application-default credentials: in a workflow, authenticate by google-github-actions/auth;"
            " elsewhere, log in and create them"
        ) from error

    def token() -> str:
        # A token lives for an hour, an execution may take longer.
        try:
            if not credentials.valid:
                credentials.refresh(Request())  # type: ignore[no-untyped-call]
        except GoogleAuthError as error:
            raise SourceUnavailable(f"the credentials could not be refreshed: {error}") from error
        return str(credentials.token)

    return token
