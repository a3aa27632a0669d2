"""Tell errors apart: two with the same class that come from the same place in our code are one problem.

The line is no part of it, so that an edit above it makes no new problem.
"""

from __future__ import annotations

import hashlib
import sysconfig
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import CodeType, TracebackType
from typing import NamedTuple

_ROOT = Path(__file__).parents[2]
_OURS = ("church/", "templates/")
# The deepest first: one may be within another.
_LIBRARIES = sorted({sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib")}, key=len, reverse=True)
# Calls of others pass through these: where they were called says more.
_PASSED_THROUGH = ("church/observability/", "church/telemetry.py", "church/database/", "church/lib/threads.py")
_DIGITS = 16


class Problem(NamedTuple):
    """What an error is an occurrence of."""

    error_type: str
    """Its class: ``module.Class``, of a built-in one the name alone."""
    place: str
    """``church/services/x.py:function``, the innermost in our code, else anywhere; empty if it was not raised."""
    fingerprint: str
    """16 hexadecimal digits, the same for each occurrence in each process and version."""


def identify(error: BaseException, trace: TracebackType | None = None) -> Problem:
    """Say what ``error`` is an occurrence of; ``trace`` is its traceback if the error itself no longer has it."""
    error_type = name_type(type(error))
    place = _find_place(trace or error.__traceback__)
    digest = hashlib.sha256(f"{error_type}\n{place}".encode(errors="replace")).hexdigest()
    return Problem(error_type, place, digest[:_DIGITS])


def name_type(kind: type[BaseException]) -> str:
    """The name of a class of errors: ``module.Class``, of a built-in one the name alone."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


@lru_cache(maxsize=2048)
def shorten_path(filename: str) -> tuple[str, bool]:
    """The path of a source file without the folder that holds it, and whether it is ours: code or a template."""
    path = Path(filename)
    for folder in (*_LIBRARIES, str(_ROOT)):
        if path.is_relative_to(folder):
            short = path.relative_to(folder).as_posix()
            return short, folder == str(_ROOT) and short.startswith(_OURS)
    return path.name if path.is_absolute() else filename, False


def name_function(code: CodeType) -> str:
    """The name of a function with its class, without the functions that it is defined in."""
    return code.co_qualname.rpartition("<locals>.")[2]


def _find_place(trace: TracebackType | None) -> str:
    """The innermost place in our code that does not only pass calls on; else in our code; else anywhere."""
    best, rank = "", -1
    for code in _codes_of(trace):
        path, is_ours = shorten_path(code.co_filename)
        worth = 0 if not is_ours else 1 if path.startswith(_PASSED_THROUGH) else 2
        if worth >= rank:
            best, rank = f"{path}:{name_function(code)}", worth
    return best


def _codes_of(trace: TracebackType | None) -> Iterator[CodeType]:
    while trace is not None:
        yield trace.tb_frame.f_code
        trace = trace.tb_next
