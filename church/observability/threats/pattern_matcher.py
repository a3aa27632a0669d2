"""The patterns compiled into one Hyperscan database, which reads a text once in time linear in its length.

Compiling takes seconds, so the result is kept beside the byte code of this package, for the same reasons and with the
same trust: whoever may write there may change the code itself. Where that folder cannot be written, every process
compiles for itself. https://intel.github.io/hyperscan/dev-reference/serialization.html
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
from collections import deque
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import hyperscan

from church.observability.threats.patterns import PATTERNS

CACHE_FOLDER: Final = Path(__file__).parent / "__pycache__"
_FLAGS: Final = hyperscan.HS_FLAG_CASELESS | hyperscan.HS_FLAG_DOTALL | hyperscan.HS_FLAG_SINGLEMATCH
_SCRATCH_SPACES: Final = 64


class Engine:
    """A compiled database and the scratch spaces that no scan uses just now.

    A scan lets other threads run, and two scans in one scratch space are an error: each takes one and gives it back.
    """

    def __init__(self, database: hyperscan.Database) -> None:
        self._database = database
        self._idle: deque[hyperscan.Scratch] = deque([hyperscan.Scratch(database)], maxlen=_SCRATCH_SPACES)

    def hits(self, data: bytes) -> list[tuple[int, int]]:
        """Return (number of the expression, offset behind its first match) for each expression that matches."""
        try:
            scratch = self._idle.pop()
        except IndexError:
            scratch = hyperscan.Scratch(self._database)
        found: list[tuple[int, int]] = []
        try:
            self._database.scan(data, match_event_handler=_note, context=found, scratch=scratch)
        finally:
            self._idle.append(scratch)
        return found


@cache
def engine() -> Engine:
    """Return this process's engine; the first call loads it (about a millisecond) or compiles it (seconds)."""
    return load([pattern.expression for pattern in PATTERNS], CACHE_FOLDER)


def load(expressions: Sequence[str], folder: Path) -> Engine:
    """Return an engine for `expressions` from `folder`, or compile it and keep it there.

    A kept file that is damaged, or made for another processor, is compiled anew.
    """
    maker = f"{version('hyperscan')} {platform.machine()}"
    digest = hashlib.sha256("\n".join((maker, *expressions)).encode()).hexdigest()[:16]
    kept = folder / f"threats-{digest}.hsdb"
    with contextlib.suppress(OSError, hyperscan.error):
        return Engine(hyperscan.loadb(kept.read_bytes(), hyperscan.HS_MODE_BLOCK))
    database = hyperscan.Database()
    database.compile(
        expressions=[expression.encode() for expression in expressions],
        ids=list(range(len(expressions))),
        flags=[_FLAGS] * len(expressions),
    )
    with contextlib.suppress(OSError):
        _keep(kept, hyperscan.dumpb(database))
    return Engine(database)


def _keep(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, however many processes do so at once, and remove those of older patterns."""
    path.parent.mkdir(exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    for outdated in path.parent.glob("threats-*.hsdb"):
        if outdated != path:
            outdated.unlink(missing_ok=True)


def _note(number: int, _start: int, end: int, _flags: int, found: Any) -> None:
    found.append((number, end))
