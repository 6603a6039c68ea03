"""Google's REST interfaces, as far as a delivery needs them: retries, long-running operations, tokens."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from extract.errors import PipelineError, SourceRefused, SourceUnavailable
from extract.google_token import default_token
from extract.pace import FIRST_WAIT, Sleep, attempts
from infra.delivery.settings import Delivery

type Json = dict[str, Any]

_TIMEOUT = httpx.Timeout(30.0, connect=10.0)

# Another attempt may succeed: limits, faults of the server, and a change that came between our reading and our writing.
_MAY_PASS = frozenset({409, 412, 429, 500, 502, 503, 504})


class GoogleApi:
    """A client of Google's interfaces.

    Whatever changes something is sent once; `persist` repeats it together with the reading that it rests on, since a
    change may have been taken in although its answer was lost.
    """

    def __init__(
        self,
        settings: Delivery,
        client: httpx.Client,
        token: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = time.sleep,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.sleep = sleep
        self._client = client
        self._token = token

    def persist[T](self, step: Callable[[], T]) -> T:
        """Do a step, and again where that may help.

        Raises:
            SourceUnavailable: the attempts are spent.
            SourceRefused: another attempt would not help.
        """
        return attempts(threading.Event(), FIRST_WAIT).copy(sleep=self.sleep)(step)

    def get(self, url: str, **parameters: str) -> Json:
        """Read something, with retries.

        Raises:
            SourceUnavailable: the attempts are spent.
            SourceRefused: it is not there, or not for us.
        """
        return self.persist(lambda: self.send("GET", url, None, **parameters))

    def send(self, method: str, url: str, body: Json | None = None, /, **parameters: str) -> Json:
        """Send one request, once.

        Raises:
            SourceUnavailable: another attempt may succeed.
            SourceRefused: it would not.
        """
        try:
            response = self._client.request(
                method,
                url,
                params=parameters or None,
                json=body,
                headers={"Authorization": f"Bearer {self._token()}"},
                timeout=_TIMEOUT,
            )
        except httpx.TransportError as error:
            raise SourceUnavailable(f"{method} {url} got no answer: {type(error).__name__}") from error
        if response.is_success:
            return _document(response)
        told = f"{method} {url} was answered {response.status_code}: {_reason(response)}"
        if response.status_code in _MAY_PASS:
            wait = response.headers.get("Retry-After", "")
            raise SourceUnavailable(
                told,
                retry_after=float(wait) if wait.isdecimal() else None,
                is_rate_limit=response.status_code == httpx.codes.TOO_MANY_REQUESTS,
            )
        if response.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            told += "; give the account of this delivery the role that this needs"
        raise SourceRefused(told)

    def wait_for(self, operation: Json) -> Json:
        """The outcome of a long-running operation of Cloud Run.

        Raises:
            PipelineError: it ended in an error, or did not end in time.
        """
        deadline = self.clock() + self.settings.operation_bound
        while not operation.get("done"):
            if self.clock() >= deadline:
                raise PipelineError(
                    f"{operation['name']} did not end within {self.settings.operation_bound:g} s;"
                    " look at it in the console, then run the same command again"
                )
            self.sleep(self.settings.poll_seconds)
            operation = self.get(f"{self.settings.run_url}/v2/{operation['name']}")
        if "error" in operation:
            raise PipelineError(f"Cloud Run could not do it: {operation['error'].get('message', operation['error'])}")
        outcome: Json = operation.get("response", {})
        return outcome

    def settled(self, url: str) -> Json:
        """A service or job, once Cloud Run has done what it was last asked for; a killed run may have asked.

        Raises:
            PipelineError: it does not come to rest in time.
        """
        deadline = self.clock() + self.settings.operation_bound
        while (found := self.get(url)).get("reconciling"):
            if self.clock() >= deadline:
                raise PipelineError(
                    f"{found['name']} is still being changed; look at it in the console, then run again"
                )
            self.sleep(self.settings.poll_seconds)
        return found

    def health(self, url: str, audience: str) -> str:
        """What a health check came to: ``200``, another status, or the kind of a failure. It is asked once."""
        try:
            headers = self._identity(audience)
            return str(self._client.get(url, headers=headers, timeout=httpx.Timeout(5.0)).status_code)
        except httpx.TransportError as error:
            return type(error).__name__

    def _identity(self, audience: str) -> dict[str, str]:
        # Federated credentials cannot make an identity token themselves; the account that they stand for can.
        account = self.settings.health_account
        if account is None:
            return {}
        made = self.persist(
            lambda: self.send(
                "POST",
                f"{self.settings.iam_credentials_url}/v1/projects/-/serviceAccounts/{account}:generateIdToken",
                {"audience": audience, "includeEmail": True},
            )
        )
        return {"Authorization": f"Bearer {made['token']}"}


@contextmanager
def google_api(
    settings: Delivery,
    clock: Callable[[], float] = time.monotonic,
    sleep: Sleep = time.sleep,
    transport: httpx.BaseTransport | None = None,
) -> Iterator[GoogleApi]:
    """A client with the token of the settings, or else with the application-default credentials."""
    with httpx.Client(transport=transport, timeout=_TIMEOUT) as client:
        given = settings.access_token
        yield GoogleApi(settings, client, (lambda: given) if given else default_token(), clock, sleep)


def _document(response: httpx.Response) -> Json:
    try:
        document = response.json()
    except ValueError as error:
        raise SourceUnavailable(f"{response.url} answered with what is no JSON") from error
    if not isinstance(document, dict):
        raise SourceUnavailable(f"{response.url} answered with what is no JSON object")
    return document


def _reason(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return response.reason_phrase
