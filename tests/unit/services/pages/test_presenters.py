"""Views of pages for templates and crawlers: cards, teasers, JSON-LD."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from church.services.pages.presenters import make_card, make_json_ld, make_teaser, make_view
from church.services.pages.render import render_page
from tests.support.pages_fixture import CLOSED, HIDDEN, make_page

ORIGIN = "https://church.example"


def test_card_of_a_draft_says_so_in_its_title() -> None:
    assert make_card(make_page("x", draft="true")).title == "Draft: A page"
    assert make_card(make_page("x")).title == "A page"


def test_teaser_contains_nothing_of_the_hidden_text() -> None:
    page = make_page(CLOSED, access="premium")
    shown = make_teaser(page, render_page(page), ORIGIN)
    assert HIDDEN not in repr(shown)
    assert (shown.headings, shown.access, shown.canonical) == (("First part",), "premium", f"{ORIGIN}/pages/made")


def test_json_ld_describes_a_page() -> None:
    page = make_page("x", title="Hi", tags="[a]", summary="Sum")
    found = json.loads(make_json_ld(make_view(page, render_page(page), ORIGIN, None, None), "Site", ORIGIN))
    assert (found["@type"], found["headline"], found["description"]) == ("Article", "Hi", "Sum")
    assert (found["datePublished"], found["isAccessibleForFree"]) == ("2026-01-02", True)
    assert found["url"] == f"{ORIGIN}/pages/made"


def test_json_ld_of_a_closed_page_is_not_free() -> None:
    page = make_page(CLOSED, access="members")
    shown = make_teaser(page, render_page(page), ORIGIN)
    assert json.loads(make_json_ld(shown, "Site", ORIGIN))["isAccessibleForFree"] is False


@given(st.text(max_size=60))
def test_json_ld_cannot_leave_its_script(name: str) -> None:
    page = make_page("x", title='"</script><script>alert(1)//<!--"')
    text = str(make_json_ld(make_view(page, render_page(page), ORIGIN, None, None), name, ORIGIN))
    assert not set("<>&'") & set(text)
    assert json.loads(text)["headline"] == "</script><script>alert(1)//<!--"
    assert json.loads(text)["publisher"]["name"] == name
