"""The pages at one moment: what is served, what is not and why, and the order of it all."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import unquote

from church.services.pages.front_matter import Page, Stamp


@dataclass(frozen=True)
class Problem:
    """A file of the content folder that is not served, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class TagCount:
    """A tag and how many pages have it."""

    name: str
    count: int


@dataclass(frozen=True)
class File:
    """What one look found of one file."""

    stamp: Stamp
    found: Page | Problem


@dataclass(frozen=True)
class Library:
    """All pages at one moment, newest first. ``modified``: seconds since 1970 of the last change in the folder."""

    pages: tuple[Page, ...] = ()
    problems: tuple[Problem, ...] = ()
    by_slug: Mapping[str, Page] = field(default_factory=lambda: MappingProxyType({}))
    tags: tuple[TagCount, ...] = ()
    modified: float = 0.0
    version: str = ""
    files: Mapping[str, File] = field(default_factory=dict, repr=False)

    def stamp_of(self, path: str) -> Stamp | None:
        """Which state of the file at ``path`` this has seen."""
        file = self.files.get(path)
        return file.stamp if file is not None else None

    def neighbours(self, page: Page) -> tuple[Page | None, Page | None]:
        """The pages just older and just newer than ``page``."""
        at = self.pages.index(page)
        older = self.pages[at + 1] if at + 1 < len(self.pages) else None
        return older, self.pages[at - 1] if at else None


def assemble(files: dict[str, File], drafts: bool, modified: float, version: str) -> Library:
    """The library of the ``files`` of one look; of two with the same address the first by name is served."""
    by_slug: dict[str, Page] = {}
    problems: list[Problem] = []
    for path, file in files.items():
        if isinstance(file.found, Problem):
            problems.append(file.found)
        elif file.found.slug in by_slug:
            problems.append(Problem(path, f"{by_slug[file.found.slug].stamp.path} has the same address"))
        elif drafts or not file.found.draft:
            by_slug[file.found.slug] = file.found
    pages = tuple(sorted(by_slug.values(), key=lambda page: (-page.date.toordinal(), page.slug)))
    counted = Counter(tag for page in pages for tag in page.tags)
    return Library(
        pages=pages,
        problems=tuple(problems),
        by_slug=MappingProxyType(by_slug),
        tags=tuple(TagCount(name, count) for name, count in sorted(counted.items())),
        modified=modified,
        version=version,
        files=files,
    )


_TRAVERSAL = re.compile(r"\.\.|[\\\x00\ufffd]|^/|//")
_WIDE = re.compile(r"%u([0-9a-f]{4})", re.IGNORECASE)  # JavaScript's escape(), which IIS decodes
_ROUNDS = 8
_MOST_READ = 2000


def looks_like_traversal(slug: str) -> bool:
    """Whether somebody tries to leave the pages: dots, backslashes, NUL, overlong UTF-8, however they are encoded.

    Full-width forms are read as what they stand for. What is still encoded after eight rounds is an attempt as well.
    """
    text = unicodedata.normalize("NFKC", slug[:_MOST_READ])
    for _ in range(_ROUNDS):
        if _TRAVERSAL.search(text):
            return True
        decoded = unicodedata.normalize("NFKC", unquote(_WIDE.sub(lambda code: chr(int(code[1], 16)), text)))
        if decoded == text:
            return False
        text = decoded
    return True
