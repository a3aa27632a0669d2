"""Import a package without the optional ones that it looks for and this site does without."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hidden_modules(*names: str) -> Iterator[None]:
    """Let nothing import these modules in the block. Those that are loaded already stay as they are."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: an import raises ImportError
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
