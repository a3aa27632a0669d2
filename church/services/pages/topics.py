"""The tags of the pages as topics: the most used for every list, and all of them by letter."""

from __future__ import annotations

import heapq
import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from church.services.pages.library import TagCount

MOST_TOPICS = 30
PART_SIZE = 300
ALL_TOPICS = "all"
DIGITS = "0"
OTHERS = "other"
_LAST_ALPHABET = 0x700  # up to here, scripts have an alphabet: Latin, Greek, Cyrillic, Armenian, Hebrew, Arabic


@dataclass(frozen=True)
class Letter:
    """A first letter of topics, and how many begin with it. ``key`` is what addresses have for it."""

    key: str
    text: str
    count: int


@dataclass(frozen=True)
class TopicPart:
    """Some topics by name. ``letters`` are those of all topics; ``next`` is the topic that the next part follows."""

    topics: tuple[TagCount, ...]
    letters: tuple[Letter, ...]
    next: str | None


def choose_most_used(tags: Sequence[TagCount]) -> tuple[TagCount, ...]:
    """Choose the tags that most pages have, ordered by name."""
    most = heapq.nsmallest(MOST_TOPICS, tags, key=lambda tag: (-tag.count, tag.name))
    return tuple(sorted(most, key=lambda tag: tag.name))


def list_topics(tags: Sequence[TagCount], letter: str, after: str | None) -> TopicPart | None:
    """List the topics of a letter, or all for ``ALL_TOPICS``, from one on. None if no topic begins with ``letter``."""
    keys = [_find_key(tag.name) for tag in tags]
    found = sorted(
        (tag for tag, key in zip(tags, keys, strict=True) if letter in {ALL_TOPICS, key}),
        key=lambda tag: _order(tag.name),
    )
    if not found and letter != ALL_TOPICS:
        return None
    start = 0 if after is None else bisect_right(found, _order(after), key=lambda tag: _order(tag.name))
    shown = tuple(found[start : start + PART_SIZE])
    has_more = start + PART_SIZE < len(found)
    return TopicPart(shown, _count_letters(keys), shown[-1].name if has_more else None)


def _count_letters(keys: Sequence[str]) -> tuple[Letter, ...]:
    counts = Counter(keys)
    texts = {DIGITS: "0 to 9", OTHERS: "Others"}
    return tuple(
        Letter(key, texts.get(key, key.upper()), counts[key])
        for key in sorted(counts, key=lambda key: (key == OTHERS, key))
    )


def _find_key(name: str) -> str:
    """Return the letter that ``name`` begins with, without case and accents."""
    first = unicodedata.normalize("NFKD", name.casefold())[:1]
    if not first.isalpha():
        return DIGITS
    return first if ord(first) < _LAST_ALPHABET else OTHERS


def _order(name: str) -> tuple[str, str]:
    folded = unicodedata.normalize("NFKD", name.casefold())
    return "".join(letter for letter in folded if not unicodedata.combining(letter)), name
