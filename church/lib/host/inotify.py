"""Linux tells which files of a folder change (inotify(7)), by the C library that Python runs on."""

from __future__ import annotations

import ctypes
import os
import select
import struct
from collections.abc import Iterator
from dataclasses import dataclass

# Of <sys/inotify.h>.
_MODIFY = 0x02
_ATTRIB, _CLOSE_WRITE, _MOVED_FROM, _MOVED_TO = 0x04, 0x08, 0x40, 0x80
_CREATE, _DELETE, _DELETE_SELF, _MOVE_SELF = 0x100, 0x200, 0x400, 0x800
_UNMOUNT, _OVERFLOW, _IGNORED, _IS_FOLDER = 0x2000, 0x4000, 0x8000, 0x4000_0000
_ONLY_FOLDERS = 0x0100_0000
_WANTED = (
    _ATTRIB | _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF | _ONLY_FOLDERS
)
_HEADER = struct.Struct("iIII")
_ROOM = 256 * 1024


@dataclass(frozen=True)
class Event:
    """A change of ``name`` in the watched folder ``watch``; of the folder itself if there is no name.

    ``is_lost``: there were more changes than the kernel keeps, of any folder.
    """

    watch: int
    name: str
    is_folder: bool = False
    is_gone: bool = False
    is_lost: bool = False


class Inotify:
    """Watches folders, not those within them. Raises OSError if the system has none left."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None, use_errno=True)
        try:
            handle = self._library.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        except AttributeError as error:
            raise OSError("this system has no inotify") from error
        if handle < 0:
            raise _last_error("inotify")
        self._handle: int = handle

    def fileno(self) -> int:
        """The handle, to wait for changes beside other things."""
        return self._handle

    def watch(self, folder: str, writes: bool = False) -> int:
        """Watch ``folder`` and return the number of its watch; the same folder has the same. Raises OSError.

        ``writes``: each write to a file of it is a change, too, not only the closing of a file that was written to.
        """
        wanted = _WANTED | _MODIFY if writes else _WANTED
        number: int = self._library.inotify_add_watch(self._handle, os.fsencode(folder), wanted)
        if number < 0:
            raise _last_error(folder)
        return number

    def wait(self, seconds: float) -> list[Event]:
        """Return the changes that there are, or wait up to ``seconds`` for one."""
        if not select.select([self._handle], [], [], max(0.0, seconds))[0]:
            return []
        try:
            return list(_parse(os.read(self._handle, _ROOM)))
        except BlockingIOError:
            return []

    def close(self) -> None:
        """Stop watching."""
        os.close(self._handle)


def _parse(data: bytes) -> Iterator[Event]:
    at = 0
    while at < len(data):
        watch, mask, _, length = _HEADER.unpack_from(data, at)
        at += _HEADER.size
        name = os.fsdecode(data[at : at + length].rstrip(b"\0"))
        at += length
        yield Event(
            watch,
            name,
            is_folder=bool(mask & _IS_FOLDER),
            is_gone=bool(mask & (_DELETE_SELF | _MOVE_SELF | _UNMOUNT | _IGNORED)),
            is_lost=bool(mask & _OVERFLOW),
        )


def _last_error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), what)
