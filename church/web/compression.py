"""Compress answers, by the coding that the client accepts (RFC 9110, 12.5.3)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from flask import request

from church.extensions import compress

if TYPE_CHECKING:
    from flask import Flask, Response

_CODINGS = ("br", "gzip")
"""The codings that we write. The first wins if the client likes several the same."""
_IDENTITY = "identity"  # the answer as it is
_ALIASES = {"x-gzip": "gzip"}  # RFC 9110, 8.4.1.3
_MEMBER = re.compile(r"([!#$%&'*+.^_`|~0-9a-z-]+)(?:[ \t]*;[ \t]*q[ \t]*=[ \t]*([^\s;]*))?[ \t]*")
_WEIGHT = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
_ACCEPT = "HTTP_ACCEPT_ENCODING"


@lru_cache(maxsize=256)
def choose_coding(accepted: str) -> str:
    """Choose the coding of an answer for the header Accept-Encoding: ``br``, ``gzip`` or ``identity``.

    A weight of 0 refuses a coding, and ``*`` means all that the header does not name. A member that cannot be
    read is ignored. ``identity`` is also the answer to a client that accepts nothing at all: an answer that it may be
    able to read is better than none.
    """
    weights = _read_weights(accepted)
    others = weights.get("*")
    wanted = {coding: weights.get(coding, others or 0.0) for coding in _CODINGS}
    best = max(_CODINGS, key=wanted.__getitem__)
    if not wanted[best] or wanted[best] < weights.get(_IDENTITY, 0.0):
        return _IDENTITY
    return best


def _read_weights(accepted: str) -> dict[str, float]:
    weights: dict[str, float] = {}
    for member in accepted.lower().split(","):
        found = _MEMBER.fullmatch(member.strip())
        if found is None or (found[2] is not None and not _WEIGHT.fullmatch(found[2])):
            continue
        coding = _ALIASES.get(found[1], found[1])
        weight = 1.0 if found[2] is None else float(found[2])
        weights[coding] = min(weights.get(coding, 1.0), weight)  # named twice: the refusal counts
    return weights


def _compress(response: Response) -> Response:
    """Let Flask-Compress write the coding that we chose: its own reading of the header takes no for a yes (``q=0``)."""
    sent = request.environ.get(_ACCEPT)
    request.environ[_ACCEPT] = choose_coding(sent or "")
    try:
        return compress.after_request(response)
    finally:
        if sent is None:
            del request.environ[_ACCEPT]
        else:
            request.environ[_ACCEPT] = sent


def init_app(app: Flask) -> None:
    """Compress every text of 500 bytes and more that is not a stream."""
    app.config.update(
        COMPRESS_REGISTER=False,
        COMPRESS_STREAMS=False,
        COMPRESS_MIN_SIZE=500,
        COMPRESS_ALGORITHM=list(_CODINGS),
        COMPRESS_BR_LEVEL=4,
    )
    compress.init_app(app)
    app.after_request(_compress)
