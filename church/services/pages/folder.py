"""Scan the content folder for pages: read only files that changed, and follow no link out of the folder."""

from __future__ import annotations

import datetime as dt
import errno
import hashlib
import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from church import telemetry
from church.lib.links import LEADS_OUT, check_folder_link, is_inside
from church.lib.once import claim
from church.lib.threads import run_off_hub
from church.models.base import utc_now
from church.services.pages.front_matter import MAX_BYTES, FileVersion, InvalidPageError, load_parser, parse_page
from church.services.pages.library import FileProblem, Library, ScannedFile, build_library, find_change

log = logging.getLogger("church.pages")

_MOST_FOLDERS = 20
# Temporary errors of the host: the site keeps serving the pages of the last scan.
_TEMPORARY = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE}
SCAN_SECONDS = 1.0
_START_SECONDS = 20.0  # within which the processes of a host start


class ContentFolder:
    """Keeps the newest Library of one folder. ``drafts``: whether drafts are among the pages.

    ``clock`` says when a scan is due, ``now`` which pages are to come. The processes of a host that share the file
    ``marks`` log a problem once together.
    """

    def __init__(
        self,
        root: Path,
        *,
        drafts: bool,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], dt.datetime] = utc_now,
        marks: Path | None = None,
    ) -> None:
        self._root = root
        self._drafts = drafts
        self._clock = clock
        self._now = now
        self._marks = marks
        self._started_at = time.time()
        self._scan_lock = threading.Lock()
        self._library: Library | None = None
        self._scanned_at = 0.0

    def current(self) -> Library:
        """Return the library, at most a second old.

        While one greenlet scans, the others get the previous library. Only the very first scan makes them wait.
        """
        library = self._library
        if library is not None and self._is_fresh():
            return library
        if not self._scan_lock.acquire(blocking=library is None):
            return library or Library()
        try:
            return self._rescan()
        finally:
            self._scan_lock.release()

    def _is_fresh(self) -> bool:
        return self._clock() - self._scanned_at < SCAN_SECONDS

    def _rescan(self) -> Library:
        previous = self._library
        if previous is not None and self._is_fresh():
            return previous  # another greenlet scanned while this one waited for the lock
        load_parser()
        try:
            library = run_off_hub(scan_folder, self._root, previous or Library(), self._drafts, self._now())
        except OSError as error:
            facts = {"event": "pages.unreadable", "reason": str(error)}
            log.error("content folder cannot be read", extra=facts)  # noqa: TRY400 - the reason is enough
            library = previous or Library()
        self._scanned_at = self._clock()
        if previous is None or library.version != previous.version:
            self._log_problems(library, previous or Library())
            self._library = library
        return self._library or library

    def _log_problems(self, library: Library, previous: Library) -> None:
        """Log every file that is not served, once for each version of the file."""
        before = {_mark(previous, problem) for problem in previous.problems}
        new = {mark: problem for problem in library.problems if (mark := _mark(library, problem)) not in before}
        if self._marks is not None and library.problems and telemetry.is_logging():
            marks = [_mark(library, problem) for problem in library.problems]
            unclaimed = run_off_hub(claim, self._marks, marks, self._started_at - _START_SECONDS)
            new = {mark: problem for mark, problem in new.items() if mark in unclaimed}
        for problem in new.values():
            facts = {"event": "pages.invalid", "page": problem.path, "reason": problem.reason}
            log.warning("page left out", extra=facts)


def _mark(library: Library, problem: FileProblem) -> str:
    """Identify a problem of one version of a file."""
    return hashlib.sha256(repr((problem, library.stamp_of(problem.path))).encode()).hexdigest()[:32]


def scan_folder(root: Path, known: Library, drafts: bool, now: dt.datetime | None = None) -> Library:
    """Read the folder ``root`` into a library; files that did not change since ``known`` are taken from it.

    The version changes with the files, and when a page opens. Raises OSError if the host has a temporary problem (too
    many open files, a failing disk).
    """
    now = now or utc_now()
    real = os.path.realpath(root)
    digest = hashlib.sha256()
    modified = 0.0
    files: dict[str, ScannedFile] = {}
    for path, status in _walk(real):
        if not isinstance(status, FileProblem):
            modified = max(modified, find_change(status.st_mtime_ns, status.st_ctime_ns, now).timestamp())
            if stat.S_ISDIR(status.st_mode):
                continue
        files[path] = _scan_file(real, path, status, known)
        digest.update(_describe(files[path], now))
    return build_library(files, drafts, modified, digest.hexdigest()[:32], now)


def _scan_file(root: str, path: str, status: os.stat_result | FileProblem, known: Library) -> ScannedFile:
    outcome = status if isinstance(status, FileProblem) else _read(root, path, status, known.files.get(path))
    return outcome if isinstance(outcome, ScannedFile) else ScannedFile(FileVersion(path, 0, 0), outcome)


def _describe(file: ScannedFile, now: dt.datetime) -> bytes:
    """Return what of a file changes the pages: its version, why it is left out, and whether its times have come."""
    found = file.found
    if isinstance(found, FileProblem):
        return repr((file.stamp, found)).encode()
    return repr((file.stamp, found.opens is not None and found.opens > now, found.updated > now)).encode()


def _read_problem(path: str, error: OSError | ValueError) -> FileProblem:
    if isinstance(error, OSError) and error.errno in _TEMPORARY:
        raise error
    return FileProblem(path, f"cannot be read: {getattr(error, 'strerror', None) or error}")


def _walk(root: str) -> Iterator[tuple[str, os.stat_result | FileProblem]]:
    """Yield each folder and its markdown files, in order of name. A deleted file shows only in its folder's mtime.

    Links to folders inside ``root`` are followed, to each folder once, so that links cannot lead in circles.
    """
    yield from _walk_folder(root, "", set())


def _walk_folder(root: str, under: str, linked: set[str]) -> Iterator[tuple[str, os.stat_result | FileProblem]]:
    try:
        with os.scandir(os.path.join(root, under)) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
        yield under or ".", os.stat(os.path.join(root, under))
    except OSError as error:
        yield under or ".", _read_problem(under or ".", error)
        return
    for entry in listed:
        path = f"{under}/{entry.name}".lstrip("/")
        if entry.name.startswith("."):
            continue
        try:
            is_folder = entry.is_dir()
        except OSError as error:  # such as a link to itself
            yield path, _read_problem(path, error)
            continue
        if entry.is_symlink() and is_folder:
            if reason := check_folder_link(root, path, linked):
                yield path, FileProblem(path, reason)
                continue
        elif not is_folder:
            if entry.name.endswith(".md"):
                yield path, _stat(root, entry, path)
            continue
        if path.count("/") < _MOST_FOLDERS:
            yield from _walk_folder(root, path, linked)


def _stat(root: str, entry: os.DirEntry[str], path: str) -> os.stat_result | FileProblem:
    try:
        return entry.stat()
    except OSError as error:
        return _read_problem(path, error)


def _read(root: str, path: str, status: os.stat_result, known: ScannedFile | None) -> ScannedFile | FileProblem:
    if known is not None and known.stamp == FileVersion(path, status.st_mtime_ns, status.st_size):
        return known
    real = os.path.realpath(os.path.join(root, path))
    if not is_inside(root, real):
        return FileProblem(path, LEADS_OUT)
    try:
        # Refuse a link here: the file may have been replaced by one after its path was resolved.
        handle = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            now = os.fstat(handle)
            if not stat.S_ISREG(now.st_mode):
                return FileProblem(path, "not a file")
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        return _read_problem(path, error)
    stamp = FileVersion(path, now.st_mtime_ns, now.st_size)
    try:
        return ScannedFile(stamp, parse_page(stamp, data), now.st_ctime_ns)
    except InvalidPageError as error:
        return ScannedFile(stamp, FileProblem(path, str(error)))
