"""The words that guessers try first: zxcvbn's lists of leaked passwords, names and frequent words, kept offline."""

from __future__ import annotations

import importlib.util
import threading
from pathlib import Path
from typing import Any

from church.lib.threads import off_hub

_SHORTEST = 4  # characters; shorter ones stand in too many words to mean anything

_words: frozenset[str] | None = None
_loading = threading.Lock()


def common() -> frozenset[str]:
    """All of them in lower case: read once a process, by whoever asks first."""
    global _words  # noqa: PLW0603 - one set a process
    if _words is None:
        with _loading:
            _words = _words or off_hub(_load, _lists())
    return _words


def _lists() -> Path:
    """The file of the lists; the package is not imported, for it would keep all of them ranked, in far more memory."""
    package = importlib.util.find_spec("zxcvbn")
    if package is None or package.origin is None:
        raise RuntimeError("zxcvbn is not installed: install the site's locked requirements")
    return Path(package.origin).with_name("frequency_lists.py")


def _load(path: Path) -> frozenset[str]:
    lists: dict[str, Any] = {}
    exec(compile(path.read_bytes(), str(path), "exec"), lists)  # noqa: S102 - a module of an installed package
    return frozenset(
        word
        for text in lists["FREQUENCY_LISTS"].values()
        for word in (text.split(",") if isinstance(text, str) else text)
        if len(word) >= _SHORTEST
    )
