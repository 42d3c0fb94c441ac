"""A program in the place of an annotator's page: requests that outlast a restart of the server."""

import http.client
import json
import time
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import ProxyHandler, Request, build_opener

BUSY = {500, 502, 503, 504}  # the request may succeed later
TIMEOUT_S = 30.0


class Refused(ValueError):
    """The server has answered that it does not do this; `kind` is the answer's."""

    def __init__(self, sentence: str, kind: str) -> None:
        super().__init__(sentence)
        self.kind = kind


class Connection:
    """Talks to the server behind a link that it printed, `http://HOST:PORT/#token=TOKEN`.

    A request without an answer is sent again until the server has been away for `patience_s`:
    what it has done already, it does not do twice.
    """

    def __init__(self, link: str, *, patience_s: float = 60.0, pause_s: float = 0.3) -> None:
        parts = urlsplit(link)
        name, _, token = parts.fragment.partition("=")
        if parts.scheme not in ("http", "https") or name != "token" or not token:
            raise ValueError(f"{link} is no link of the server's: http://HOST:PORT/#token=TOKEN")
        self._address = f"{parts.scheme}://{parts.netloc}"
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._patience_s = patience_s
        self._pause_s = pause_s
        self._open = build_opener(ProxyHandler({})).open  # never by way of a proxy

    def get(self, *path: str) -> bytes:
        return self._ask(path, None)

    def post(self, *path: str, **content: Any) -> dict[str, Any]:
        return json.loads(self._ask(path, json.dumps(content).encode()))

    def _ask(self, path: tuple[str, ...], body: bytes | None) -> bytes:
        url = "/".join((self._address, "api", *(quote(part, safe="") for part in path)))
        request = Request(url, body, self._headers)
        away_since = time.monotonic()
        while True:
            try:
                with self._open(request, timeout=TIMEOUT_S) as response:
                    return response.read()
            except HTTPError as error:
                if error.code not in BUSY:
                    raise refused(error) from error
                last: Exception = error
            except (OSError, http.client.HTTPException) as error:
                last = error
            if time.monotonic() - away_since > self._patience_s:
                raise ConnectionError(
                    f"{self._address} does not answer ({last}): start the server again"
                ) from last
            time.sleep(self._pause_s)


def refused(error: HTTPError) -> Refused:
    """The server's own sentence."""
    try:
        answer = json.loads(error.read())
        return Refused(answer["error"], answer["kind"])
    except (ValueError, TypeError, KeyError):
        return Refused(f"{error.url} answers {error.code} {error.reason}", "refused")
