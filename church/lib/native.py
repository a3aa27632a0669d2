"""Real threads, locks and sleep, also in a process whose standard library gevent has patched.

What must not depend on the hub (writing logs while a pipe is blocked) runs on these.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any


def _original(module: str, name: str) -> Any:
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None:
        return monkey.get_original(module, name)
    return getattr(__import__(module), name)


def allocate_lock() -> Any:
    """A lock of the operating system."""
    return _original("_thread", "allocate_lock")()


def start_thread(run: Callable[[], None]) -> None:
    """Run ``run`` in a thread of the operating system that ends with the process."""
    _original("_thread", "start_new_thread")(run, ())


def sleep(seconds: float) -> None:
    """Sleep this thread, not a greenlet."""
    _original("time", "sleep")(seconds)


def clock() -> float:
    """Seconds that only go forward."""
    return time.perf_counter()
