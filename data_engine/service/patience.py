"""Connections that never say what they want are closed, so that they keep nobody else out."""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 10.0  # to send the head of a request


class Patience(H11Protocol):
    """Uvicorn's HTTP with a limit of time for each head of a request.

    Uvicorn waits forever, and counts the connection among those it takes at most (slow loris).
    """

    _closing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._wait_for_head()
        elif self._closing is not None:  # the head is complete, the request is being answered
            self._closing.cancel()
            self._closing = None

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._closing is not None:
            self._closing.cancel()

    def _wait_for_head(self) -> None:
        if self._closing is None:
            self._closing = self.loop.call_later(HEAD_S, self.transport.close)
