"""Access tokens of the application-default credentials, for the Google APIs that we call over plain HTTP."""

from collections.abc import Callable

from extract.errors import ConfigurationError, SourceUnavailable

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def default_token() -> Callable[[], str]:
    """Return a function that returns a token that is valid now, and raises SourceUnavailable if it cannot get one.

    Raises:
        ConfigurationError: this machine has no application-default credentials.
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
        # A token is valid for an hour, and an execution may take longer.
        try:
            if not credentials.valid:
                credentials.refresh(Request())  # type: ignore[no-untyped-call]
        except GoogleAuthError as error:
            raise SourceUnavailable(f"the credentials could not be refreshed: {error}") from error
        return str(credentials.token)

    return token
