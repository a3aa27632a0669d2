"""Find and open the pictures beside the pages: files of the content folder that pages refer to."""

from __future__ import annotations

import hashlib
import os
import posixpath
import stat
import time
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, unquote, urlsplit

from church.lib.validators import Validators
from church.services.pages.pictures.header import PictureHeader, read_header

ADDRESS = "/pictures/"
MAX_BYTES = 32 * 1024 * 1024
SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".avif", ".svg")
_MOST_CHARACTERS = 500
_MOST_LISTED = 100  # folders
_SETTLED = 2_000_000_000  # ns; a folder that has just changed may change again without another mtime
_MOST_PIXELS = 100_000  # of one side; larger values are a mistake


class PictureError(Exception):
    """A picture that a page refers to cannot be shown. The message is for the page's author.

    ``version`` is what there is instead, None if the reference is not one to a picture in the folder.
    """

    version: PictureVersion | None = None


@dataclass(frozen=True)
class PictureVersion:
    """One version of a picture, by its path in the content folder; ``stamp`` is None if it cannot be shown."""

    path: str
    stamp: tuple[int, int] | None = None  # mtime in ns, and size

    @property
    def address(self) -> str:
        """Path on the site. A new version has a new one, so that browsers can keep the old for as long as they like."""
        return f"{ADDRESS}{quote(self.path)}?v={self.tag}"

    @property
    def tag(self) -> str:
        """A short text that only this version has."""
        return hashlib.sha256(repr((self.path, self.stamp)).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class FoundPicture:
    """A picture that can be shown."""

    version: PictureVersion
    header: PictureHeader


@dataclass(frozen=True)
class OpenPicture:
    """A picture to send. The caller closes ``file``."""

    file: BinaryIO
    version: PictureVersion
    header: PictureHeader
    modified: float

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.version.stamp[1] if self.version.stamp is not None else 0

    @property
    def validators(self) -> Validators:
        """What tells this version from others over HTTP."""
        return Validators(self.version.tag, self.modified)


def resolve_reference(page_path: str, reference: str) -> str | None:
    """Return the path in the content folder that a page's ``src`` means; None if it means no file beside the page.

    Raises PictureError if the path leads out of the folder, or to a file that is no picture by its name.
    """
    reference = reference.strip().replace("\\", "/")
    try:
        parts = urlsplit(reference)
    except ValueError:  # such as http://[
        return None
    if parts.scheme or parts.netloc or not parts.path or parts.path.startswith("/"):
        return None
    name = parts.path
    if not name.lower().endswith(SUFFIXES) and reference.lower().endswith(SUFFIXES):
        name = reference  # a # or ? in the name of the file
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page_path), unquote(name)))
    path = unicodedata.normalize("NFC", path)
    if path.startswith("../") or path == "..":
        raise PictureError("it is outside of the content folder")
    if not is_valid_path(path):
        raise PictureError(f"not a picture that can be shown: use {', '.join(each[1:] for each in SUFFIXES)}")
    return path


def is_valid_path(path: str) -> bool:
    """Whether ``path`` can be one of a picture: relative, nothing hidden in it, and a suffix of pictures."""
    segments = path.split("/")
    has_name = all(segment and not segment.startswith(".") for segment in segments)
    is_text = len(path) <= _MOST_CHARACTERS and "\\" not in path and path.isprintable()
    return has_name and is_text and path.lower().endswith(SUFFIXES)


@dataclass(frozen=True)
class _Listing:
    """The names in a folder, by their composed form and without case."""

    changed: tuple[int, int]
    composed: dict[str, str]
    folded: dict[str, str]


class PictureFolder:
    """The pictures of one content folder. Its methods wait for the disk: call them off the hub."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._listed: dict[str, _Listing] = {}

    def find(self, page_path: str, reference: str) -> FoundPicture | None:
        """Find the picture that a page's ``src`` means; None if it means an address elsewhere. Raises PictureError."""
        path = resolve_reference(page_path, reference)
        if path is None:
            return None
        try:
            opened = self.open(path)
        except PictureError as error:
            error.version = self.look(path)
            raise
        opened.file.close()
        return FoundPicture(opened.version, opened.header)

    def open(self, path: str) -> OpenPicture:
        """Open the picture at ``path``, checked by its content. Raises PictureError."""
        file = self._open_file(path)
        try:
            status = os.fstat(file.fileno())
            header = _check(file, status)
            file.seek(0)
        except BaseException:
            file.close()
            raise
        version = PictureVersion(path, (status.st_mtime_ns, status.st_size))
        return OpenPicture(file, version, header, status.st_mtime)

    def look(self, path: str) -> PictureVersion:
        """Return which version of a picture there is now."""
        try:
            status = os.stat(os.path.join(self._root, self._locate(path)))
        except (OSError, ValueError, PictureError):
            return PictureVersion(path)
        return PictureVersion(path, (status.st_mtime_ns, status.st_size))

    def _open_file(self, path: str) -> BinaryIO:
        try:
            root = os.path.realpath(self._root)
            real = os.path.realpath(os.path.join(root, self._locate(path)))
            if not real.startswith(root + os.sep):
                raise PictureError("it is a link that leads out of the content folder")
            # Refuse a link here: the file may have been replaced by one after its path was resolved.
            handle = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            return os.fdopen(handle, "rb")
        except (OSError, ValueError) as error:
            raise PictureError(f"it cannot be read: {getattr(error, 'strerror', None) or error}") from None

    def _list(self, folder: str) -> _Listing:
        """List a folder, once for each change of it: a page may miss thousands of pictures."""
        where = os.path.join(self._root, folder)
        status = os.stat(where)
        changed = (status.st_mtime_ns, status.st_ino)  # a link may lead to another folder by now
        listed = self._listed.get(folder)
        if listed is None or listed.changed != changed:
            names = os.listdir(where)
            composed = {unicodedata.normalize("NFC", name): name for name in reversed(names)}
            listed = _Listing(changed, composed, {name.casefold(): name for name in reversed(names)})
            if time.time_ns() - status.st_mtime_ns > _SETTLED:
                if len(self._listed) >= _MOST_LISTED:
                    self._listed.clear()
                self._listed[folder] = listed
        return listed

    def _locate(self, path: str) -> str:
        """Return the path as the disk writes it: macOS decomposes letters, and so do files that come from there."""
        if os.path.lexists(os.path.join(self._root, path)):
            return path
        found = ""
        for segment in path.split("/"):
            listed = self._list(found)
            name = listed.composed.get(segment)
            if name is None:
                similar = listed.folded.get(segment.casefold())
                hint = f"; did you mean {similar}?" if similar else ""
                raise PictureError(f"there is no such file{hint}")
            found = f"{found}/{name}".lstrip("/")
        return found


def _check(file: BinaryIO, status: os.stat_result) -> PictureHeader:
    if not stat.S_ISREG(status.st_mode):
        raise PictureError("it is not a file")
    if status.st_size > MAX_BYTES:
        raise PictureError(f"it is larger than {MAX_BYTES // 1024**2} MB: make it smaller")
    header = read_header(file)
    if header is None:
        raise PictureError("the content of the file is no PNG, JPEG, GIF, WebP, AVIF or SVG")
    return header


def fit_size(header: PictureHeader) -> tuple[int, int] | None:
    """Return width and height for the page, so that it does not jump when the picture comes; None if unknown."""
    width, height = header.width, header.height
    return (width, height) if 0 < width <= _MOST_PIXELS and 0 < height <= _MOST_PIXELS else None
