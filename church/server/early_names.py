"""Names that modules imported from the standard library before gevent patched it: `from time import sleep` and such.

gevent replaces `time.sleep`; a module that had already taken it by name would go on to block all greenlets of its
process. The master imports the site unpatched, since its other children need real threads. So it notes these names
(looking for them in a child would write to most of the shared memory), and each web worker sets them anew.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from threading import Lock
from types import ModuleType
from typing import Any, NamedTuple

_PATCHED = (
    "time",
    "_thread",
    "threading",
    "queue",
    "select",
    "selectors",
    "socket",
    "ssl",
    "signal",
    "subprocess",
    "os",
)
_RAW = frozenset({"SocketType"})  # who imports the socket below Python's own wants that one
_LOCK = type(Lock())


class EarlyName(NamedTuple):
    """A global of a module that holds an object of the standard library."""

    module: ModuleType
    name: str
    held: Any
    source: tuple[str, str]
    """Module and name at which the standard library has it."""


_noted: list[EarlyName] | None = None
_locks: list[tuple[ModuleType, str]] = []


def note() -> None:
    """Note what the loaded modules hold; the master calls this when it has imported the site."""
    global _noted  # noqa: PLW0603 - one list a process
    sources = _sources()
    _noted = [
        EarlyName(module, name, held, source)
        for module, name, held in _globals_of_libraries()
        for source in sources.get(id(held), ())
    ]
    _locks[:] = [(module, name) for module, name, held in _globals_of_libraries() if type(held) is _LOCK]


def renew() -> None:
    """Set the noted names to what gevent has patched in; a web worker calls this after it has patched.

    Locks of modules become new ones, too: greenlets that wait for an early one would all stop.
    """
    if _noted is None:
        note()
    for module, name, held, source in _noted or ():
        now = getattr(sys.modules[source[0]], source[1], held)
        if now is not held:
            setattr(module, name, now)
    for module, name in _locks:
        setattr(module, name, sys.modules["threading"].Lock())


def _sources() -> dict[int, list[tuple[str, str]]]:
    """Where the standard library has the functions and classes that gevent may replace, by their identity."""
    found: dict[int, list[tuple[str, str]]] = {}
    for source in filter(sys.modules.__contains__, _PATCHED):
        for name, held in vars(sys.modules[source]).items():
            if callable(held) and name not in _RAW:
                found.setdefault(id(held), []).append((source, name))
    return found


def _globals_of_libraries() -> Iterator[tuple[ModuleType, str, Any]]:
    """The globals of all modules outside of the standard library and gevent, which look after themselves."""
    for full_name, module in list(sys.modules.items()):
        top = full_name.partition(".")[0]
        if isinstance(module, ModuleType) and top not in sys.stdlib_module_names and top not in {"gevent", "greenlet"}:
            yield from ((module, name, held) for name, held in list(vars(module).items()))
