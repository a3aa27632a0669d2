"""Attempts to leave the content folder, and typos that only look like them."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from church.services.pages.library import looks_like_traversal


@pytest.mark.parametrize(
    "slug",
    [
        "../etc",
        "%uff0e%uff0e/",
        "%u002e%u002E/",
        "%25uff0e%25uff0e/",
        "\uff05\uff12e\uff05\uff12e",
        "%uff052e%uff052e",
        "a%u2216b%u005cc",
        "%u0000",
        *("%" + "25" * fold + "2e%" + "25" * fold + "2e" for fold in range(12)),
    ],
)
def test_looks_like_traversal_finds_every_encoding(slug: str) -> None:
    assert looks_like_traversal(slug)


@pytest.mark.parametrize(
    "slug", ["open", "guide/first", "a.b-c_d", "über", "what is this?", "50%", "%u", "%ud83d", "a%2eb"]
)
def test_looks_like_traversal_ignores_typos(slug: str) -> None:
    assert not looks_like_traversal(slug)


@pytest.mark.parametrize("slug", ["50% off", "über uns/erste", "a%b"])
def test_looks_like_traversal_ignores_a_page_encoded_twice(slug: str) -> None:
    assert not looks_like_traversal(quote(quote(slug)))
