"""Private files and folders, and a mark in a file that tells all processes of a host about a change."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

UMASK = 0o077
"""Files that the site creates are closed to other users."""
_MARK_BYTES = 8


def make_private(folder: Path) -> None:
    """Create ``folder`` and its missing parents, closed to other users. An existing folder stays as it is."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


class ChangeMark:
    """A random mark in the file ``path``. One process changes it, and the others see that something changed.

    The file is created at first use. Errors are ignored: on a full or read-only disk the mark just never changes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def read(self) -> bytes:
        """The current mark; empty if there is no file, for example on a full disk."""
        fd = self._open()
        if fd is not None:
            with suppress(OSError):
                return os.pread(fd, _MARK_BYTES, 0)
        return b""

    def change(self) -> None:
        """Write a new mark, which every process of the host sees."""
        fd = self._open()
        if fd is not None:
            with suppress(OSError):
                os.pwrite(fd, secrets.token_bytes(_MARK_BYTES), 0)

    def _open(self) -> int | None:
        if self._fd is None:
            with suppress(OSError):
                self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._fd

    def __del__(self) -> None:
        if self._fd is not None:
            with suppress(OSError):
                os.close(self._fd)
