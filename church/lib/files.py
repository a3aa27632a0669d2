"""Folders of the site's user alone. Imports nothing of the site, so that every part of it can use this."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

# What others may not do with a file that the site makes: anything.
UMASK = 0o077


def make_private(folder: Path) -> None:
    """Make ``folder`` and what is missing above it; nobody else may enter it. One that is there stays as it is."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


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
