"""A mark that every process of this host sees change at once: "what you remember may be out of date".

Eight bytes in a file of the instance. Reading them is one system call from the page cache, so that it can be done at
every look into a memory; another host's processes do not see it and go by the age of what they remember.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

_BYTES = 8


class HostMark:
    """The mark in ``path``; the file is made when it is first needed, and never waited for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def read(self) -> bytes:
        """What the mark is now; empty where there is no file, such as on a disk that takes none."""
        fd = self._open()
        if fd is not None:
            with suppress(OSError):
                return os.pread(fd, _BYTES, 0)
        return b""

    def change(self) -> None:
        """Make it another for everybody; on a disk that takes nothing they find out by time alone."""
        fd = self._open()
        if fd is not None:
            with suppress(OSError):
                os.pwrite(fd, secrets.token_bytes(_BYTES), 0)

    def _open(self) -> int | None:
        if self._fd is None:
            with suppress(OSError):
                self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._fd

    def __del__(self) -> None:
        if self._fd is not None:
            with suppress(OSError):
                os.close(self._fd)
