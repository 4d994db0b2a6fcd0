import socket

import pytest


def test_a_connection_to_another_machine_is_refused():
    with socket.socket() as connection, pytest.raises(RuntimeError, match=r"tried to connect to \('192\.0\.2\.1', 9\)"):
        connection.connect(("192.0.2.1", 9))


def test_a_connection_by_name_is_refused():
    with socket.socket() as connection, pytest.raises(RuntimeError, match="tried to connect"):
        connection.connect_ex(("example.org", 80))


def test_loopback_is_allowed():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        with socket.create_connection(server.getsockname(), timeout=5) as connection:
            assert connection.getpeername() == server.getsockname()
