"""Refuse passwords that a guesser tries first. There is no rule about which characters a password must contain."""

from __future__ import annotations

import importlib.util
import re
import string
import threading
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from church.lib.threads import run_off_hub

MAX_PASSWORD_LENGTH = 256  # characters

_MOST_AROUND = 10  # characters around a common word; with more, they make the password strong enough
_MOST_LETTERS_AROUND = 4
_SHORTEST_TERM = 3
_FEWEST_PERSONAL = 4
_FEWEST_BREAKS = 2

_ROWS = (
    string.ascii_lowercase,
    string.digits + string.digits,
    "1234567890",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
    "azertyuiopqsdfghjklmwxcvbn",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
    "1q2w3e4r5t6y7u8i9o0p",
    "!@#$%^&*()",
)
_ENDS = string.digits + string.punctuation + string.whitespace
_STEPS = frozenset(step for row in _ROWS for line in (row, row[::-1]) for step in pairwise(line))
_LEET = [str.maketrans("@4830!1$57", f"aabeoi{one}sst") for one in "il"]


def find_problem(text: str, words: Collection[str], *, minimum: int, personal: Sequence[str]) -> str | None:
    """Return why ``text`` is refused, or None. ``words`` are the common passwords, in lower case."""
    if len(text) > MAX_PASSWORD_LENGTH:
        return f"Use at most {MAX_PASSWORD_LENGTH} characters."
    typed = unicodedata.normalize("NFC", text)
    if len(typed) < minimum:
        return f"Use at least {minimum} characters. A few words in a row are easy to remember."
    return _guessable(typed.casefold(), words, minimum, personal)


def _guessable(folded: str, words: Collection[str], minimum: int, personal: Sequence[str]) -> str | None:
    if _is_run(folded):
        return "This follows the keyboard or the alphabet. Use something less predictable."
    if (piece := _repeated(folded)) is not None and len(piece) < minimum:
        return "This repeats itself. Use something less predictable."
    if any(core in words or _repeated(core) in words for core in _cores(folded)):
        return "This is one of the most common passwords. Choose a different one."
    if _is_personal(folded, personal):
        return "This uses your name, your email address or the name of the site. Choose something others cannot guess."
    return None


def _is_run(text: str) -> bool:
    """Whether almost every character repeats the one before, or follows it on a keyboard or in the alphabet."""
    breaks = sum(pair not in _STEPS and pair[0] != pair[1] for pair in pairwise(text))
    return breaks <= max(_FEWEST_BREAKS, len(text) // 5)


def _repeated(text: str) -> str | None:
    """Return the piece that ``text`` repeats at least twice (the last time may be cut short), or None."""
    for size in range(1, len(text) // 2 + 1):
        if text.startswith(text[size:]):
            return text[:size]
    return None


def _cores(text: str) -> Iterator[str]:
    """``text`` itself, and without the few digits and signs around it, with and without letter substitutions."""
    for shape in (text, _letters_and_digits(text)):
        yield shape
        for ends in (_ENDS, string.digits):
            core = shape.strip(ends)
            if len(shape) - len(core) <= _MOST_AROUND:
                yield core
                yield from (core.translate(substitution) for substitution in _LEET)


def _letters_and_digits(text: str) -> str:
    return "".join(c for c in text if c.isalnum())


def _is_personal(text: str, personal: Sequence[str]) -> bool:
    """Whether little is left of ``text`` without the names and address of its owner."""
    plain = _letters_and_digits(text)
    rest = plain
    for term in sorted(_terms(personal), key=len, reverse=True):
        rest = rest.replace(term, "")
    letters = sum(c.isalpha() for c in rest)
    personal_length = len(plain) - len(rest)
    return personal_length >= _FEWEST_PERSONAL and len(rest) <= _MOST_AROUND and letters <= _MOST_LETTERS_AROUND


def _terms(personal: Sequence[str]) -> set[str]:
    """The names, whole and in parts; of an address also the part before the @ and the domain."""
    parts = {part for text in personal for part in (text, *re.split(r"[\W_]+", text), *text.split("@"))}
    folded = {_letters_and_digits(unicodedata.normalize("NFC", part).casefold()) for part in parts}
    return {part for part in folded if len(part) >= _SHORTEST_TERM}


# -- common passwords -------------------------------------------------------------------------------------------------

_SHORTEST = 4  # characters; shorter ones occur in too many words to mean anything

_words: frozenset[str] | None = None
_loading = threading.Lock()


def common_passwords() -> frozenset[str]:
    """Return the common passwords in lower case, read once a process at first use."""
    global _words  # noqa: PLW0603 - one set a process
    if _words is None:
        with _loading:
            _words = _words or run_off_hub(_load, _lists())
    return _words


def _lists() -> Path:
    """Locate zxcvbn's word lists. Importing the package would keep all of them ranked, in far more memory."""
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
