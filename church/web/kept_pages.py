"""Pages and parts of pages that are rendered once and kept, with holes for what is a visitor's own.

A page that shows an article is the same for all members who may read it, except for the visitor's name and the token
of a form. It is rendered once, with marks in their places, and cut at the marks; each visitor gets the pieces with
their own values between them. The pieces are compressed once, too: gzip allows to join them, brotli does not. A page
about the visitor has more such values, which its view calls ``own``.

Nothing leaks from one visitor to another, by construction. A page is kept by everything that its template is given:
the text that this visitor may read, their kind, the address, and the version of the static files. A visitor who may
read less is given less, and so finds another page, or none. While a page is rendered to be kept, its template sees a
``Kind`` in place of the visitor, which has no name, no email and no number.
"""

from __future__ import annotations

import re
import secrets
import struct
import sys
import zlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from flask import current_app, g, make_response, render_template, request, session
from markupsafe import Markup, escape

from church.web import csrf, identity
from church.web.compression import MIN_BYTES, PieceResponse

if TYPE_CHECKING:
    from flask import Flask, Response

    from church.services.sessions import SignedIn

_EXTENSION = "kept_pages"
_MOST_BYTES = 8 * 1024 * 1024  # of all that is kept in a worker
_MOST_BYTES_OF_ONE = 256 * 1024
_SECRET = secrets.token_hex(16)  # no text of the site can have it
_HOLE = re.compile(rf"{_SECRET}-([a-z_]+)-")
_NAME, _TOKEN = f"{_SECRET}-name-", f"{_SECRET}-token-"
_LONGEST_BLOCK = 0xFFFF  # bytes of a block of deflate that is not compressed
_SMALL_PRINT = ("/pages/terms", "/pages/privacy")  # which the footer links where they exist
_SETTINGS = ("site_name", "site_url", "payments_enabled", "brand")
_GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
_GZIP_END = b"\x03\x00"  # an empty last block
_RENDERING = "keeps_page"
_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Kind:
    """What a kept page may know of its visitor: everything that is the same for many of them."""

    verified: bool
    premium: bool
    is_admin: bool
    name: str = _NAME

    @property
    def is_member(self) -> bool:
        """Whether their address is confirmed."""
        return self.verified


class KeptPage:
    """A text in pieces, with a hole between each two of them."""

    def __init__(self, text: str) -> None:
        parts = _HOLE.split(text)
        self.pieces = tuple(part.encode() for part in parts[::2])
        self.holes = tuple(parts[1::2])
        self.size = 2 * sum(map(len, self.pieces))  # with the compressed ones, without what it is kept by
        self._compressed: tuple[bytes, ...] = ()

    def fill(self, values: Mapping[str, bytes]) -> bytes:
        """Return the whole text, with ``values`` in the holes."""
        if not self.holes:
            return self.pieces[0]
        return b"".join(_interleave(self.pieces, [values[hole] for hole in self.holes]))

    def fill_gzip(self, values: Mapping[str, bytes], whole: bytes) -> bytes:
        """Return ``whole``, which ``fill`` returned for these ``values``, as gzip: the pieces are compressed once."""
        if not self._compressed:
            self._compressed = tuple(_deflate(piece) for piece in self.pieces)
        filled = _interleave(self._compressed, [_store(values[hole]) for hole in self.holes])
        return b"".join([_GZIP_HEAD, *filled, _GZIP_END, struct.pack("<LL", zlib.crc32(whole), len(whole))])


def _interleave(pieces: tuple[bytes, ...], between: list[bytes]) -> list[bytes]:
    joined = [b""] * (2 * len(pieces) - 1)
    joined[::2], joined[1::2] = pieces, between
    return joined


def _deflate(piece: bytes) -> bytes:
    """Compress a piece so that it begins and ends with a whole byte and refers to nothing before it."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return compressor.compress(piece) + compressor.flush(zlib.Z_FULL_FLUSH)


def _store(value: bytes) -> bytes:
    """Blocks of deflate that are not compressed (RFC 1951, 3.2.4)."""
    if len(value) > _LONGEST_BLOCK:
        return _store(value[:_LONGEST_BLOCK]) + _store(value[_LONGEST_BLOCK:])
    return struct.pack("<BHH", 0, len(value), len(value) ^ 0xFFFF) + value


class KeptPages:
    """The kept pages of a worker. Beyond ``room`` bytes, drops those that were not used for the longest time."""

    def __init__(self, room: int = _MOST_BYTES) -> None:
        self._room = room
        self._size = 0
        self._kept: OrderedDict[Hashable, KeptPage] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, key: Hashable, render: Callable[[], str]) -> KeptPage:
        """Return the page at ``key``; ``render`` makes it, once."""
        page = self._kept.get(key)
        if page is not None:
            self._kept.move_to_end(key)
            return page
        page = KeptPage(render())
        page.size += sys.getsizeof(repr(key))  # visitors choose addresses, and texts that nothing else has may be in it
        if page.size <= _MOST_BYTES_OF_ONE and key not in self._kept:  # another greenlet may have rendered it, too
            self._kept[key] = page
            self._size += page.size
            while self._size > self._room:
                self._size -= self._kept.popitem(last=False)[1].size
        return page


# -- whole pages ------------------------------------------------------------------------------------------------------


def answer_page(template: str, own: Mapping[str, str] = _NOTHING, /, **context: Hashable) -> Response:
    """Answer with a page that is the same for all visitors of a kind who are given the same ``context``.

    The template may use the context, ``viewer``, ``request.path``, ``csrf_token()`` and the globals that stay as they
    are while the process runs, and nothing else of the request. The visitor's ``own`` values, named by small letters,
    it can show, but not ask for: while it is rendered, each is a mark.
    """
    if _has_messages():
        return make_response(render_template(template, **own, **context))
    viewer = identity.viewer()
    kind = _kind_of(viewer)
    key = (template, request.path, kind, _find_look(), tuple(own), tuple(context.items()))
    page = _pages().find(key, lambda: _render_marked(template, kind, _marks_of(own) | context))
    values = _values_for(page.holes, name=_name_of(viewer), **own)
    body = page.fill(values)
    if not page.holes or len(body) < MIN_BYTES:
        return make_response(body)
    return PieceResponse(body, lambda: page.fill_gzip(values, body))


def _has_messages() -> bool:
    """Whether the visitor has a message to read, which is on no kept page."""
    return "HTTP_COOKIE" in request.environ and "_flashes" in session


def _render_marked(template: str, kind: Kind | None, context: dict[str, Any]) -> str:
    """Render a page for nobody in particular."""
    path = SimpleNamespace(path=request.path, url_rule=request.url_rule, cookies={})
    return _render(template, context | {"viewer": kind, "request": path, "session": None, "g": None})


def _render(template: str, context: dict[str, Any]) -> str:
    """Render a template whose ``csrf_token()`` is a mark."""
    nested = _RENDERING in g
    setattr(g, _RENDERING, True)
    try:
        return current_app.jinja_env.get_template(template).render(context)
    finally:
        if not nested:
            g.pop(_RENDERING, None)


def _marks_of(own: Mapping[str, str]) -> dict[str, Any]:
    return {name: f"{_SECRET}-{name}-" for name in own}


def _kind_of(viewer: SignedIn | Kind | None) -> Kind | None:
    return None if viewer is None else Kind(viewer.verified, viewer.premium, viewer.is_admin)


def _find_look() -> tuple[Hashable, ...]:
    """Return what every page depends on beside what its view gives it."""
    has_page = cast("Callable[[str], bool]", current_app.jinja_env.globals["has_page"])
    linked = tuple([has_page(path) for path in _SMALL_PRINT])
    return *_find_settings(), current_app.extensions["assets"].find_version(), linked


def _find_settings() -> tuple[Hashable, ...]:
    """Return the settings that every page shows, and the year."""
    known = current_app.jinja_env.globals
    find_year = cast("Callable[[], int]", known["current_year"])
    return *[known[name] for name in _SETTINGS], find_year()


def _name_of(viewer: SignedIn | None) -> str:
    return (viewer.name if viewer is not None else "") or "Account"


def _values_for(holes: tuple[str, ...], **own: str) -> dict[str, bytes]:
    """Return what goes into the ``holes`` of a page for this visitor: their ``own`` values, and the token of a form."""
    if "token" in holes:
        own["token"] = csrf.make_token()
    return {name: escape(value).encode() for name, value in own.items()}


# -- parts of pages ---------------------------------------------------------------------------------------------------


def _layout_part(template: str, viewer: SignedIn | Kind | None, here: str) -> Markup:
    """Render a part of the layout, which depends on the kind of visitor and on the address alone."""
    kind = _kind_of(viewer)
    context = {"person": kind, "here": here, "token": _TOKEN}
    if isinstance(viewer, Kind):  # the page is rendered to be kept, and its part has the same holes
        return Markup(_render(template, context))  # noqa: S704 - the template escapes
    part = _pages().find((template, here, kind, _find_settings()), lambda: _render(template, context))
    return _fill_part(part, name=_name_of(viewer))


def render_part(template: str, own: Mapping[str, str], **context: Hashable) -> Markup:
    """Render a part of a page that is the same for all who are given the same ``context``, except their ``own`` values.

    The template is given nothing else. For ``own`` see ``answer_page``.
    """
    key = (template, _find_settings(), tuple(own), tuple(context.items()))
    part = _pages().find(key, lambda: _render(template, _marks_of(own) | context))
    return _fill_part(part, **own)


def _fill_part(part: KeptPage, **own: str) -> Markup:
    return Markup(part.fill(_values_for(part.holes, **own)).decode())  # noqa: S704 - filled with escaped values


def _make_token() -> str:
    """The token of a form, or its mark while a page is rendered to be kept."""
    return _TOKEN if _RENDERING in g else csrf.make_token()


def _pages() -> KeptPages:
    pages: KeptPages = current_app.extensions[_EXTENSION]
    return pages


def init_app(app: Flask) -> None:
    """Offer ``layout_part`` and ``csrf_token`` to the templates."""
    app.extensions[_EXTENSION] = KeptPages()
    app.jinja_env.globals.update(layout_part=_layout_part, csrf_token=_make_token)
