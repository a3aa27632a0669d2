"""Run what computes for long, or waits in C, where it does not stop the other requests of a gevent worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, TypeVarTuple, Unpack

import gevent
from gevent.monkey import is_module_patched

_T = TypeVar("_T")
_Args = TypeVarTuple("_Args")


def off_hub(fn: Callable[[Unpack[_Args]], _T], *args: *_Args) -> _T:
    """``fn(*args)``, in gevent's thread pool if this process is a gevent worker, else directly.

    ``fn`` runs in a real thread: it must not log, take locks, or touch the request or the database.
    Its exception is raised here.
    """
    if not is_module_patched("threading"):
        return fn(*args)
    value, error = gevent.get_hub().threadpool.apply(outcome_of, (fn, args))
    if error is not None:
        raise error
    result: _T = value
    return result


def outcome_of(fn: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, Exception | None]:
    """Carry an exception as a value: one that leaves a pool thread is also printed to stderr by the hub."""
    try:
        return fn(*args), None
    except Exception as error:  # noqa: BLE001 - raised again by the caller of off_hub
        return None, error
