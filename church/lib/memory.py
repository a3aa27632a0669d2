"""The memory of this process."""

from __future__ import annotations

import ctypes
import gc


def give_back_free_memory() -> None:
    """Return freed memory to the system: the C library of Linux keeps what lies between blocks that are in use.

    Takes a few milliseconds. Where the library has no such function, this does nothing.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def free_memory() -> None:
    """Give back what is free after much work, garbage in cycles too, which would wait there for more work."""
    gc.collect()
    give_back_free_memory()
