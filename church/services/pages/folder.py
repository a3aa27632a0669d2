"""Walk the content folder and read its files; no link is followed out of the folder.

A walk lists only the folders that it is asked to. Of the others it takes what was known, so that it costs little.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from church.lib.links import LEADS_OUT, check_folder_link, is_inside
from church.services.pages.front_matter import MAX_BYTES, FileVersion, InvalidPageError, Page, parse_page
from church.services.pages.pictures.files import SUFFIXES

_MOST_FOLDERS = 20
# Temporary errors of the host: the site keeps serving the pages that it knows.
_TEMPORARY = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE}
_LARGEST = 2**63 - 1  # that a row can keep; file systems can say more


@dataclass(frozen=True)
class FileProblem:
    """A file of the content folder that is not served, and why."""

    path: str
    reason: str


class Stamp(NamedTuple):
    """Which version of a file or folder there is. Nobody can set ``ctime_ns``; ``inode`` tells replaced ones."""

    mtime_ns: int = 0
    size: int = 0
    ctime_ns: int = 0
    inode: int = 0

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        """Take the stamp of a file, within the numbers that a row can keep."""
        times = (min(status.st_mtime_ns, _LARGEST), status.st_size, min(status.st_ctime_ns, _LARGEST))
        return cls(*times, status.st_ino & _LARGEST)


NO_STAMP = Stamp()


@dataclass(frozen=True)
class FoundFile:
    """A markdown file that was read: its page, or why it is not served."""

    path: str
    stamp: Stamp
    found: Page | FileProblem


@dataclass(frozen=True)
class KnownFolder:
    """A folder as the walk before left it. ``pictures`` identifies the versions of the pictures in it."""

    stamp: Stamp = NO_STAMP
    pictures: str = ""
    subfolders: tuple[str, ...] = ()


@dataclass(frozen=True)
class SeenFolder:
    """A folder of a walk. Without ``files`` it was not listed: all in it is as it was.

    ``files`` are the markdown files in it, each with its stamp or why it has none. ``leads_to`` are the folders of
    those that are links to files elsewhere.
    """

    path: str
    stamp: Stamp
    pictures: str
    files: dict[str, Stamp | FileProblem] | None = None
    leads_to: frozenset[str] = frozenset()


@dataclass
class Walk:
    """What one walk needs: ``is_due`` says of a folder, by its path and stamp, whether to list it.

    ``on_folder`` is called before a folder is listed.
    """

    root: str
    known: Mapping[str, KnownFolder] = field(default_factory=dict)
    is_due: Callable[[str, Stamp | None], bool] = lambda _path, _stamp: True
    on_folder: Callable[[str], None] = lambda _path: None
    linked: set[str] = field(default_factory=set)


def folder_of(path: str) -> str:
    """Return the folder of a file; that of the root is ``""``."""
    return path.rpartition("/")[0]


def walk_folder(walk: Walk, path: str = "") -> Iterator[SeenFolder]:
    """Yield the folder at ``path`` and those in it. Links within the root are followed, to each folder once.

    A folder that cannot be read has itself as a file with the problem. Raises OSError for a temporary problem.
    """
    known = walk.known.get(path)
    if known is not None and not walk.is_due(path, known.stamp):
        yield SeenFolder(path, known.stamp, known.pictures)
        yield from _walk_known(walk, known)
        return
    walk.on_folder(path)
    try:
        stamp = Stamp.of(os.stat(os.path.join(walk.root, path)))
        with os.scandir(os.path.join(walk.root, path)) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        yield SeenFolder(path, NO_STAMP, "", {path or ".": read_problem(path or ".", error)})
        return
    seen, subfolders = _list(walk, path, stamp, listed)
    yield seen
    if path.count("/") < _MOST_FOLDERS - 1 or not path:
        for subfolder in subfolders:
            yield from walk_folder(walk, subfolder)


def _walk_known(walk: Walk, known: KnownFolder) -> Iterator[SeenFolder]:
    def is_followed(subfolder: str) -> bool:
        is_link = os.path.islink(os.path.join(walk.root, subfolder))
        return not is_link or check_folder_link(walk.root, subfolder, walk.linked) is None

    for subfolder in [each for each in known.subfolders if is_followed(each)]:
        yield from walk_folder(walk, subfolder)


def _list(walk: Walk, path: str, stamp: Stamp, entries: list[os.DirEntry[str]]) -> tuple[SeenFolder, list[str]]:
    files: dict[str, Stamp | FileProblem] = {}
    subfolders: list[str] = []
    leads_to: set[str] = set()
    pictures = hashlib.sha256()
    for entry in entries:
        here = f"{path}/{entry.name}".lstrip("/")
        if entry.name.startswith("."):
            continue
        try:
            is_folder = entry.is_dir()
        except OSError as error:  # such as a link to itself
            files[here] = read_problem(here, error)
            continue
        if entry.is_symlink() and is_folder and (reason := check_folder_link(walk.root, here, walk.linked)):
            files[here] = FileProblem(here, reason)
        elif is_folder:
            subfolders.append(here)
        elif entry.name.endswith(".md"):
            files[here] = _stamp(entry, here)
            if entry.is_symlink():
                leads_to.add(os.path.dirname(os.path.realpath(os.path.join(walk.root, here))))
        elif entry.name.lower().endswith(SUFFIXES):
            pictures.update(repr((entry.name, _stamp(entry, here))).encode())
    return SeenFolder(path, stamp, pictures.hexdigest()[:32], files, frozenset(leads_to)), subfolders


def _stamp(entry: os.DirEntry[str], path: str) -> Stamp | FileProblem:
    try:
        return Stamp.of(entry.stat())
    except OSError as error:
        return read_problem(path, error)


def find_stamp(root: str, path: str) -> Stamp | None:
    """Return the stamp of the file at ``path`` as it is now; None if there is none. Raises OSError if temporary."""
    try:
        return Stamp.of(os.stat(os.path.join(root, path)))
    except (OSError, ValueError) as error:
        read_problem(path, error)
        return None


def read_problem(path: str, error: OSError | ValueError) -> FileProblem:
    """Say why a file cannot be read. Raises ``error`` if it is a temporary one."""
    if isinstance(error, OSError) and error.errno in _TEMPORARY:
        raise error
    return FileProblem(path, f"cannot be read: {getattr(error, 'strerror', None) or error}")


def read_file(root: str, path: str) -> FoundFile:
    """Read and parse the file at ``path`` below the real ``root``. Raises OSError for a temporary problem."""
    real = os.path.realpath(os.path.join(root, path))
    if not is_inside(root, real):
        return FoundFile(path, NO_STAMP, FileProblem(path, LEADS_OUT))
    try:
        # Refuse a link here: the file may have been replaced by one after its path was resolved.
        handle = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            now = os.fstat(handle)
            if not stat.S_ISREG(now.st_mode):
                return FoundFile(path, NO_STAMP, FileProblem(path, "not a file"))
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        return FoundFile(path, NO_STAMP, read_problem(path, error))
    try:
        return FoundFile(path, Stamp.of(now), parse_page(FileVersion(path, now.st_mtime_ns, now.st_size), data))
    except InvalidPageError as error:
        return FoundFile(path, Stamp.of(now), FileProblem(path, str(error)))
