"""Connections that send no whole request: they are ended, before they take all of the process's descriptors."""

import asyncio
import time

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

# A request, with its body of some kilobytes at most, has come in this time.
_REQUEST_SECONDS = 20.0

# A process may have 1,024 descriptors on many systems, and the warehouse and the archive need some.
_MOST_CONNECTIONS = 500


class BoundedConnection(H11Protocol):
    """One connection of the server. Uvicorn itself waits for the first request for ever."""

    _deadline: asyncio.TimerHandle | None = None
    _waits_since: float = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request; where many connections are open, end the one that has waited longest."""
        super().connection_made(transport)
        self._wait()
        if len(self.connections) > _MOST_CONNECTIONS:
            waiting = [other for other in self.connections if isinstance(other, BoundedConnection) and other._deadline]
            min(waiting, key=lambda other: other._waits_since)._end()

    def data_received(self, data: bytes) -> None:
        """Take a part of a request."""
        super().data_received(data)
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._stop_waiting()
        elif self._deadline is None:
            self._wait()

    def on_response_complete(self) -> None:
        """Wait for the rest of a request that came together with the one before it."""
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY and self._deadline is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._waits_since = time.monotonic()
        self._deadline = self.loop.call_later(_REQUEST_SECONDS, self._end)

    def _end(self) -> None:
        self._stop_waiting()
        # Not counted from now on: the transport tells of its end only later.
        self.connections.discard(self)
        self.transport.abort()

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
