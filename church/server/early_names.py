"""What a process has to know before gevent patches it late: above all `from time import sleep` and such in its modules.

gevent replaces `time.sleep`; a module that had already taken it by name would go on to block all greenlets of its
process. The master imports the site unpatched, since its other children need real threads. So it notes these names
(looking for them in a child would write to most of the shared memory), and each web worker sets them anew.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
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
_SITE = "church"
_REAL_LOCKS = "church.observability"  # its locks are real ones on purpose: threads and greenlets share them
_LOCK = type(Lock())


class EarlyName(NamedTuple):
    """A global of a module that holds an object of the standard library."""

    module: ModuleType
    name: str
    held: Any
    source: tuple[str, str]
    """Module and name at which the standard library has it."""


_noted: list[EarlyName] | None = None
_plugins: Any = None
_locks: list[tuple[Any, str]] = []


def note() -> None:
    """Note what the loaded modules hold; the master calls this when it has imported the site."""
    global _noted, _plugins  # noqa: PLW0603 - one list a process
    _plugins = metadata.entry_points()
    sources = _sources()
    _noted = [
        EarlyName(module, name, held, source)
        for module, name, held in _globals_of_libraries()
        for source in sources.get(id(held), ())
    ]
    _locks[:] = [(holder, name) for holder in _holders_of_the_site() for name in _lock_names(holder)]


def renew() -> None:
    """Set the noted names to what gevent has patched in; a web worker calls this after it has patched.

    The site's locks become new ones, too: a greenlet that waits for an early one stops all others.
    """
    if _noted is None:
        note()
    for module, name, held, source in _noted or ():
        now = getattr(sys.modules[source[0]], source[1], held)
        if now is not held:
            setattr(module, name, now)
    for holder, name in _locks:
        setattr(holder, name, sys.modules["threading"].Lock())


@contextmanager
def known_plugins() -> Iterator[None]:
    """Let gevent find its plugins in what ``note`` has read: else each worker reads about all packages."""
    if _plugins is None:
        yield
        return
    find, metadata.entry_points = metadata.entry_points, _plugins.select
    try:
        yield
    finally:
        metadata.entry_points = find


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


def _holders_of_the_site() -> Iterator[Any]:
    """The site's modules, and the objects of its classes."""
    for each in gc.get_objects():
        name = each.__name__ if type(each) is ModuleType else type(each).__module__
        if isinstance(name, str) and name.partition(".")[0] == _SITE and not name.startswith(_REAL_LOCKS):
            yield each


def _lock_names(holder: Any) -> list[str]:
    return [name for name, held in getattr(holder, "__dict__", {}).items() if type(held) is _LOCK]
