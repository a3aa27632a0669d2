"""Descriptions of videos as HTML and as one line, and slugs made from titles."""

from __future__ import annotations

import pytest

from church.services.videos import descriptions
from church.services.videos.descriptions import is_valid_slug, make_slug, render_description, summarize


def test_description_is_markdown_without_active_markup() -> None:
    found = render_description("Boats *and* <script>alert(1)</script> ropes.")
    assert "<em>and</em>" in found
    assert "<script" not in found


def test_description_that_cannot_be_rendered_is_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_text: str) -> None:
        raise descriptions.RenderError("too deep")

    monkeypatch.setattr(descriptions, "render_fragment", fail)
    assert render_description("<b>Nets</b> *that fail*") == "<p>&lt;b&gt;Nets&lt;/b&gt; *that fail*</p>"


def test_summary_is_the_first_paragraph_without_markup() -> None:
    assert summarize("\n\nA **boat**, a\n[rope](/rope) and ![a net](/net.jpg).\n\nMore.") == "A boat, a rope and a net."
    assert summarize("") == ""


def test_summary_of_a_long_description_is_cut_at_a_word() -> None:
    found = summarize("harbour " * 100)
    assert found.endswith("harbour …")
    assert len(found) <= 202


@pytest.mark.parametrize(
    ("title", "slug"), [("The Harbour!", "the-harbour"), ("Äpfel & Öl", "apfel-ol"), ("x" * 100, "x" * 80)]
)
def test_slug_of_a_title_is_ascii_words_with_hyphens(title: str, slug: str) -> None:
    assert make_slug(title) == slug
    assert is_valid_slug(slug)


def test_slug_of_a_title_without_ascii_letters_is_random() -> None:
    assert make_slug("教会") != make_slug("教会")
    assert is_valid_slug(make_slug("教会"))


@pytest.mark.parametrize("text", ["", "The-Harbour", "-a", "a--b", "a_b", "stream", "x" * 81])
def test_slug_invalid_or_reserved_is_refused(text: str) -> None:
    assert not is_valid_slug(text)
