"""Send heads of 90 fields of 8,000 bytes, each field as long as it may be."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from functools import partial
from typing import Any

from ops.faults.attack import Attack

HEAD = (
    b"GET /nothing HTTP/1.1\r\nHost: church.example\r\n"
    + b"".join(b"X-Field-%d: %b\r\n" % (number, b"a" * 8000) for number in range(90))
    + b"\r\n"
)
_LARGEST = HEAD[: 31 * 1024].rpartition(b"\r\n")[0] + b"\r\n\r\n"


def send(port: int, _prepared: Any, head: bytes, pause: float = 0.0) -> None:
    """Send one head, as far as the site reads it, and wait for the answer."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        with suppress(OSError):
            connection.sendall(head)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65_536):
            pass
    time.sleep(pause)


ATTACKS = (
    Attack("big_heads", "a head of 703 KiB, 2.5 a second", partial(send, head=HEAD, pause=0.4)),
    Attack("big_heads_flat_out", "a head of 703 KiB, one after another", partial(send, head=HEAD)),
    Attack(
        "largest_heads_flat_out", "the largest head that is served, one after another", partial(send, head=_LARGEST)
    ),
)
