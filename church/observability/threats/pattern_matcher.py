"""Match all patterns at once with a Hyperscan database, in time linear in the length of the text.

Compiling takes seconds, so the result is cached beside the byte code of this package. That is as safe as the byte code:
who can write there can change the code itself. Where that folder is not writable, every process compiles for itself.
https://intel.github.io/hyperscan/dev-reference/serialization.html
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


class PatternMatcher:
    """A compiled database and its idle scratch spaces.

    Other threads run during a scan, and two scans must not share a scratch space: each takes its own.
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
        matches: list[tuple[int, int]] = []
        try:
            self._database.scan(data, match_event_handler=_note, context=matches, scratch=scratch)
        finally:
            self._idle.append(scratch)
        return matches


@cache
def load_process_matcher() -> PatternMatcher:
    """Return this process's engine; the first call loads it (about a millisecond) or compiles it (seconds)."""
    return load_matcher([pattern.expression for pattern in PATTERNS], CACHE_FOLDER)


def load_matcher(expressions: Sequence[str], folder: Path) -> PatternMatcher:
    """Return an engine for `expressions` from the cache in `folder`, or compile it and cache it there.

    A cached file that is damaged, or was made for another processor, is compiled anew.
    """
    maker = f"{version('hyperscan')} {platform.machine()}"
    digest = hashlib.sha256("\n".join((maker, *expressions)).encode()).hexdigest()[:16]
    cached = folder / f"threats-{digest}.hsdb"
    with contextlib.suppress(OSError, hyperscan.error):
        return PatternMatcher(hyperscan.loadb(cached.read_bytes(), hyperscan.HS_MODE_BLOCK))
    database = hyperscan.Database()
    database.compile(
        expressions=[expression.encode() for expression in expressions],
        ids=list(range(len(expressions))),
        flags=[_FLAGS] * len(expressions),
    )
    with contextlib.suppress(OSError):
        _write_cache(cached, hyperscan.dumpb(database))
    return PatternMatcher(database)


def _write_cache(path: Path, content: bytes) -> None:
    """Write a file atomically, however many processes do so at once, and remove those of older patterns."""
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


def _note(number: int, _start: int, end: int, _flags: int, matches: Any) -> None:
    matches.append((number, end))
