"""One sentence that says why a server could not be reached, whichever client reported it."""

import re
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

# For each cause: how requests, httpx, curl and the system word it; whether it concerns the proxy, if there is one, and
# not the server; and our sentence. The first that matches counts.
_CAUSES = (
    (r"tunnel|proxy (authentication|error)", True, "lets no request through ({told})"),
    (
        r"resolve|name or service not known|getaddrinfo|name resolution|nodename nor servname|no address associated",
        True,
        "could not be found; is there a network?",
    ),
    (
        r"network is (unreachable|down)|no route to host|host is (down|unreachable)",
        True,
        "could not be reached; is there a network?",
    ),
    (
        r"refused|could not connect to server|unable to connect to proxy",
        True,
        "refuses the connection; is it running, and does a firewall let us through?",
    ),
    (
        r"\breset\b|\bclosed\b|aborted|disconnected|empty reply|incomplete|\beof\b",
        False,
        "closed the connection without a whole answer",
    ),
    (
        r"certificate|\bssl|\btls|handshake",
        False,
        "could not prove who it is ({told}); is this machine's clock right, or does a proxy stand in between?",
    ),
    (r"timed? ?out", False, "did not answer in time"),
)
_TOLD = re.compile(
    r"certificate verify failed: [^(\]\"']+|self.signed certificate|wrong version number|handshake failure"
    r"|(?<![=:])\b[45]\d\d\b( [A-Z][\w ]+)?"
)


def unreached(error: BaseException, address: str) -> str:
    """Why a server could not be reached, and what to look at.

    Args:
        error: what a client raised: requests, httpx or curl_cffi.
        address: of the server, with its scheme.
    """
    text = str(error).strip() or type(error).__name__
    server = urlsplit(address)
    host = f"{server.hostname}:{server.port}" if server.port else str(server.hostname)
    proxy = _proxy(server.scheme, host)
    for words, is_of_proxy, sentence in _CAUSES:
        if re.search(words, text, re.IGNORECASE):
            who = f"the proxy {proxy}, which the environment names," if proxy and is_of_proxy else host
            told = _TOLD.search(text)
            return f"{who} {sentence.format(told=(told[0] if told else shortened(text)).strip())}"
    return f"{host}: {shortened(text)}"


def shortened(text: str) -> str:
    """The first sentence of an error, without the number and the link to the manual that curl adds to its errors."""
    sentence = re.sub(r"^Failed to perform, curl: \(\d+\) ", "", text.strip().partition("\n")[0])
    return sentence.partition(". See https")[0][:200]


def _proxy(scheme: str, host: str) -> str | None:
    """The host and port of the proxy that the environment names for a server; never the password in it."""
    proxies = getproxies()
    given = proxies.get(scheme) or proxies.get("all")
    if not given or proxy_bypass(host):
        return None
    place = urlsplit(given if "://" in given else f"http://{given}")
    return f"{place.hostname}:{place.port}" if place.port else place.hostname
