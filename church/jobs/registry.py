"""Registry of job kinds: their handlers, and the schedules of recurring jobs."""

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
    """No handler is registered for this kind: its module was not imported, or the name is mistyped."""

    def __init__(self, kind: str) -> None:
        super().__init__(
            f"no handler for jobs of kind {kind!r}; registered kinds: {', '.join(sorted(_handlers)) or 'none'}"
        )


def handler(kind: str, *, heavy: bool = False) -> Callable[[H], H]:
    """Register the decorated ``fn(payload)`` for jobs of ``kind`` (``domain.action``).

    It may run twice for one job when a process dies, so it must be safe to repeat. An exception means a retry. A
    ``heavy`` kind takes minutes or hours: a process runs one such job at a time, beside the others. Raises ValueError
    if the kind has a handler already.
    """

    def register(function: H) -> H:
        if kind in _handlers:
            raise ValueError(f"jobs of kind {kind!r} already have a handler: {_handlers[kind]!r}")
        _handlers[kind] = function
        if heavy:
            _heavy.add(kind)
        return function

    return register


def every(period: timedelta, kind: str) -> Callable[[H], H]:
    """Register the decorated function as the handler of ``kind``, queued once per ``period`` across all hosts."""

    def register(function: H) -> H:
        handler(kind)(function)
        schedule(kind, period)
        return function

    return register


def schedule(kind: str, every: timedelta) -> None:
    """Queue a job of ``kind``, with an empty payload, once per period across all hosts. Raises UnknownKindError."""
    find_handler(kind)
    if every <= timedelta(0):
        raise ValueError(f"{kind}: a schedule needs a period longer than 0")
    _schedules[kind] = every


def find_handler(kind: str) -> Handler:
    """Find the handler of ``kind``. Raises UnknownKindError."""
    try:
        return _handlers[kind]
    except KeyError:
        raise UnknownKindError(kind) from None


def registered_kinds() -> frozenset[str]:
    """All registered kinds."""
    return frozenset(_handlers)


def heavy_kinds() -> frozenset[str]:
    """Registered kinds that take long."""
    return registered_kinds() & _heavy


def registered_schedules() -> dict[str, timedelta]:
    """Periods of the scheduled kinds."""
    return dict(_schedules)
