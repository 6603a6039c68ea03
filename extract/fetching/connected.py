"""The sources that a run can ask, each connected through its own client."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from extract.errors import ConfigurationError, SourceRefused
from extract.seeds import Clock, source_order
from extract.settings import Settings
from extract.sources import Answer, Request, Source
from extract.sources.kite_session import access_token


def expected_sources(settings: Settings) -> list[str]:
    """The sources that are asked for bars, the first choice first; without Kite if it has no key."""
    return [source_id for source_id in source_order() if source_id != "kite" or settings.kite.is_configured]


def asked_sources(settings: Settings, source: str) -> list[str]:
    """The sources that are asked for bars, if ``source`` is ``auto``; else that source alone."""
    return expected_sources(settings) if source == "auto" else [source]


@contextmanager
def connected(
    settings: Settings, source_ids: Sequence[str], clock: Clock, stop: threading.Event
) -> Iterator[dict[str, Source]]:
    """Yield the sources by id. A source that cannot be asked refuses each request, so that the others still serve.

    Args:
        settings: addresses, keys and paces.
        source_ids: which sources; the clients of others are not imported.
        clock: the time, with zone.
        stop: if it is set, no source waits for its pace any more.
    """
    sources: dict[str, Source] = {}
    with ExitStack() as leave:
        if "kite" in source_ids:
            sources["kite"] = _kite(settings, clock, stop)
        if "yahoo" in source_ids:
            from extract.sources.yahoo import Yahoo

            yahoo = Yahoo(
                base_url=settings.yahoo.base_url,
                requests_per_second=settings.yahoo.requests_per_second,
                clock=clock,
                sleep=stop.wait,
            )
            leave.callback(yahoo.close)
            sources["yahoo"] = yahoo
        if "alpha_vantage" in source_ids:
            from extract.sources.alpha_vantage import AlphaVantage

            if settings.alpha_vantage.api_key:
                third = AlphaVantage(
                    settings.alpha_vantage.api_key,
                    base_url=settings.alpha_vantage.base_url,
                    clock=clock,
                    sleep=stop.wait,
                )
                leave.callback(third.close)
                sources["alpha_vantage"] = third
            else:
                reason = SourceRefused("Alpha Vantage is not configured: set ALPHA_VANTAGE_API_KEY", stops_source=True)
                sources["alpha_vantage"] = Refusing("alpha_vantage", reason)
        yield sources


@dataclass(slots=True)
class Refusing:
    """Stands for a provider that cannot be asked until we correct something; it refuses each request with the reason.

    An example is Kite without a session.
    """

    source_id: str
    reason: SourceRefused
    workers: int = 1
    requests_per_second: float = 1.0

    def fetch(self, request: Request) -> Answer:  # noqa: ARG002
        """Refuse; see ``Source``."""
        raise self.reason

    def hold(self, seconds: float) -> None:
        """Do nothing: this source sends no requests."""


def _kite(settings: Settings, clock: Clock, stop: threading.Event) -> Source:
    from extract.sources.kite import Kite

    try:
        token = access_token(settings.kite, clock())
    except SourceRefused as refused:
        return Refusing("kite", refused)
    except ConfigurationError as unusable:
        # The next source serves the day, and the report says why Kite did not.
        return Refusing("kite", SourceRefused(str(unusable), stops_source=True))
    assert settings.kite.api_key is not None
    return Kite(
        settings.kite.api_key,
        token,
        base_url=settings.kite.base_url,
        requests_per_second=settings.kite.requests_per_second,
        clock=clock,
        sleep=stop.wait,
    )
