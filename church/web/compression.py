"""Compress answers, by the coding that the client accepts (RFC 9110, 12.5.3).

Answers for everyone are kept by browsers and proxies, so that their size counts: brotli 4, 105 µs for a page of 13 KB,
which becomes 4,730 bytes. An answer for one visitor is compressed for that visitor alone. brotli 2 takes 50 µs, less
than half, and sends 4,997 bytes, 6 % more. gzip 1, at 43 µs, would save little time and send 11 % more. A page that is
kept in pieces (``kept_pages``) is sent as gzip 9, since its pieces are compressed once: 10 µs and 5,300 bytes.
"""

from __future__ import annotations

import gzip
import re
from functools import lru_cache
from typing import TYPE_CHECKING, cast

import brotli
from flask import Response, request

from church.extensions import compress
from church.web.headers import add_vary
from church.web.site import SiteResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask

_CODINGS = ("br", "gzip")
"""The codings that we write. The first wins if the client likes several the same."""
IDENTITY = "identity"  # the answer as it is
MIN_BYTES = 500
"""A shorter answer is sent as it is."""
_CODINGS_OF_PIECES = ("gzip", "br")
_ALIASES = {"x-gzip": "gzip"}  # RFC 9110, 8.4.1.3
_MEMBER = re.compile(r"([!#$%&'*+.^_`|~0-9a-z-]+)(?:[ \t]*;[ \t]*q[ \t]*=[ \t]*([^\s;]*))?[ \t]*")
_WEIGHT = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
_ACCEPT = "HTTP_ACCEPT_ENCODING"
_BR_FOR_MANY, _GZIP_FOR_MANY = 4, 6
_BR_FOR_ONE, _GZIP_FOR_ONE = 2, 3


@lru_cache(maxsize=256)
def choose_coding(accepted: str, codings: tuple[str, ...] = _CODINGS) -> str:
    """Choose the coding of an answer for the header Accept-Encoding: ``br``, ``gzip`` or ``identity``.

    The first of ``codings`` wins if the client likes several the same.

    A weight of 0 refuses a coding, and ``*`` means all that the header does not name. A member that cannot be
    read is ignored. ``identity`` is also the answer to a client that accepts nothing at all: an answer that it may be
    able to read is better than none.
    """
    weights = _read_weights(accepted)
    others = weights.get("*")
    wanted = {coding: weights.get(coding, others or 0.0) for coding in codings}
    best = max(codings, key=wanted.__getitem__)
    if not wanted[best] or wanted[best] < weights.get(IDENTITY, 0.0):
        return IDENTITY
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


class PieceResponse(SiteResponse):
    """An answer of pieces that are compressed already, by gzip: brotli can't join them."""

    def __init__(self, body: bytes, join_gzip: Callable[[], bytes]) -> None:
        super().__init__(body)
        self.join_gzip = join_gzip


def encode(body: bytes, coding: str, *, for_one: bool) -> bytes:
    """Compress ``body``; ``for_one`` says that this answer is sent to one client only."""
    if coding == "br":
        return cast("bytes", brotli.compress(body, quality=_BR_FOR_ONE if for_one else _BR_FOR_MANY))
    return gzip.compress(body, _GZIP_FOR_ONE if for_one else _GZIP_FOR_MANY, mtime=0)


def _is_worth_it(response: Response) -> bool:
    """Whether the answer is a whole text that is long enough, of success or of failure, and not compressed yet."""
    return (
        response.mimetype in compress.compress_mimetypes_set
        and (200 <= response.status_code < 300 or response.status_code >= 400)
        and response.is_sequence
        and "Content-Encoding" not in response.headers
        and sum(map(len, cast("list[bytes]", response.response))) >= MIN_BYTES
    )


def _compress(response: Response) -> Response:
    """Write the coding that the client likes best. Every answer says that it depends on what the client accepts."""
    add_vary(response, "Accept-Encoding")
    in_pieces = isinstance(response, PieceResponse)
    coding = choose_coding(request.environ.get(_ACCEPT) or "", _CODINGS_OF_PIECES if in_pieces else _CODINGS)
    if coding == IDENTITY or not _is_worth_it(response):
        return response
    if isinstance(response, PieceResponse) and coding == "gzip":
        response.set_data(response.join_gzip())
    else:
        for_one = "public" not in response.headers.get("Cache-Control", "")
        response.set_data(encode(response.get_data(), coding, for_one=for_one))
    response.headers["Content-Encoding"] = coding
    etag, is_weak = response.get_etag()
    if etag and not is_weak:  # the same text in another coding is another body
        response.set_etag(f"{etag}:{coding}")
        response.make_conditional(request)
    return response


def init_app(app: Flask) -> None:
    """Compress every text of 500 bytes and more that is not a stream."""
    app.config.update(COMPRESS_REGISTER=False)  # Flask-Compress compresses no error pages, and all alike
    compress.init_app(app)
    app.after_request(_compress)
