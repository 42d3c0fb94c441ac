"""What every request must pass before it is looked at, and what every response says to browsers."""

from collections.abc import Collection
from urllib.parse import urlsplit

from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

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

        refusal = self._refusal(Headers(scope=scope))
        if refusal is not None:
            await refusal(scope, receive, send_with_headers)
        else:
            await self._app(scope, self._limited(receive), send_with_headers)

    def _refusal(self, headers: Headers) -> JSONResponse | None:
        host = headers.get("host", "")
        if urlsplit(f"//{host}").hostname not in self._hosts:
            return refused(421, f"this server is not {host[:80]}: use the address that it printed")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return refused(403, "pages of other sites may not use this server")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._max_body:
            return refused(413, f"a request has at most {self._max_body:,} bytes")
        return None

    def _limited(self, receive: Receive) -> Receive:
        """Counts a body that comes without its length."""
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_body:
                raise HTTPException(413, f"a request has at most {self._max_body:,} bytes")
            return message

        return limited


def refused(status: int, sentence: str, kind: str = "refused") -> JSONResponse:
    """A refusal in one sentence, which the page shows."""
    return JSONResponse({"error": sentence, "kind": kind}, status)
