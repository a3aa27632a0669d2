"""The public opening of a page."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from church.services.pages.teaser import ExtractedText, extract_text
from tests.support.pages_fixture import CLOSED, HIDDEN, render_body


def test_opening_ends_at_the_first_heading() -> None:
    page = render_body(CLOSED)
    assert page.opening == "<p>The opening of it, with <em>care</em>.</p>"
    assert HIDDEN not in page.opening + page.opening_text + "".join(page.headings)
    assert HIDDEN in page.text


@pytest.mark.parametrize(
    ("body", "opening"),
    [
        ("# Heading\n\nhidden", ""),
        ("<div><h2>x</h2><p>hidden</p></div>\n\nhidden", ""),
        ("one\n\ntwo\n\nthree\n\nfour\n\n## H", "one\ntwo\nthree"),
        ("one\n\n- list\n\ntwo\n\n## H", "one"),
        ("!!! note\n    aside\n\none\n\ntwo\n\n## H", "one\ntwo"),
        ("only one paragraph, and no heading at all", ""),
        ("short\n\n" + "a much longer second paragraph " * 5, "short"),
    ],
)
def test_opening_is_the_first_run_of_paragraphs(body: str, opening: str) -> None:
    assert render_body(body).opening_text == opening


def test_opening_of_a_very_long_paragraph_is_cut_between_words() -> None:
    page = render_body("word <b>& more</b> " * 300 + "\n\n## H\n")
    assert 1100 < len(page.opening_text) < 1210
    assert page.opening_text.endswith((" word …", " & …", " more …"))
    assert "<b>" not in page.opening
    assert "&amp;" in page.opening


def test_opening_leaves_out_references_to_footnotes() -> None:
    page = render_body("Said[^1] and [seen](#part).\n\n## Part\n\n[^1]: A note.\n")
    assert page.opening == "<p>Said and seen.</p>"


@given(st.text(alphabet=st.sampled_from(list("ab \n#>*-`<p/>[]()|!:=")), max_size=150))
def test_opening_never_contains_text_after_the_first_heading(before: str) -> None:
    page = render_body(f"{before}\n\n<h2>Part</h2>\n\n{HIDDEN}\n\n[^x]: {HIDDEN}\n")
    assert HIDDEN not in page.opening


def test_extract_text_without_any_element_is_empty() -> None:
    assert extract_text("") == ExtractedText("", "", "")


def test_extract_text_leaves_ids_and_links_within_the_page_out_of_the_opening() -> None:
    found = extract_text('<p>One <a href="#part">two</a> <a href="/three">three</a></p><h2 id="part">Part</h2>')
    assert found.opening == '<p>One two <a href="/three">three</a></p>'
    assert found.text == "One two three\nPart"


def test_extract_text_opening_of_a_page_without_headings_is_at_most_a_third() -> None:
    assert extract_text("<p>abc</p><p>defghi</p>").opening_text == "abc"
    assert extract_text("<p>abcd</p><p>defgh</p>").opening_text == ""
