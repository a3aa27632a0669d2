"""One look at the content folder: no link leads out of it, nothing unchanged is read again."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from church.lib.threads import off_hub
from church.services.pages.front_matter import MAX_BYTES, InvalidPageError, Stamp, parse_page
from church.services.pages.library import File, Library, Problem, assemble

log = logging.getLogger("church.pages")

_MOST_FOLDERS = 20
_LEADS_OUT = "a link that leads out of the content folder"
# Trouble of the host that passes: what is known stays, instead of every page being gone for a second.
_PASSING = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE}


def scan(root: Path, known: Library, drafts: bool) -> Library:
    """Look at the folder; only files that changed since ``known`` are read again.

    Raises OSError where the host, not the content, is the trouble (too many open files, a failing disk).
    """
    real = os.path.realpath(root)
    digest = hashlib.sha256()
    modified = 0.0
    files: dict[str, File] = {}
    found: File | Problem
    for path, seen in _walk(real, ""):
        if not isinstance(seen, Problem):
            modified = max(modified, seen.st_mtime)
            if stat.S_ISDIR(seen.st_mode):
                continue
            found = _read(real, path, seen, known.files.get(path))
        else:
            found = seen
        files[path] = found if isinstance(found, File) else File(Stamp(path, 0, 0), found)
        digest.update(repr((files[path].stamp, found if isinstance(found, Problem) else None)).encode())
    return assemble(files, drafts, modified, digest.hexdigest()[:32])


def _refusal(path: str, error: OSError | ValueError) -> Problem:
    if isinstance(error, OSError) and error.errno in _PASSING:
        raise error
    return Problem(path, f"cannot be read: {getattr(error, 'strerror', None) or error}")


def _walk(root: str, under: str) -> Iterator[tuple[str, os.stat_result | Problem]]:
    """Each folder (a deleted file shows in its mtime alone) and its markdown files in order of name."""
    try:
        with os.scandir(os.path.join(root, under)) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
        yield under or ".", os.stat(os.path.join(root, under))
    except OSError as error:
        yield under or ".", _refusal(under or ".", error)
        return
    for entry in listed:
        path = f"{under}/{entry.name}".lstrip("/")
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            if path.count("/") < _MOST_FOLDERS:
                yield from _walk(root, path)
        elif entry.name.endswith(".md"):
            yield path, _stat(root, entry, path)


def _stat(root: str, entry: os.DirEntry[str], path: str) -> os.stat_result | Problem:
    try:
        return entry.stat()
    except OSError as error:
        return _refusal(path, error)


def _inside(root: str, path: str) -> bool:
    return path.startswith(root + os.sep)


def _read(root: str, path: str, seen: os.stat_result, known: File | None) -> File | Problem:
    if known is not None and known.stamp == Stamp(path, seen.st_mtime_ns, seen.st_size):
        return known
    real = os.path.realpath(os.path.join(root, path))
    if not _inside(root, real):
        return Problem(path, _LEADS_OUT)
    try:
        # What was resolved may not be a link by now: swapped in between, it would lead out.
        handle = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            now = os.fstat(handle)
            if not stat.S_ISREG(now.st_mode):
                return Problem(path, "not a file")
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        return _refusal(path, error)
    stamp = Stamp(path, now.st_mtime_ns, now.st_size)
    try:
        return File(stamp, parse_page(stamp, data))
    except InvalidPageError as error:
        return File(stamp, Problem(path, str(error)))


LOOK_SECONDS = 1.0


class Shelf:
    """Keeps the newest Library of one folder. ``drafts``: whether drafts are among the pages."""

    def __init__(self, root: Path, *, drafts: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._root = root
        self._drafts = drafts
        self._clock = clock
        self._looking = threading.Lock()
        self._library: Library | None = None
        self._looked_at = 0.0

    def current(self) -> Library:
        """The library as it is, at most a second old.

        While one greenlet looks, the others go on with what is known; only the very first look is waited for.
        """
        known = self._library
        if known is not None and self._clock() - self._looked_at < LOOK_SECONDS:
            return known
        if not self._looking.acquire(blocking=known is None):
            return known or Library()
        try:
            return self._look()
        finally:
            self._looking.release()

    def _look(self) -> Library:
        known = self._library
        if known is not None and self._clock() - self._looked_at < LOOK_SECONDS:
            return known  # somebody else looked while we waited for the lock
        try:
            seen = off_hub(scan, self._root, known or Library(), self._drafts)
        except OSError as error:
            facts = {"event": "pages.unreadable", "reason": str(error)}
            log.error("content folder cannot be read", extra=facts)  # noqa: TRY400 - the reason is enough
            seen = known or Library()
        self._looked_at = self._clock()
        if known is None or seen.version != known.version:
            _tell(seen, known or Library())
            self._library = seen
        return self._library or seen


def _tell(seen: Library, known: Library) -> None:
    """Log what is left out, once for each state of its file."""
    before = {problem: known.stamp_of(problem.path) for problem in known.problems}
    for problem in seen.problems:
        if problem not in before or before[problem] != seen.stamp_of(problem.path):
            facts = {"event": "pages.invalid", "page": problem.path, "reason": problem.reason}
            log.warning("page left out", extra=facts)
