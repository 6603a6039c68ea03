"""Why Kite refuses all requests, and what to do: its error types do not distinguish the causes."""

import re

import kiteconnect.exceptions
import requests

from extract.network import shortened

_CONSOLE = "at developers.kite.trade"
_SESSION_ENDED = (
    "Kite refuses the access token: it ends at 06:00 IST each day, or when somebody logs in elsewhere;"
    " run `trading-data kite-login`"
)
_NO_PLAN = f"Kite's plan does not include this call ({{told}}); the key needs a paid Connect plan: add it {_CONSOLE}"
_NOT_ENABLED = f"Kite does not let this user use the app ({{told}}); enable the user for the app {_CONSOLE}"
_ADDRESS_REFUSED = (
    f"Kite refuses this machine's address ({{told}}); add its public address to the app's allowed addresses {_CONSOLE},"
    " or run it where the address is allowed"
)
OTHER_REFUSAL = f"Kite forbids this call ({{told}}); look at the app {_CONSOLE}"
# Words that show the cause of an error, because Kite's error types do not distinguish the causes.
_REFUSALS = (
    (re.compile(r"\bIPs?\b|\bip.?address|white.?list|allow.?list", re.IGNORECASE), _ADDRESS_REFUSED),
    (re.compile(r"\bnot (been )?enabled\b|\bdisabled\b", re.IGNORECASE), _NOT_ENABLED),
    (re.compile(r"\bsession\b|access_token|api_key|\blog ?in\b", re.IGNORECASE), _SESSION_ENDED),
    (re.compile(r"permission|\bplan\b|subscri", re.IGNORECASE), _NO_PLAN),
)


def refusal(error: kiteconnect.exceptions.KiteException, status: int) -> str | None:
    """Why Kite refuses all requests, with what to do; None if the error is not such a refusal."""
    is_of_token = isinstance(error, kiteconnect.exceptions.TokenException)
    is_of_rights = isinstance(error, kiteconnect.exceptions.PermissionException)
    if status != requests.codes.forbidden and not is_of_token and not is_of_rights:
        return None
    if isinstance(error, kiteconnect.exceptions.DataException):
        # A page instead of JSON comes from the proxy in front of Kite, which checks only the caller's IP address.
        return _ADDRESS_REFUSED.format(told="a page with status 403")
    told = shortened(str(error))
    reasons = (reason for words, reason in _REFUSALS if words.search(told))
    return next(reasons, _SESSION_ENDED if is_of_token else OTHER_REFUSAL).format(told=told)
