"""Connections that are held open without a request."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
import uvicorn

from data_engine.service import guard, patience
from data_engine.service.guard import Guard
from data_engine.service.patience import Patience


async def app(scope: Any, receive: Callable[[], Awaitable[Any]], send: Any) -> None:
    """Answers with the length of the body."""
    if scope["type"] == "http":
        length, more = 0, True
        while more:
            message = await receive()
            length, more = length + len(message["body"]), message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(length).encode()})


def closed(connection: socket.socket) -> bool:
    """Whether the server has let go of a connection, without an answer."""
    connection.settimeout(20.0)
    with suppress(ConnectionError):
        return connection.recv(1) == b""
    return True


async def among_idle_ones(idle: int) -> tuple[bytes, list[bool]]:
    """An answer to somebody who comes while others say nothing, and whether those were closed."""
    config = uvicorn.Config(app, http=Patience, limit_concurrency=idle, lifespan="off")
    server, sock = uvicorn.Server(config), socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    silent = [socket.create_connection(sock.getsockname()) for _ in range(idle)]
    for number, connection in enumerate(silent):
        connection.sendall(b"GET / HTTP/1.1\r\nX-Slow: "[: number * 5])
    try:
        are_closed = [await asyncio.to_thread(closed, connection) for connection in silent]
        with socket.create_connection(sock.getsockname()) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            return await asyncio.to_thread(connection.recv, 1000), are_closed
    finally:
        for connection in silent:
            connection.close()
        server.should_exit = True
        await serving


def test_connections_that_ask_nothing_keep_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "HEAD_S", 0.3)

    answer, are_closed = asyncio.run(among_idle_ones(4))

    assert all(are_closed)
    assert answer.startswith(b"HTTP/1.1 200")


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "BODY_S", 0.1)

    async def silence() -> Any:
        await asyncio.sleep(60)

    async def ask() -> None:
        scope = {"type": "http", "path": "/", "headers": [(b"host", b"a")]}
        await Guard(app, hosts={"a"}, max_body=9)(scope, silence, send=silence)

    with pytest.raises(Exception, match="must come within 0.1 s"):
        asyncio.run(ask())
