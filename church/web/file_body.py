"""A piece of a file as the body of an answer: whoever sends it, by sendfile or by reading, it knows how much went."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import BinaryIO


class FileBody:
    """``length`` bytes of ``file`` from ``start`` on; closing it closes the file and tells how it went, once.

    A server with a ``wsgi.file_wrapper`` takes its ``fileno`` and sends from where that stands; any other reads.
    ``ended`` is told the seconds that it took and the bytes that were sent, however the connection ended.
    """

    def __init__(
        self,
        file: BinaryIO,
        start: int,
        length: int,
        *,
        patience: float = 60.0,
        ended: Callable[[float, int], None] | None = None,
    ) -> None:
        self.patience = patience
        """Seconds that its reader may take nothing."""
        self.sent = 0
        """Bytes that have gone out; ``church.server.sendfile`` counts here, too."""
        self._file = file
        self._left = length
        self._ended = ended
        self._began = time.monotonic()
        os.lseek(file.fileno(), start, os.SEEK_SET)

    def fileno(self) -> int:
        """The file, standing at the first byte of the piece."""
        return self._file.fileno()

    def read(self, size: int = -1) -> bytes:
        """The next bytes of the piece, for servers without sendfile; fewer than its length where the file has ended."""
        wanted = self._left if size < 0 else min(size, self._left)
        data = os.read(self._file.fileno(), wanted) if wanted else b""
        self._left -= len(data)
        self.sent += len(data)
        return data

    def close(self) -> None:
        """Close the file and tell; the second call does nothing."""
        if self._file.closed:
            return
        self._file.close()
        if self._ended is not None:
            self._ended(time.monotonic() - self._began, self.sent)
