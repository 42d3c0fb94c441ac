"""What is told of a Ray cluster before Ray is asked."""

import socket

import pytest

from data_engine.executors.ray import RayExecutor


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "ray://127.0.0.1:{port}"])
def test_a_head_that_is_dead_is_told_at_once(address: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]  # free again below
    dead = address.format(port=port)

    with pytest.raises(OSError, match=f"no Ray cluster answers at {dead} .*refused.*: look after"):
        RayExecutor(address=dead)
