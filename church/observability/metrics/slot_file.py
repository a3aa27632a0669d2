"""The file of a slot, with its space on the disk before it is written to."""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client.mmap_dict import MmapedDict

_FIRST_SIZE = 1 << 16
_ENTRY = 40  # bytes of an entry beside its key, at most


class SlotFile(MmapedDict):
    """prometheus_client's file, which takes its space when it is mapped and not when a page is first written.

    A page that a full disk cannot give is a bus error, the end of the process; so a full disk has to be met here,
    as an OSError.
    """

    def __init__(self, path: Path) -> None:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            reserve(fd, max(os.fstat(fd).st_size, _FIRST_SIZE))
        finally:
            os.close(fd)
        super().__init__(str(path))  # type: ignore[no-untyped-call]

    def read(self, key: str) -> float:
        """The value of ``key``, 0 if it is new. Raises OSError if there is no room for a new one."""
        value: float = self.read_value(key)[0]  # type: ignore[no-untyped-call]
        return value

    def write(self, key: str, value: float) -> None:
        """Set the value of ``key``."""
        self.write_value(key, value, 0.0)  # type: ignore[no-untyped-call]

    def _init_value(self, key: str) -> None:
        needed, size = self._used + len(key.encode()) + _ENTRY, self._capacity
        while size < needed:
            size *= 2
        if size > self._capacity:
            reserve(self._f.fileno(), size)
        super()._init_value(key)  # type: ignore[no-untyped-call]


def reserve(fd: int, size: int) -> None:
    """Take ``size`` bytes of the disk for the file, or raise OSError now and not at a page's first write."""
    if hasattr(os, "posix_fallocate"):  # macOS has none
        os.posix_fallocate(fd, 0, size)
