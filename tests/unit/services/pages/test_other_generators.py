"""Words by which other generators hide a page: none of them may open one here."""

from __future__ import annotations

import pytest

from church.services.pages.other_generators import find_hiding_word, is_slip
from church.services.pages.strict_yaml import read_fields


def reason(lines: str) -> str:
    """Why a page with these lines is left out; empty if it is not."""
    return find_hiding_word(read_fields(lines)) or ""


@pytest.mark.parametrize(
    "line",
    [
        "published: false",
        "published: no",
        "publish: off",
        "visible: false",
        "render: never",
        "listed: 0",
        "private: true",
        "private: members only",
        "isPrivate: yes",
        "hidden: true",
        "hide: true",
        "unlisted: true",
        "unpublish: true",
        "free: false",
        "members: true",
        "subscribers: paid",
        "login: true",
        "ghost: {visibility: paid}",
        "protected: true",
        "members_only: true",
        "members-only: 1",
        "Subscribers Only: true",
        "paid: true",
        "premium: on",
        "password: hunter2",
        "post_password: hunter2",
        "visibility: private",
        "visibility: members",
        "visibilty: private",
        "status: draft",
        "Status: hidden",
        "status: in review",
        "post_status: future",
        "tier: gold",
        "tiers: [gold, silver]",
        "audience: only_paid",
        "level: members",
        "expires: 2031-01-01",
        "expiryDate: 2031-01-01",
        "unpublish_date: 2031-01-01",
        "permalink: false",
        "robots: noindex, nofollow",
        "eleventyExcludeFromCollections: true",
        "extra: {private: true}",
        "params:\n  visibility: members",
        "build: {list: never}",
        "_build:\n  render: never",
        "permissions: {read: [staff]}",
    ],
)
def test_word_that_hides_a_page_elsewhere_leaves_it_out_with_what_to_write(line: str) -> None:
    found = reason(line)
    assert line.split(":", maxsplit=1)[0].strip(" {}") in found
    assert "draft: true" in found
    assert "hunter2" not in found


@pytest.mark.parametrize(
    "line",
    [
        "published: true",
        "published: Yes",
        "publish: on",
        "private: false",
        "private:",
        "hidden: no",
        "paid: 0",
        "protected: off",
        "password:",
        "password: ''",
        "visibility: public",
        "status: published",
        "status: Live",
        "tier: free",
        "tiers: []",
        "expires:",
        "hide: [navigation, toc]",
        "members: [Ann, Bob]",
        "free: yes",
        "level: beginner",
        "audience: developers",
        "permalink: /about/",
        "robots: index",
        "publisher: A Press",
        "author: {private: true}",
        "layout: post",
        "build: {list: always}",
    ],
)
def test_word_with_a_value_that_hides_nothing_is_fine(line: str) -> None:
    assert reason(line) == ""


@pytest.mark.parametrize("name", ["darft", "draf", "drafft", "drapt", "ddraft", "raft"])
def test_slip_of_one_letter_is_found(name: str) -> None:
    assert is_slip(name, "draft")


@pytest.mark.parametrize("name", ["draft", "dart", "drafting", "tfard", ""])
def test_slip_is_neither_the_word_itself_nor_another_word(name: str) -> None:
    assert not is_slip(name, "draft")
