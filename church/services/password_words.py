"""The words that guessers try first: zxcvbn's lists of leaked passwords, names and frequent words, kept offline."""

from __future__ import annotations

import importlib.util
import threading
from pathlib import Path
from typing import Any

from church.offhub import off_hub

_SHORTEST = 4  # characters; shorter ones stand in too many words to mean anything

_words: frozenset[str] | None = None
_loading = threading.Lock()


def common() -> frozenset[str]:
    """All of them in lower case: read once a process, by whoever asks first."""
    global _words  # noqa: PLW0603 - one set a process
    if _words is None:
        with _loading:
            _words = _words or off_hub(_load)
    return _words


def _load() -> frozenset[str]:
    """The lists' file alone: the package itself would keep all of them ranked, in six times the memory."""
    package = importlib.util.find_spec("zxcvbn")
    if package is None or package.origin is None:
        raise RuntimeError("zxcvbn is not installed: pip install -r requirements.txt")
    lists: dict[str, Any] = {}
    source = Path(package.origin).with_name("frequency_lists.py").read_bytes()
    exec(compile(source, "frequency_lists.py", "exec"), lists)  # noqa: S102 - a module of an installed package
    return frozenset(
        word
        for text in lists["FREQUENCY_LISTS"].values()
        for word in (text.split(",") if isinstance(text, str) else text)
        if len(word) >= _SHORTEST
    )
