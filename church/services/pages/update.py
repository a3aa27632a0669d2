"""Bring the rows up to date with the content folder: read the files that changed, and write what lists need of them."""

from __future__ import annotations

import datetime as dt
import os
import re
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from church.models.base import utc_now
from church.services.pages.folder import (
    NO_STAMP,
    FileProblem,
    FoundFile,
    KnownFolder,
    SeenFolder,
    Stamp,
    Walk,
    find_stamp,
    folder_of,
    read_file,
    walk_folder,
)
from church.services.pages.front_matter import Page
from church.services.pages.pictures.files import SUFFIXES
from church.services.pages.rows import PageRows, join_paths, path_at, place_of
from church.services.pages.times import find_change, find_times, from_number, to_number

PUBLISHED, UNPUBLISHED, HIDDEN = 1, 2, 0
BETWEEN_TAGS = "\n"
_BATCH = 200  # files in a transaction
_TELL_SECONDS = 1.0  # between two new versions while an update goes on
_SETTLED = 2_000_000_000  # ns; a folder that has just changed may change again without another mtime
_PICTURES = re.compile("|".join(re.escape(suffix[1:]) for suffix in SUFFIXES), re.IGNORECASE)
_COLUMNS = (
    "folder", "mtime_ns", "size", "ctime_ns", "inode", "slug", "access", "draft", "to_come", "problem", "title",
    "summary", "updated", "tags", "minutes", "opens", "day", "age", "digest", "changed", "turns_at", "picture_lines",
)  # fmt: skip
_STORE = (
    f"INSERT INTO files (place, {', '.join(_COLUMNS)}) VALUES (?{', ?' * len(_COLUMNS)}) "  # noqa: S608 - our own names
    f"ON CONFLICT (place) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _COLUMNS)}, clash = NULL"
)


@dataclass
class Update:
    """One update of ``rows`` from the folder ``root``.

    ``on_version`` gets each version once it is stored, ``on_folder`` each folder before it is listed. After
    ``most_seconds`` of reading the update ends unfinished; the next one goes on from there.
    """

    rows: PageRows
    root: Path
    drafts: bool
    now: Callable[[], dt.datetime] = utc_now
    on_version: Callable[[int], None] = lambda _version: None
    on_folder: Callable[[str, str], None] = lambda _root, _path: None
    most_seconds: float | None = None
    is_unfinished: bool = False
    _found: list[tuple[str, FoundFile]] = field(default_factory=list)  # with the folder
    _gone: list[bytes] = field(default_factory=list)
    _folders: list[SeenFolder] = field(default_factory=list)
    _told_at: float = 0.0
    _begun: float = field(default_factory=time.monotonic)
    _has_changed: bool = False

    def settle_all(self) -> None:
        """Decide anew which pages are published, for rows that were made with drafts or without."""
        with self.rows.write() as connection:
            slugs = {slug for (slug,) in connection.execute("SELECT slug FROM files WHERE slug IS NOT NULL")}
            _settle_slugs(connection, slugs, drafts=self.drafts)
            _store_version(connection)

    def look_at_all(self) -> bool:
        """Compare every file with its row. Returns whether pages changed. Raises OSError, sqlite3.Error."""
        return self._walk(lambda _path, _stamp: True)

    def look_at_folders(self) -> bool:
        """Compare the files of those folders that have changed: finds no file that was changed in place."""
        root = os.path.realpath(self.root)
        return self._walk(lambda path, stamp: _find_stamp(root, path) != stamp)

    def look_at_some(self, folders: Collection[str], files: Collection[str] = ()) -> bool:
        """Compare the files of ``folders``, and the single ``files``, whose content is read in any case."""
        root = os.path.realpath(self.root)
        for path in files:
            self._look_at_file(root, path)
            self._flush_if_full(root)
        return self._walk(lambda path, _stamp: path in folders)

    def _look_at_file(self, root: str, path: str) -> None:
        if find_stamp(root, path) is None:
            self._gone.append(place_of(path))
            return
        found = read_file(root, path)
        row = self.rows.read(
            "SELECT mtime_ns, size, ctime_ns, inode, digest FROM files WHERE place = ?", place_of(path)
        )
        digest = found.found.digest if isinstance(found.found, Page) else None
        if not row or (Stamp(*row[0][:4]), row[0][4]) != (found.stamp, digest):
            self._found.append((folder_of(path), found))

    # -- the walk -----------------------------------------------------------------------------------------------------

    def _walk(self, is_due: Callable[[str, Stamp | None], bool]) -> bool:
        root = os.path.realpath(self.root)
        known = _load_folders(self.rows)
        is_new = self._fact("root") != root
        walk = Walk(root, {} if is_new else known, is_due, lambda path: self.on_folder(root, path))
        seen = set()
        for folder in walk_folder(walk):
            seen.add(folder.path)
            if folder.files is not None:
                self._compare(root, folder)
                if self.is_unfinished:
                    return self._has_changed
                before = known.get(folder.path, KnownFolder())
                if (before.stamp, before.pictures) != (folder.stamp, folder.pictures):
                    self._folders.append(folder)
        for path in known.keys() - seen:
            self._gone += [place for (place,) in self._files_of(path)]
            self._has_changed = True
        self._store(root, is_last=True, gone_folders=known.keys() - seen)
        return self._has_changed

    def _compare(self, root: str, folder: SeenFolder) -> None:
        files = folder.files or {}
        known = {
            path_at(place): (Stamp(*stamp), problem)
            for place, problem, *stamp in self.rows.read(
                "SELECT place, problem, mtime_ns, size, ctime_ns, inode FROM files WHERE folder = ?",
                place_of(folder.path),
            )
        }
        self._gone += [place_of(path) for path in known.keys() - files.keys()]
        for path, now in files.items():
            if isinstance(now, FileProblem):
                if known.get(path) != (NO_STAMP, now.reason):
                    self._found.append((folder.path, FoundFile(path, NO_STAMP, now)))
            elif path not in known or known[path][0] != now:
                self._found.append((folder.path, _keep_stamp(read_file(root, path), now)))
            self._flush_if_full(root)
            if self.is_unfinished:
                return

    def _files_of(self, folder: str) -> list[tuple[bytes]]:
        return self.rows.read("SELECT place FROM files WHERE folder = ?", place_of(folder))

    def _fact(self, name: str) -> object:
        found = self.rows.read("SELECT value FROM facts WHERE name = ?", name)
        return found[0][0] if found else None

    # -- storing ------------------------------------------------------------------------------------------------------

    def _flush_if_full(self, root: str) -> None:
        if len(self._found) < _BATCH:
            return
        has_time = self.most_seconds is None or time.monotonic() - self._begun < self.most_seconds
        self.is_unfinished = not has_time
        self._store(root, is_last=False)

    def _store(self, root: str, *, is_last: bool, gone_folders: Iterable[str] = ()) -> None:
        now = self.now()
        due = self.rows.read("SELECT 1 FROM files WHERE turns_at <= ? LIMIT 1", now.timestamp())
        is_new = is_last and (self._fact("root") != root or self._fact("complete") != 1)
        if not (self._found or self._gone or self._folders or due or is_new):
            return
        version = 0
        with self.rows.write() as connection:
            slugs = {*_remove_files(connection, self._gone), *_store_files(connection, self._found, now)}
            slugs |= _turn_files(connection, now)
            _settle_slugs(connection, slugs, drafts=self.drafts)
            has_pictures = _store_folders(connection, self._folders, gone_folders, now)
            self._has_changed |= bool(slugs or self._found or self._gone or has_pictures or is_new)
            if is_last:
                _set_facts(connection, {"root": root, "complete": 1})
            is_due = is_last or self.is_unfinished or time.monotonic() - self._told_at >= _TELL_SECONDS
            if self._has_changed and is_due:
                version = _store_version(connection)
        self._found, self._gone, self._folders = [], [], []
        if version:
            self._told_at = time.monotonic()
            self.on_version(version)


def _find_stamp(root: str, path: str) -> Stamp | None:
    with suppress(OSError):
        return Stamp.of(os.stat(os.path.join(root, path)))
    return None


def _keep_stamp(file: FoundFile, seen: Stamp) -> FoundFile:
    """Give a file that could not be read the stamp of the walk, so that it is read again when that changes."""
    return file if file.stamp != NO_STAMP else FoundFile(file.path, seen, file.found)


def _load_folders(rows: PageRows) -> dict[str, KnownFolder]:
    found = rows.read("SELECT place, parent, mtime_ns, size, ctime_ns, inode, pictures FROM folders ORDER BY place")
    children: dict[str, list[str]] = {}
    for place, parent, *_ in found:
        if place:
            children.setdefault(path_at(parent), []).append(path_at(place))
    return {
        path_at(place): KnownFolder(Stamp(*stamp), pictures, tuple(children.get(path_at(place), ())))
        for place, _, *stamp, pictures in found
    }


def _remove_files(connection: sqlite3.Connection, places: Iterable[bytes]) -> set[str]:
    slugs: set[str] = set()
    for place in places:
        for number, slug in connection.execute("SELECT id, slug FROM files WHERE place = ?", (place,)).fetchall():
            slugs.add(slug or "")
            connection.execute("DELETE FROM tags WHERE file = ?", (number,))
            connection.execute("DELETE FROM pictures WHERE file = ?", (number,))
            connection.execute("DELETE FROM files WHERE id = ?", (number,))
    return slugs


def _store_files(connection: sqlite3.Connection, files: Iterable[tuple[str, FoundFile]], now: dt.datetime) -> set[str]:
    slugs: set[str] = set()
    for folder, file in files:
        place = place_of(file.path)
        before = connection.execute("SELECT slug FROM files WHERE place = ?", (place,)).fetchone()
        slugs |= {before[0] or ""} if before else set()
        if isinstance(file.found, Page):
            slugs.add(file.found.slug)
        values = {"folder": place_of(folder), **file.stamp._asdict(), **_columns(file, now)}
        connection.execute(_STORE, (place, *(values.get(name) for name in _COLUMNS)))
    return slugs


def _columns(file: FoundFile, now: dt.datetime) -> dict[str, object]:
    page = file.found
    if isinstance(page, FileProblem):
        changed = find_change(file.stamp.mtime_ns, file.stamp.ctime_ns, now).timestamp() if file.stamp.inode else 0.0
        return {"problem": page.reason, "changed": changed}
    lines = [line for line in page.source.split("\n") if _PICTURES.search(line)]
    return {
        "slug": page.slug,
        "access": page.access.value,
        "draft": page.draft,
        "title": page.title,
        "summary": page.summary,
        "tags": BETWEEN_TAGS.join(page.tags),
        "minutes": page.minutes,
        "opens": to_number(page.opens) if page.opens else None,
        "day": page.date.toordinal() if page.opens else None,
        "digest": page.digest,
        "picture_lines": "\n".join(lines) or None,
        **_time_columns(file.stamp, page.opens, page.date.toordinal() if page.opens else None, now),
    }


def _time_columns(stamp: Stamp, opens: dt.datetime | None, day: int | None, now: dt.datetime) -> dict[str, object]:
    times = find_times(stamp, opens, now)
    return {
        "age": -(day or times.updated.date().toordinal()),
        "updated": to_number(times.updated),
        "to_come": times.to_come,
        "changed": times.changed,
        "turns_at": times.turns_at,
    }


def _turn_files(connection: sqlite3.Connection, now: dt.datetime) -> set[str]:
    """Bring those rows up to date whose moment has come, such as that of a page which opens."""
    due = connection.execute(
        "SELECT id, slug, opens, day, mtime_ns, size, ctime_ns, inode FROM files WHERE turns_at <= ?",
        (now.timestamp(),),
    ).fetchall()
    for number, _, opens, day, *stamp in due:
        columns = _time_columns(Stamp(*stamp), None if opens is None else from_number(opens), day, now)
        names = ", ".join(f"{name} = ?" for name in columns)
        connection.execute(f"UPDATE files SET {names} WHERE id = ?", (*columns.values(), number))  # noqa: S608 - our own names
    return {slug for _, slug, *_ in due}


def _settle_slugs(connection: sqlite3.Connection, slugs: Collection[str], *, drafts: bool) -> None:
    """Decide which file has each address: of several that are shown the first by name."""
    for slug in slugs:
        files = connection.execute(
            "SELECT id, place, draft, to_come, age, tags FROM files WHERE slug = ? ORDER BY place", (slug,)
        ).fetchall()
        shown = next((at for at, file in enumerate(files) if (drafts or not file[2]) and not file[3]), None)
        for at, (number, _, _, _, age, tags) in enumerate(files):
            is_first = at == (shown or 0)
            state = HIDDEN if not is_first else UNPUBLISHED if shown is None else PUBLISHED
            clash = shown is not None and at > shown
            reason = f"{path_at(files[shown][1])} has the same address" if clash and shown is not None else None
            connection.execute("UPDATE files SET state = ?, clash = ? WHERE id = ?", (state, reason, number))
            connection.execute("DELETE FROM tags WHERE file = ?", (number,))
            if state != HIDDEN and tags:
                connection.executemany(
                    "INSERT INTO tags VALUES (?, ?, ?, ?, ?)",
                    [(tag, state, age, slug, number) for tag in tags.split(BETWEEN_TAGS)],
                )


def _store_folders(
    connection: sqlite3.Connection, folders: Iterable[SeenFolder], gone: Iterable[str], now: dt.datetime
) -> bool:
    """Store the folders that were listed. Returns whether pictures changed, in place or otherwise."""
    changes = False
    for folder in folders:
        place, stamp = place_of(folder.path), folder.stamp
        before = connection.execute("SELECT pictures FROM folders WHERE place = ?", (place,)).fetchone()
        changes |= before is not None and before[0] != folder.pictures
        changed = find_change(stamp.mtime_ns, stamp.ctime_ns, now).timestamp() if stamp.inode else 0.0
        if time.time_ns() - stamp.mtime_ns < _SETTLED:
            stamp = Stamp(0, *stamp[1:])
        connection.execute(
            "INSERT OR REPLACE INTO folders VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (place, place_of(folder_of(folder.path)), *stamp, folder.pictures, join_paths(folder.leads_to), changed),
        )
    connection.executemany("DELETE FROM folders WHERE place = ?", [(place_of(path),) for path in gone])
    return changes


def _store_version(connection: sqlite3.Connection) -> int:
    """Store what is known of all pages together, under a new version."""
    before = connection.execute("SELECT value FROM facts WHERE name = 'version'").fetchone()
    version: int = max(time.time_ns(), before[0] + 1 if before else 0)

    def ask(statement: str) -> object:
        return connection.execute(statement).fetchone()[0]

    facts = {
        "version": version,
        "count": ask("SELECT count(*) FROM files WHERE state = 1"),
        "turns_at": ask("SELECT min(turns_at) FROM files WHERE turns_at IS NOT NULL"),
        "modified": ask(
            "SELECT max(changed) FROM (SELECT changed FROM folders UNION ALL SELECT max(changed) FROM files)"
        ),
    }
    _set_facts(connection, facts)
    connection.execute("DELETE FROM tag_counts")
    connection.execute("INSERT INTO tag_counts SELECT name, count(*) FROM tags WHERE state = 1 GROUP BY name")
    return version


def _set_facts(connection: sqlite3.Connection, facts: dict[str, object]) -> None:
    connection.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", facts.items())
