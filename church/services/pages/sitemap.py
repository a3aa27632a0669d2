"""Write the sitemap (sitemaps.org): one file up to 50,000 addresses, beyond that an index of such files.

A file is made when it is first asked for after a change, in batches, so that it takes little memory and no other
request waits for it. It is kept compressed.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import zlib
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol
from xml.sax.saxutils import escape

from church.lib.app_context import app_state
from church.lib.threads import run_off_hub

MOST_ADDRESSES = 50_000  # of one file, by the protocol
BATCH = 1000
_LISTS = ("/", "/pages/", "/video/")
_DECLARATION = '<?xml version="1.0" encoding="utf-8"?>\n'
_XMLNS = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
_KEPT = "sitemaps"  # key in app.extensions
_MOST_KEPT_BYTES = 8 * 1024 * 1024
_GZIP = 16 + zlib.MAX_WBITS

Address = tuple[str, dt.datetime | None]
"""A path on the site, and when what is there was changed last."""


class Source(Protocol):
    """Addresses of one kind."""

    def version(self) -> Hashable:
        """Return what changes with the addresses."""

    def count(self) -> int:
        """Count the addresses."""

    def read(self, start: int) -> Iterator[Sequence[Address]]:
        """Yield the addresses from number ``start`` on, in their order and in batches."""


@dataclass(frozen=True)
class SitemapFile:
    """One file, compressed by gzip; ``size`` is its length as it is, ``digest`` a hash of that."""

    gzipped: bytes
    size: int
    digest: str

    def unpack(self) -> Iterator[bytes]:
        """Yield the file as it is, in pieces."""
        unpacker = zlib.decompressobj(_GZIP)
        rest = self.gzipped
        while rest and not unpacker.eof:
            yield unpacker.decompress(rest, 65_536)
            rest = unpacker.unconsumed_tail


def find_sitemap_file(sources: Sequence[Source], origin: str, number: int | None = None) -> SitemapFile | None:
    """Return the sitemap, or file ``number`` of its index, counted from 1. None if there is no such file.

    Raises what the sources raise.
    """
    versions = tuple(source.version() for source in sources)
    key = (versions, origin, number)
    kept: _Kept = app_state().setdefault(_KEPT, _Kept())
    found = kept.find(key)
    if found is None:
        pieces = _find_pieces(sources, origin, number)
        if pieces is None:
            return None
        found = _pack(pieces)
        kept.keep(key, found)
    return found


def _find_pieces(sources: Sequence[Source], origin: str, number: int | None) -> Iterator[str] | None:
    room = MOST_ADDRESSES - len(_LISTS)  # the same in each file; only the first has the lists
    counts = {source: count for source in sources if (count := source.count())}
    if sum(counts.values()) <= room:
        everything = chain(_lists(), *(source.read(0) for source in counts))
        return _write_urls(everything, origin) if number is None else None
    files = [(source, start) for source, count in counts.items() for start in range(0, count, room)]
    if number is None:
        return iter((_write_index(len(files), origin),))
    if not 1 <= number <= len(files):
        return None
    source, start = files[number - 1]
    return _write_urls(chain(_lists() if number == 1 else (), _take(source.read(start), room)), origin)


def _lists() -> Iterable[Sequence[Address]]:
    return ([(path, None) for path in _LISTS],)


def _take(batches: Iterable[Sequence[Address]], most: int) -> Iterator[Sequence[Address]]:
    for batch in batches:
        yield batch[:most]
        most -= len(batch)
        if most <= 0:
            return


def _write_index(files: int, origin: str) -> str:
    entries = (f"<sitemap><loc>{escape(origin)}/sitemap-{number}.xml</loc></sitemap>" for number in range(1, files + 1))
    return f"{_DECLARATION}<sitemapindex {_XMLNS}>{''.join(entries)}</sitemapindex>"


def _write_urls(batches: Iterable[Sequence[Address]], origin: str) -> Iterator[str]:
    yield f"{_DECLARATION}<urlset {_XMLNS}>"
    for batch in batches:
        yield "".join(_write_url(origin + path, changed) for path, changed in batch)
    yield "</urlset>"


def _write_url(address: str, changed: dt.datetime | None) -> str:
    stamp = f"<lastmod>{write_moment(changed)}</lastmod>" if changed is not None else ""
    return f"<url><loc>{escape(address)}</loc>{stamp}</url>"


def write_moment(moment: dt.datetime) -> str:
    """Return ``moment`` in UTC, to the second."""
    return moment.astimezone(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _pack(pieces: Iterable[str]) -> SitemapFile:
    """Compress the pieces. Each is written and packed off the hub, so that other requests get their turn."""
    packer, digest = zlib.compressobj(6, wbits=_GZIP), hashlib.sha1(usedforsecurity=False)
    packed, size = [], 0

    def pack(piece: str) -> tuple[bytes, int]:
        data = piece.encode()
        digest.update(data)
        return packer.compress(data), len(data)

    for piece in pieces:
        data, length = run_off_hub(pack, piece)
        packed.append(data)
        size += length
    packed.append(packer.flush())
    return SitemapFile(b"".join(packed), size, digest.hexdigest())


class _Kept:
    """The files that were made last, up to some megabytes. One of an older version is not found any more."""

    def __init__(self) -> None:
        self._files: OrderedDict[Hashable, SitemapFile] = OrderedDict()

    def find(self, key: Hashable) -> SitemapFile | None:
        return self._files.get(key)

    def keep(self, key: Hashable, file: SitemapFile) -> None:
        self._files[key] = file
        while len(self._files) > 1 and sum(len(one.gzipped) for one in self._files.values()) > _MOST_KEPT_BYTES:
            self._files.popitem(last=False)


class PageAddresses:
    """The addresses of all pages that are not drafts."""

    def __init__(self, pages: PageEntries) -> None:
        self._pages = pages

    def version(self) -> Hashable:
        """Return what changes with the pages."""
        return self._pages.version()

    def count(self) -> int:
        """Count the pages."""
        return self._pages.sitemap_count()

    def read(self, start: int) -> Iterator[Sequence[Address]]:
        """Yield the addresses of the pages."""
        batch = self._pages.sitemap_entries_at(start, BATCH)
        while batch:
            yield batch
            batch = self._pages.sitemap_entries(batch[-1][0], BATCH) if len(batch) == BATCH else []


class PageEntries(Protocol):
    """What ``PageAddresses`` needs of ``Pages``."""

    def version(self) -> str: ...
    def sitemap_count(self) -> int: ...
    def sitemap_entries(self, after: str | None, limit: int) -> Sequence[Address]: ...
    def sitemap_entries_at(self, offset: int, limit: int) -> Sequence[Address]: ...
