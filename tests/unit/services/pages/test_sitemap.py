"""The sitemap: one file, or an index of files with every address once; made once per change, in batches."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from xml.etree import ElementTree as ET

import pytest
from flask import Flask

from church.services.pages import sitemap
from church.services.pages.sitemap import Address, PageAddresses, SitemapFile, find_sitemap_file

ORIGIN = "https://church.example"
DAY = dt.datetime(2026, 3, 4, 5, 6, 7, 8, tzinfo=dt.timezone(dt.timedelta(hours=2)))
LISTS = ["/", "/pages/", "/video/"]


class Numbers:
    """Addresses that are numbers, read three at once."""

    def __init__(self, kind: str, count: int) -> None:
        self.kind, self.most, self.changes = kind, count, 0
        self.reads: list[int] = []

    def version(self) -> int:
        return self.changes

    def count(self) -> int:
        return self.most

    def read(self, start: int) -> Iterator[Sequence[Address]]:
        self.reads.append(start)
        for first in range(start, self.most, 3):
            yield [(f"/{self.kind}/{n}", DAY) for n in range(first, min(first + 3, self.most))]


@pytest.fixture(autouse=True)
def _app() -> Iterator[None]:
    with Flask("test").app_context():
        yield


def read(file: SitemapFile | None) -> ET.Element:
    assert file is not None
    data = b"".join(file.unpack())
    assert len(data) == file.size
    return ET.fromstring(data)


def paths(file: SitemapFile | None) -> list[str]:
    return [(loc.text or "").removeprefix(ORIGIN) for loc in read(file).iterfind("{*}url/{*}loc")]


def test_small_sitemap_is_one_file_with_dates() -> None:
    sources = [Numbers("pages", 2), Numbers("video", 1), Numbers("none", 0)]
    root = read(find_sitemap_file(sources, ORIGIN))
    assert paths(find_sitemap_file(sources, ORIGIN)) == [*LISTS, "/pages/0", "/pages/1", "/video/0"]
    assert [mod.text for mod in root.iterfind("{*}url/{*}lastmod")] == ["2026-03-04T03:06:07Z"] * 3
    assert find_sitemap_file(sources, ORIGIN, 1) is None
    assert sources[2].reads == []


@pytest.mark.parametrize("most", [4, 5, 7, 8])
def test_large_sitemap_is_an_index_of_files_with_every_address_once(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(sitemap, "MOST_ADDRESSES", most)
    sources = [Numbers("pages", 7), Numbers("video", 5)]
    index = read(find_sitemap_file(sources, ORIGIN))
    names = [(loc.text or "").removeprefix(ORIGIN) for loc in index.iterfind("{*}sitemap/{*}loc")]
    assert names == [f"/sitemap-{number}.xml" for number in range(1, len(names) + 1)]
    files = [paths(find_sitemap_file(sources, ORIGIN, number)) for number in range(1, len(names) + 1)]
    assert all(len(file) <= most for file in files)
    everything = [*LISTS, *(f"/pages/{n}" for n in range(7)), *(f"/video/{n}" for n in range(5))]
    assert [path for file in files for path in file] == everything
    for number in (0, -1, len(names) + 1):
        assert find_sitemap_file(sources, ORIGIN, number) is None


def test_file_is_made_once_per_change(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Numbers("pages", 4)
    for _ in range(3):
        assert len(paths(find_sitemap_file([source], ORIGIN))) == 7
    assert source.reads == [0]
    source.most, source.changes = 5, 1
    assert len(paths(find_sitemap_file([source], ORIGIN))) == 8
    assert source.reads == [0, 0]
    monkeypatch.setattr(sitemap, "_MOST_KEPT_BYTES", 0)
    source.changes = 2
    find_sitemap_file([source], ORIGIN)
    source.changes = 0  # long ago: it was dropped
    find_sitemap_file([source], ORIGIN)
    assert source.reads == [0, 0, 0, 0]


def test_addresses_of_pages_are_read_in_batches_from_any_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sitemap, "BATCH", 2)

    class Entries:
        entries: Sequence[Address] = [(f"/pages/{n}", DAY) for n in range(5)]

        def version(self) -> str:
            return "1"

        def sitemap_count(self) -> int:
            return 5

        def sitemap_entries(self, after: str | None, limit: int) -> Sequence[Address]:
            assert after is not None
            return [entry for entry in self.entries if entry[0] > after][:limit]

        def sitemap_entries_at(self, offset: int, limit: int) -> Sequence[Address]:
            return self.entries[offset : offset + limit]

    pages = PageAddresses(Entries())
    for start in range(6):
        read_ = [entry for batch in pages.read(start) for entry in batch]
        assert read_ == Entries.entries[start:]
