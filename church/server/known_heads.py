"""gunicorn's parser, which remembers the header fields that it has parsed.

A feed reader, a crawler, a monitor and a browser that fetches the files of a page send the same fields again, byte for
byte. Parsing them costs four times what finding them costs.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import Final

from gunicorn.http.message import Request

_MOST: Final = 256  # heads in a worker
_MOST_BYTES: Final = 2048  # of one of them
# Fields that hold a secret, which shall not stay in memory, and one that makes the parser answer by itself.
_NEVER: Final = re.compile(rb"(?i)\n(?:authorization|proxy-authorization|expect)|cookie:[^\r]*church")

_known: OrderedDict[bytes, tuple[tuple[str, str], ...]] = OrderedDict()


class KnownRequest(Request):  # type: ignore[misc]  # gunicorn has no types
    """A request of gunicorn. It needs settings under which no field changes what it makes of the others."""

    def parse_headers(self, data: bytes, from_trailer: bool = False) -> list[tuple[str, str]]:
        """Return the header fields of the bytes ``data``. Raises what gunicorn raises."""
        known = _known.get(data)
        if known is not None and not from_trailer:
            return list(known)
        fields: list[tuple[str, str]] = super().parse_headers(data, from_trailer)
        if not from_trailer and len(data) <= _MOST_BYTES and not _NEVER.search(b"\n" + data):
            _known[data] = tuple(fields)
            if len(_known) > _MOST:
                _known.popitem(last=False)
        return fields
