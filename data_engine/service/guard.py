"""What every request must pass before it is looked at, and what every response says to browsers."""

import asyncio
import time
from collections.abc import Collection
from urllib.parse import urlsplit

from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_S = 20.0  # to send the body of a request
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
RESPONSE_HEADERS = {
    # Only this server's own scripts run, whatever a file name or a label contains.
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Guard:
    """Refuses other sites' pages, other names of this host, and bodies that are too large.

    The host is checked because a foreign name that resolves to this machine would make its
    pages ours in the eyes of a browser (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, *, hosts: Collection[str], max_body: int) -> None:
        self._app = app
        self._hosts = hosts
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in RESPONSE_HEADERS.items():
                    headers[name] = value
            await send(message)

        refusal = self._refusal(Headers(scope=scope), scope["path"])
        if refusal is not None:
            await refusal(scope, receive, send_with_headers)
        else:
            await self._app(scope, self._limited(receive), send_with_headers)

    def _refusal(self, headers: Headers, path: str) -> JSONResponse | None:
        host = headers.get("host", "")
        if name_in(f"//{host}") not in self._hosts:
            return refused(421, f"this server is not {host[:80]}: use the address that it printed")
        origin = headers.get("origin")
        if origin is not None and (not name_in(origin) or urlsplit(origin).netloc != host):
            return refused(403, "pages of other sites may not use this server")
        if "\0" in path:  # PostgreSQL fails on it
            return refused(404, "there is nothing at this address")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._max_body:
            return refused(413, f"a request has at most {self._max_body:,} bytes")
        return None

    def _limited(self, receive: Receive) -> Receive:
        """Counts a body that comes without its length, and does not wait for it forever."""
        received, is_whole, ends = 0, False, time.monotonic() + BODY_S

        async def limited() -> Message:
            nonlocal received, is_whole
            if is_whole:  # what comes now is the end of the connection
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), ends - time.monotonic())
            except TimeoutError as error:
                raise HTTPException(408, f"a request must come within {BODY_S:g} s") from error
            is_whole = not message.get("more_body", False)
            received += len(message.get("body", b""))
            if received > self._max_body:
                raise HTTPException(413, f"a request has at most {self._max_body:,} bytes")
            return message

        return limited


def name_in(address: str) -> str | None:
    """The name of the host in an address; None if it cannot be read."""
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


def refused(status: int, sentence: str, kind: str = "refused") -> JSONResponse:
    """A refusal in one sentence, which the page shows."""
    return JSONResponse({"error": sentence, "kind": kind}, status)
