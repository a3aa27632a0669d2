"""Topics: the most used for every list, and all of them by letter in parts."""

from __future__ import annotations

import pytest

from church.services.pages import topics
from church.services.pages.library import TagCount
from church.services.pages.topics import ALL_TOPICS, choose_most_used, list_topics


def tags(*names: str, count: int = 1) -> tuple[TagCount, ...]:
    return tuple(TagCount(name, count) for name in sorted(names))


def names(found: topics.TopicPart | None) -> list[str]:
    assert found is not None
    return [topic.name for topic in found.topics]


def test_most_used_topics_are_chosen_and_ordered_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "MOST_TOPICS", 3)
    found = (TagCount("a", 1), TagCount("b", 9), TagCount("c", 2), TagCount("d", 3), TagCount("e", 2))
    assert [topic.name for topic in choose_most_used(found)] == ["b", "c", "d"]


def test_topics_of_a_letter_ignore_case_and_accents() -> None:
    found = tags("Öl", "oak", "pier", "42", "жук", "東京", "海")
    assert names(list_topics(found, "o", None)) == ["oak", "Öl"]
    assert names(list_topics(found, "0", None)) == ["42"]
    assert names(list_topics(found, "other", None)) == ["東京", "海"]
    assert list_topics(found, "x", None) is None
    whole = list_topics(found, ALL_TOPICS, None)
    assert names(whole) == ["42", "oak", "Öl", "pier", "жук", "東京", "海"]
    assert whole is not None
    assert [(letter.key, letter.count) for letter in whole.letters] == [
        ("0", 1), ("o", 2), ("p", 1), ("ж", 1), ("other", 2),
    ]  # fmt: skip


def test_topics_in_parts_have_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "PART_SIZE", 2)
    found = tags("a", "A", "á", "b", "c")
    seen, after = [], None
    while True:
        part = list_topics(found, ALL_TOPICS, after)
        seen += names(part)
        assert part is not None
        if part.next is None:
            break
        after = part.next
    assert seen == ["A", "a", "á", "b", "c"]
    assert names(list_topics(found, ALL_TOPICS, "zzz")) == []


def test_topics_of_a_site_without_tags_are_none() -> None:
    assert names(list_topics((), ALL_TOPICS, None)) == []
    assert choose_most_used(()) == ()
