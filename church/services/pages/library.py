"""All pages of the content folder at one version, by look-ups in their rows: no method walks them all."""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import unquote

from church.services.access import Access
from church.services.pages.folder import FileProblem
from church.services.pages.front_matter import FileVersion, PageFacts
from church.services.pages.rows import PageRows, marks, path_at
from church.services.pages.times import from_number
from church.services.pages.update import BETWEEN_TAGS, PUBLISHED, UNPUBLISHED

_MOST_KEPT = 2000  # pages that are looked up
_AT_ONCE = 500  # values in one statement
_COLUMNS = (
    "place, mtime_ns, size, ctime_ns, inode, slug, title, summary, age, updated, access, tags, draft, minutes, opens, "
    "to_come, digest"
)
_SELECT = f"SELECT {_COLUMNS} FROM files"  # noqa: S608 - our own names
# A column with + is one that no index serves, so that SQLite takes the index that is meant.


@dataclass(frozen=True)
class TagCount:
    """A tag and how many pages have it."""

    name: str
    count: int


@dataclass(frozen=True)
class MonthCount:
    """A month and how many pages are of it."""

    year: int
    month: int
    count: int


@dataclass(frozen=True)
class LibraryPart:
    """Some pages of a list in their order, and whether there are more on either side."""

    pages: tuple[PageFacts, ...]
    has_newer: bool
    has_older: bool


Neighbours = tuple[PageFacts | None, PageFacts | None]
"""The pages just older and just newer than one."""


@dataclass(frozen=True)
class Library:
    """All pages at one version, newest first. ``modified``: seconds since 1970 of the last change in the folder.

    Published are the pages that everyone knows of. Unpublished are drafts and pages to come, which only admins may
    see; lists, feeds and the search index are made of the published. ``turns_at`` is when the next page opens, or
    another time of a page comes. ``is_complete``: whether the whole folder was read once.
    """

    rows: PageRows
    version: int = 0
    count: int = 0
    modified: float = 0.0
    turns_at: float | None = None
    is_complete: bool = False
    _found: dict[tuple[str, bool], PageFacts | None] = field(default_factory=dict, repr=False, compare=False)
    _beside: dict[tuple[int, str], Neighbours] = field(default_factory=dict, repr=False, compare=False)

    # -- one page -----------------------------------------------------------------------------------------------------

    def find(self, slug: str, *, unpublished: bool = False) -> PageFacts | None:
        """Find the page at ``slug``, on request an unpublished one too."""
        key = slug, unpublished
        if key not in self._found:
            if len(self._found) >= _MOST_KEPT:
                self._found.clear()
            states = (PUBLISHED, UNPUBLISHED) if unpublished else (PUBLISHED,)
            pages = self._pages(f"{_SELECT} WHERE slug = ? AND +state IN ({marks(states)})", slug, *states)
            self._found[key] = pages[0] if pages else None
        return self._found[key]

    def find_all(self, slugs: Sequence[str]) -> dict[str, PageFacts]:
        """Find the published pages at ``slugs``."""
        found: dict[str, PageFacts] = {}
        for at in range(0, len(slugs), _AT_ONCE):
            some = slugs[at : at + _AT_ONCE]
            wanted = f"{_SELECT} WHERE slug IN ({marks(some)}) AND +state = ?"
            found |= {page.slug: page for page in self._pages(wanted, *some, PUBLISHED)}
        return found

    def neighbours(self, page: PageFacts) -> Neighbours:
        """Return the pages just older and just newer than ``page``; none for an unpublished one."""
        if self.find(page.slug) is None:
            return None, None
        place = -page.date.toordinal(), page.slug
        if place not in self._beside:
            if len(self._beside) >= _MOST_KEPT:
                self._beside.clear()
            self._beside[place] = self._find_beside(*place)
        return self._beside[place]

    def _find_beside(self, age: int, slug: str) -> Neighbours:
        older = self._pages(f"{_SELECT} WHERE state = 1 AND (age, slug) > (?, ?) ORDER BY age, slug LIMIT 1", age, slug)
        newer = self._pages(
            f"{_SELECT} WHERE state = 1 AND (age, slug) < (?, ?) ORDER BY age DESC, slug DESC LIMIT 1", age, slug
        )
        return (older[0] if older else None), (newer[0] if newer else None)

    # -- lists --------------------------------------------------------------------------------------------------------

    def newest(self, limit: int, *, access: Access | None = None, drafts: bool = True) -> list[PageFacts]:
        """List the newest published pages, of one level or of all; in development without its drafts on request."""
        which = "state = 1 AND access = ?" if access else "state = 1"
        which += "" if drafts else " AND draft = 0"
        values = [access.value] if access else []
        return self._pages(f"{_SELECT} WHERE {which} ORDER BY age, slug LIMIT ?", *values, limit)

    def part(
        self,
        place: tuple[int, str] | None,
        limit: int,
        *,
        tag: str | None = None,
        back: bool = False,
        all_states: bool = False,
    ) -> LibraryPart:
        """List the ``limit`` pages after ``place`` in the list (age and slug), or with ``back`` those before it."""
        states = (PUBLISHED, UNPUBLISHED) if all_states else (PUBLISHED,)
        found = [page for state in states for page in self._of_state(state, place, limit + 1, tag=tag, back=back)]
        ordered = sorted(found, key=lambda page: (-page.date.toordinal(), page.slug), reverse=back)
        shown = tuple(ordered[:limit])
        more = len(ordered) > limit
        if back:
            return LibraryPart(shown[::-1], more, place is not None)
        return LibraryPart(shown, place is not None and self._has_before(place, tag, states), more)

    def _of_state(
        self, state: int, place: tuple[int, str] | None, limit: int, *, tag: str | None, back: bool
    ) -> list[PageFacts]:
        table = "tags" if tag is not None else "files"
        which: list[str] = [f"{table}.state = ?"]
        values: list[object] = [state]
        if tag is not None:
            which.append("tags.name = ?")
            values.append(tag)
        if place is not None:
            which.append(f"({table}.age, {table}.slug) {'<' if back else '>'} (?, ?)")
            values += place
        order = f"ORDER BY {table}.age DESC, {table}.slug DESC" if back else f"ORDER BY {table}.age, {table}.slug"
        columns = ", ".join(f"files.{name}" for name in _COLUMNS.split(", "))
        joined = "tags JOIN files ON files.id = tags.file" if tag is not None else "files"
        wanted = " AND ".join(which)
        return self._pages(f"SELECT {columns} FROM {joined} WHERE {wanted} {order} LIMIT ?", *values, limit)  # noqa: S608 - our own names

    def _has_before(self, place: tuple[int, str], tag: str | None, states: Iterable[int]) -> bool:
        # The place is that of the page before this part, so that there is one unless it has gone.
        return any(self._of_state(state, (place[0], place[1] + "\0"), 1, tag=tag, back=True) for state in states)

    def count_with(self, tag: str | None) -> int:
        """Count the published pages, those with ``tag`` or all."""
        return self.count if tag is None else self._tag_counts.get(tag, 0)

    def count_unpublished(self, tag: str | None = None) -> int:
        """Count the unpublished pages, those with ``tag`` or all."""
        if tag is None:
            return int(self.rows.read("SELECT count(*) FROM files WHERE state = 2")[0][0])
        return int(self.rows.read("SELECT count(*) FROM tags WHERE state = 2 AND name = ?", tag)[0][0])

    @cached_property
    def tags(self) -> tuple[TagCount, ...]:
        """The tags of the published pages by name."""
        found = self.rows.read("SELECT name, count FROM tag_counts")
        return tuple(TagCount(name, count) for name, count in sorted(found))

    @cached_property
    def _tag_counts(self) -> dict[str, int]:
        return {tag.name: tag.count for tag in self.tags}

    def months(self, tag: str | None = None) -> tuple[MonthCount, ...]:
        """Count the published pages of each month, newest first."""
        if tag is None:
            days = self.rows.read("SELECT age, count(*) FROM files WHERE state = 1 GROUP BY age")
        else:
            days = self.rows.read("SELECT age, count(*) FROM tags WHERE state = 1 AND name = ? GROUP BY age", tag)
        counts: dict[tuple[int, int], int] = {}
        for age, count in days:
            day = dt.date.fromordinal(-age)
            counts[day.year, day.month] = counts.get((day.year, day.month), 0) + count
        return tuple(MonthCount(*month, count) for month, count in sorted(counts.items(), reverse=True))

    def unpublished(self, limit: int = -1) -> list[PageFacts]:
        """List the unpublished pages, newest first."""
        return self._pages(f"{_SELECT} WHERE state = 2 ORDER BY age, slug LIMIT ?", limit)

    def to_come(self, limit: int = -1) -> list[PageFacts]:
        """List the unpublished pages that open by themselves, the next one first."""
        return self._pages(
            f"{_SELECT} INDEXED BY files_opens WHERE state = 2 AND to_come = 1 ORDER BY opens LIMIT ?", limit
        )

    def count_to_come(self) -> int:
        """Count the unpublished pages that open by themselves."""
        return int(
            self.rows.read("SELECT count(*) FROM files INDEXED BY files_opens WHERE state = 2 AND to_come = 1")[0][0]
        )

    def next_opening(self) -> dt.datetime | None:
        """Return when the next page opens."""
        (found,) = self.rows.read("SELECT min(opens) FROM files INDEXED BY files_opens WHERE state = 2 AND to_come = 1")
        return None if found[0] is None else from_number(found[0])

    def by_slug(self, after: str | None, limit: int) -> list[PageFacts]:
        """List published pages by slug, from that after ``after``."""
        return self._pages(f"{_SELECT} WHERE +state = 1 AND slug > ? ORDER BY slug LIMIT ?", after or "", limit)

    def without_drafts(self, after: str | None, limit: int, offset: int = 0) -> list[PageFacts]:
        """List published pages that are no drafts by slug, from that after ``after``, or after ``offset`` others."""
        which = "+state = 1 AND draft = 0 AND slug > ?"
        return self._pages(f"{_SELECT} WHERE {which} ORDER BY slug LIMIT ? OFFSET ?", after or "", limit, offset)

    def count_without_drafts(self) -> int:
        """Count the published pages that are no drafts."""
        return int(self.rows.read("SELECT count(*) FROM files WHERE state = 1 AND draft = 0")[0][0])

    # -- pictures -----------------------------------------------------------------------------------------------------

    def shows(self, picture: str) -> list[PageFacts]:
        """List the pages, also the unpublished, that show ``picture``, as of their last index."""
        columns = ", ".join(f"files.{name}" for name in _COLUMNS.split(", "))
        return self._pages(
            f"SELECT {columns} FROM pictures JOIN files ON files.id = pictures.file "  # noqa: S608 - our own names
            "WHERE pictures.path = ? AND state > 0 AND rendered = digest",
            picture,
        )

    def may_show(self, word: str) -> list[PageFacts]:
        """List the pages that were not indexed since they changed and have ``word`` where they show pictures."""
        return self._pages(
            f"{_SELECT} WHERE picture_lines IS NOT NULL AND rendered IS NOT digest AND state > 0 "
            "AND instr(picture_lines, ?) > 0",
            word,
        )

    # -- problems -----------------------------------------------------------------------------------------------------

    def problems(self, limit: int = -1) -> tuple[FileProblem, ...]:
        """List the files that are not served, by path, each with the reason."""
        return tuple(problem for problem, _ in self.problem_versions(limit))

    def problem_versions(self, limit: int = -1) -> list[tuple[FileProblem, FileVersion]]:
        """List the files that are not served, each with the version of the file."""
        found = self.rows.read(
            "SELECT place, coalesce(problem, clash), mtime_ns, size FROM files "
            "WHERE problem IS NOT NULL OR clash IS NOT NULL ORDER BY place LIMIT ?",
            limit,
        )
        return [
            (FileProblem(path_at(place), reason), FileVersion(path_at(place), mtime_ns, size))
            for place, reason, mtime_ns, size in found
        ]

    def count_problems(self) -> int:
        """Count the files that are not served."""
        found = self.rows.read("SELECT count(*) FROM files WHERE problem IS NOT NULL OR clash IS NOT NULL")
        return int(found[0][0])

    def _pages(self, statement: str, *values: object) -> list[PageFacts]:
        return [_make_page(row) for row in self.rows.read(statement, *values)]


def _make_page(row: tuple[Any, ...]) -> PageFacts:
    place, *file, slug, title, summary, age, updated, access, tags, draft, minutes, opens, to_come, digest = row
    return PageFacts(
        stamp=FileVersion(path_at(place), *file[:2]),
        file=tuple(file),
        slug=slug,
        title=title,
        summary=summary,
        date=dt.date.fromordinal(-age),
        updated=from_number(updated),
        access=Access(access),
        tags=tuple(tags.split(BETWEEN_TAGS)) if tags else (),
        draft=bool(draft),
        minutes=minutes,
        opens=from_number(opens) if opens is not None else None,
        to_come=bool(to_come),
        digest=digest,
    )


def load_library(rows: PageRows) -> Library:
    """Load what is known of all pages together."""
    facts = dict(rows.read("SELECT name, value FROM facts"))
    return Library(
        rows,
        version=facts.get("version", 0),
        count=facts.get("count", 0),
        modified=facts.get("modified") or 0.0,
        turns_at=facts.get("turns_at"),
        is_complete=facts.get("complete") == 1,
    )


_TRAVERSAL = re.compile(r"\.\.|[\\\x00\ufffd]|^/|//")
_WIDE = re.compile(r"%u([0-9a-f]{4})", re.IGNORECASE)  # JavaScript's escape(), which IIS decodes
_ROUNDS = 8
_MOST_READ = 2000


def looks_like_traversal(slug: str) -> bool:
    """Whether a slug tries to leave the content folder: dots, backslashes, NUL, overlong UTF-8, in any encoding.

    Full-width characters count as their plain forms. So does a slug that is still encoded after eight rounds.
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
