"""What a process has to know before gevent patches it late: where its code holds what gevent will replace.

gevent replaces `time.sleep`; a module that took it by name (`from time import sleep`), or a function that has it as a
default, would go on to block all greenlets of its process. The master imports the site unpatched, since its other
children need real threads. So it notes these places (looking for them in a child would write to most of the shared
memory), and each web worker sets them anew.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from threading import Lock
from types import FunctionType, ModuleType
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
_NOT_OURS = sys.stdlib_module_names | {"gevent", "greenlet", "__main__"}  # they look after themselves
_SITE = "church"
_REAL_LOCKS = "church.observability"  # its locks are real ones on purpose: threads and greenlets share them
_LOCK = type(Lock())


class Source(NamedTuple):
    """A function or class of the standard library, and the modules and names at which that has it."""

    held: Any
    places: list[tuple[str, str]]

    def replacement(self) -> Any:
        """What is there now."""
        now = (getattr(sys.modules[module], name, self.held) for module, name in self.places)
        return next((one for one in now if one is not self.held), self.held)


class EarlyPlaces(NamedTuple):
    """Where the loaded code holds things of the standard library, and locks."""

    sources: dict[int, Source]
    names: list[tuple[Any, str]]
    """Modules, classes and objects, each with the name at which it holds one."""
    functions: list[FunctionType]
    """Functions with one as a default."""
    locks: list[tuple[Any, str]]
    """Modules and objects of the site with locks."""


_noted: EarlyPlaces | None = None
_plugins: Any = None


def note() -> None:
    """Note what the loaded code holds; the master calls this when it has imported the site."""
    global _noted, _plugins  # noqa: PLW0603 - one for the process
    _plugins = metadata.entry_points()
    found = _noted = EarlyPlaces(_find_sources(), [], [], [])
    for each in gc.get_objects():
        kind = type(each)
        if kind is FunctionType:
            if _is_ours(each.__module__) and _holds_one(found.sources, each):
                found.functions.append(each)
        elif kind is ModuleType:
            _note_names(found, each, each.__name__)
        elif isinstance(each, type):
            _note_names(found, each, each.__module__)
        elif isinstance(kind.__module__, str) and kind.__module__.startswith(f"{_SITE}."):
            _note_names(found, each, kind.__module__)


def renew() -> None:
    """Set the noted places to what gevent has patched in; a web worker calls this after it has patched.

    The site's locks become new ones, too: a greenlet that waits for an early one stops all others.
    """
    if _noted is None:
        note()
    if (noted := _noted) is None:
        return
    replaced = {key: now for key, source in noted.sources.items() if (now := source.replacement()) is not source.held}
    for holder, name in noted.names:
        if (held := id(vars(holder)[name])) in replaced:
            setattr(holder, name, replaced[held])
    for function in noted.functions:
        _renew_defaults(function, replaced)
    for holder, name in noted.locks:
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


def _find_sources() -> dict[int, Source]:
    """Find the functions and classes of the standard library that gevent may replace, by their identity."""
    found: dict[int, Source] = {}
    for module in filter(sys.modules.__contains__, _PATCHED):
        for name, held in vars(sys.modules[module]).items():
            if callable(held) and name not in _RAW:
                found.setdefault(id(held), Source(held, [])).places.append((module, name))
    return found


def _is_ours(module: object) -> bool:
    return isinstance(module, str) and module.partition(".")[0] not in _NOT_OURS


def _holds_one(sources: dict[int, Source], function: FunctionType) -> bool:
    defaults = (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
    return any(id(value) in sources for value in defaults)


def _note_names(found: EarlyPlaces, holder: Any, module: object) -> None:
    if not _is_ours(module):
        return
    is_of_site = str(module).partition(".")[0] == _SITE and not str(module).startswith(_REAL_LOCKS)
    for name, held in list(getattr(holder, "__dict__", {}).items()):
        if id(held) in found.sources:
            found.names.append((holder, name))
        elif is_of_site and type(held) is _LOCK:
            found.locks.append((holder, name))


def _renew_defaults(function: FunctionType, replaced: dict[int, Any]) -> None:
    if function.__defaults__:
        function.__defaults__ = tuple(replaced.get(id(value), value) for value in function.__defaults__)
    if function.__kwdefaults__:
        defaults = function.__kwdefaults__.items()
        function.__kwdefaults__ = {name: replaced.get(id(value), value) for name, value in defaults}
