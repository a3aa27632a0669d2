"""Find addresses in lines of the log files, in either scheme of field names. It loads nothing."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple

from church.lib.log_fields import to_otel
from church.lib.network.addresses import cut_address

_LINE = re.compile(rb"[^\n]*\n")
_TIME = re.compile(rb'"timestamp":\s*"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)')
_ADDRESS = re.compile(rb'"(?:ip|%s)":\s*("([0-9A-Fa-f:.]{2,45})")' % re.escape(to_otel("ip").encode()))


class Edit(NamedTuple):
    """Bytes to write at a place, in place of as many."""

    at: int
    data: bytes


class Piece(NamedTuple):
    """Lines that are old enough: how many bytes, what to write into them, and whether a younger line follows."""

    length: int
    edits: list[Edit]
    is_last: bool = False


def limit_of(moment: float) -> bytes:
    """A moment, in seconds since 1970, as ``read_piece`` compares it."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()


def read_piece(data: bytes, limit: bytes) -> Piece:
    """Find the whole addresses in the lines of ``data``, up to the first that is not older than ``limit``.

    An edit puts the first address of the network in the place of an address, which is never longer, and then spaces.
    """
    edits: list[Edit] = []
    length = 0
    for line in _LINE.finditer(data):
        moment = _TIME.search(line[0])
        if moment is not None and moment[1] >= limit:
            return Piece(length, edits, is_last=True)
        for found in _ADDRESS.finditer(line[0]):
            network = cut_address(found[2].decode())
            cut = f'"{network.network_address}"'.encode() if network is not None else found[1]
            if cut != found[1]:
                edits.append(Edit(line.start() + found.start(1), cut.ljust(len(found[1]))))
        length = line.end()
    return Piece(length, edits)


def patch(data: bytes, edits: list[Edit]) -> bytes:
    """The bytes with the edits made."""
    patched = bytearray(data)
    for at, new in edits:
        patched[at : at + len(new)] = new
    return bytes(patched)
