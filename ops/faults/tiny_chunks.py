"""Send bodies of a million chunks of one byte: six bytes on the wire for each one of the body."""

from __future__ import annotations

import socket
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import Any

from ops.faults.attack import Attack

HEAD = (
    b"POST /auth/login HTTP/1.1\r\nHost: church.example\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
_BODY = b"1\r\na\r\n" * 1_000_000 + b"0\r\n\r\n"


def send_one(port: int) -> None:
    """Send one body, as far as the site reads it, and wait for the answer."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(HEAD)
        with suppress(OSError):
            connection.sendall(_BODY)
        while connection.recv(65_536):
            pass


def send(port: int, _prepared: Any, at_once: int) -> None:
    """Send so many bodies at once."""
    threads = [Thread(target=send_one, args=(port,)) for _ in range(at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


ATTACKS = tuple(
    Attack(f"tiny_chunks_{n}", f"a body of 1,000,000 chunks of one byte, {n} at once", partial(send, at_once=n))
    for n in (1, 2, 4)
)
