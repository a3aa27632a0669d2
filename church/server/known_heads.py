"""gunicorn's parser, which remembers the header fields that it has parsed.

A feed reader, a crawler, a monitor and a browser that fetches the files of a page send the same fields again, byte for
byte. Parsing them costs four times what finding them costs.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import Any, Final

from gunicorn.http.message import Request

_MOST: Final = 256  # heads in a worker
_MOST_BYTES: Final = 2048  # of one of them
# Fields that hold a secret, which shall not stay in memory, and one that makes the parser answer by itself.
_NEVER: Final = re.compile(rb"(?i)\n(?:authorization|proxy-authorization|expect)|cookie:[^\r]*church")


class KnownHead:
    """The header fields of a request, and what the door found out about them."""

    __slots__ = ("fields", "findings")

    def __init__(self, fields: tuple[tuple[str, str], ...]) -> None:
        self.fields = fields
        self.findings: Any = None


_known: OrderedDict[bytes, KnownHead] = OrderedDict()


class KnownRequest(Request):  # type: ignore[misc]  # gunicorn has no types
    """A request of gunicorn. It needs settings under which no field changes what it makes of the others."""

    head = KnownHead(())  # of a request without fields, for which gunicorn parses none

    def parse_headers(self, data: bytes, from_trailer: bool = False) -> list[tuple[str, str]]:
        """Return the header fields of the bytes ``data``. Raises what gunicorn raises."""
        if from_trailer:
            fields: list[tuple[str, str]] = super().parse_headers(data, from_trailer)
            return fields
        head = _known.get(data)
        if head is None:
            head = KnownHead(tuple(super().parse_headers(data)))
            if len(data) <= _MOST_BYTES and not _NEVER.search(b"\n" + data):
                _known[data] = head
                if len(_known) > _MOST:
                    _known.popitem(last=False)
        self.head = head
        return list(head.fields)
