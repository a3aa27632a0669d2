"""Which kinds of jobs there are, what does them, and which come round by themselves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

Handler = Callable[[dict[str, Any]], None]
H = TypeVar("H", bound=Handler)

_handlers: dict[str, Handler] = {}
_schedules: dict[str, timedelta] = {}
_heavy: set[str] = set()


class UnknownKindError(LookupError):
    """No handler of this kind is registered: its module was not imported, or the name has a slip in it."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"no handler for jobs of kind {kind!r}; known are: {', '.join(sorted(_handlers)) or 'none'}")


def handler(kind: str, *, heavy: bool = False) -> Callable[[H], H]:
    """Register the decorated ``fn(payload)`` for jobs of ``kind`` (``domain.action``).

    It may be called twice for one job when a process dies, so it must be safe to repeat; an exception is a retry.
    A ``heavy`` kind takes minutes or hours: a process does one such job at a time, beside all others.
    Raises ValueError when the kind is taken.
    """

    def register(function: H) -> H:
        if kind in _handlers:
            raise ValueError(f"jobs of kind {kind!r} have a handler already: {_handlers[kind]!r}")
        _handlers[kind] = function
        if heavy:
            _heavy.add(kind)
        return function

    return register


def every(period: timedelta, kind: str) -> Callable[[H], H]:
    """Register the decorated function as the handler of ``kind``, queued once a ``period`` over all hosts."""

    def register(function: H) -> H:
        handler(kind)(function)
        schedule(kind, period)
        return function

    return register


def schedule(kind: str, every: timedelta) -> None:
    """Queue a job of ``kind``, with an empty payload, once a period over all hosts. Raises UnknownKindError."""
    find_handler(kind)
    if every <= timedelta(0):
        raise ValueError(f"{kind}: a schedule needs a period longer than nothing")
    _schedules[kind] = every


def find_handler(kind: str) -> Handler:
    """The function for ``kind``. Raises UnknownKindError."""
    try:
        return _handlers[kind]
    except KeyError:
        raise UnknownKindError(kind) from None


def kinds() -> frozenset[str]:
    """Every kind that this process can do."""
    return frozenset(_handlers)


def heavy_kinds() -> frozenset[str]:
    """Those of them that take long."""
    return kinds() & _heavy


def schedules() -> dict[str, timedelta]:
    """The period of each scheduled kind."""
    return dict(_schedules)
