"""Copy the content folder into a backup: what the site serves, links inside the folder as the files they lead to.

Kubernetes (ConfigMaps) and git-sync lay a folder out as links to the files of one version.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from church.backup.archive import MAX_PAGES_BYTES, PAGES, BackupError
from church.lib.links import LEADS_OUT, check_folder_link, is_inside

_LEADS_NOWHERE = "a link that leads nowhere"
_NO_FILE = "neither a file nor a folder"
_BAD_NAME = "no restore accepts a backslash in a name"
_MOST_FOLDERS = 200
_TOO_DEEP = f"more than {_MOST_FOLDERS} folders within each other"
_GONE = "removed while the backup was made"
_REPLACED = {errno.ENOENT, errno.ELOOP, errno.ENOTDIR}


@dataclass(frozen=True)
class LeftOut:
    """Something in the content folder that a backup does not have, and why."""

    path: str
    reason: str


@dataclass
class CopiedPages:
    """The names of the copied files in the archive, and what was left out."""

    names: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def copy_pages(content: Path, stage: Path, private: tuple[Path, ...]) -> CopiedPages:
    """Copy the files of ``content`` into ``stage``, so that later changes can't damage the archive.

    Nothing below the ``private`` folders is copied, whatever leads there. Raises BackupError.
    """
    copied, size, root = CopiedPages(), 0, os.path.realpath(content)
    folders = [os.path.realpath(folder) for folder in (*private, stage)]
    for path, reason in _walk(root, "", set(), [folder for folder in folders if is_inside(root, folder)]):
        target = stage / PAGES / path
        problem = reason or _copy(root, path, target)
        if problem:
            copied.left_out.append(LeftOut(path, problem))
            continue
        size += target.stat().st_size
        if size > MAX_PAGES_BYTES:
            raise BackupError(f"the pages are larger than {MAX_PAGES_BYTES // 1024**3} GiB, which no restore accepts")
        copied.names.append(f"{PAGES}{path}")
    return copied


def _walk(root: str, under: str, linked: set[str], closed: list[str]) -> Iterator[tuple[str, str | None]]:
    """Yield each file, and why it is left out or None, in order of name.

    Links with a hidden name are passed over: the site does not serve them, and files in the folder are copied anyway.
    """
    with suppress(FileNotFoundError), os.scandir(os.path.join(root, under)) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            path = f"{under}/{entry.name}".lstrip("/")
            real = os.path.realpath(entry.path)
            if any(real == folder or is_inside(folder, real) for folder in closed):
                if entry.is_symlink():
                    yield path, LEADS_OUT
            elif entry.is_symlink() and entry.name.startswith("."):
                continue
            elif _is_folder(entry):
                reason = check_folder_link(root, path, linked) if entry.is_symlink() else None
                reason = _TOO_DEEP if path.count("/") >= _MOST_FOLDERS else reason
                if reason:
                    yield path, reason
                else:
                    yield from _walk(root, path, linked, closed)
            else:
                yield path, _BAD_NAME if "\\" in path else _check_file(root, real)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # such as a link to itself: ``_check_file`` says so
        return False


def _check_file(root: str, real: str) -> str | None:
    if not is_inside(root, real):
        return LEADS_OUT
    try:
        return None if stat.S_ISREG(os.stat(real).st_mode) else _NO_FILE
    except OSError:
        return _LEADS_NOWHERE


def _copy(root: str, path: str, target: Path) -> str | None:
    """Copy a file, or what a link leads to. Returns why not. Tried twice: a sync may replace the folder of the files.

    Raises BackupError.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(2):
        real = os.path.realpath(os.path.join(root, path))
        if reason := _check_file(root, real):
            return reason
        try:
            handle = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)  # it may be a link by now
        except OSError as error:
            if error.errno in _REPLACED:
                continue
            raise BackupError(f"can't read {path} in the content folder: {error.strerror}") from error
        with os.fdopen(handle, "rb") as source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy)
            status = os.fstat(handle)
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
        return None
    return _GONE
