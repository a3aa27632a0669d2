"""Cleaned HTML: no active markup, and links that leave the site have rel."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from church.services.pages.clean_html import clean_markup
from tests.support.pages_fixture import Elements, attributes_of, render_body


def test_render_heading_never_gets_an_id_of_the_templates() -> None:
    page = render_body("## Main\n\n<h3 id='main'>x</h3>\n")
    assert page.toc[0].id == "main-section"
    assert attributes_of(page.html, "h3") == [{}]


def test_render_scrolling_blocks_are_reachable_by_keyboard() -> None:
    assert attributes_of(render_body("```\ncode\n```\n").html, "pre") == [{"tabindex": "0"}]


@pytest.mark.parametrize(
    ("link", "rel"),
    [
        ("/pages/x", None),
        ("#part", None),
        ("other", None),
        ("https://elsewhere.example/", "noopener noreferrer"),
        ("//elsewhere.example/", "noopener noreferrer"),
        ("/\\\\elsewhere.example", "noopener noreferrer"),
        ("mailto:a@b.example", "noopener noreferrer"),
    ],
)
def test_render_links_that_leave_the_site_have_rel(link: str, rel: str | None) -> None:
    assert [found.get("rel") for found in attributes_of(render_body(f"[x]({link})").html, "a")] == [rel]


@pytest.mark.parametrize(
    "vector",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt&colon;alert(1))",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
        "<javascript:alert(1)>",
        "<a href='vbscript:x'>x</a>",
        "<details ontoggle=alert(1) open><summary>x</summary></details>",
        "<svg><script>alert(1)</script></svg>",
        "<svg/onload=alert(1)>",
        "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
        "<iframe src='https://evil.example'></iframe>",
        "<object data=x></object><embed src=x>",
        "<form action=/x><input name=q><button>x</button></form>",
        "<p style='position:fixed' class='way-in' id='main'>x</p>",
        "<base href='https://evil.example/'><meta http-equiv=refresh content=0><link rel=stylesheet href=x>",
        "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
        "![x](javascript:alert(1))",
        "```html\n<script>alert(1)</script>\n```",
        "## <img src=x onerror=alert(1)> x",
        "| <script>x</script> |\n|---|\n| <b onclick=x>y</b> |",
        "[^<script>x</script>]\n\n[^<script>x</script>]: <script>y</script>",
    ],
)
def test_render_removes_active_markup(vector: str) -> None:
    page = render_body(f"{vector}\n\nafter\n")
    for html in (page.html, page.opening):
        _assert_harmless(html)


def _assert_harmless(html: str) -> None:
    bad = {
        "script",
        "iframe",
        "object",
        "embed",
        "form",
        "input",
        "button",
        "svg",
        "math",
        "style",
        "base",
        "meta",
        "link",
    }
    for tag, found in Elements(html).found:
        assert tag not in bad
        assert not any(name.startswith("on") or name in {"style", "srcdoc", "formaction"} for name in found)
        assert found.get("id") != "main"
        for name in ("href", "src"):
            address = (found.get(name) or "").strip().lower()
            assert not address.startswith(("javascript:", "data:", "vbscript:"))


@given(st.text(alphabet=st.sampled_from(list("<>&\"'=/ax[]()#*`!:\n -|^on")), max_size=200))
def test_render_anything_is_harmless(body: str) -> None:
    page = render_body("x" + body)
    _assert_harmless(page.html)
    _assert_harmless(page.opening)


def test_clean_keeps_only_known_classes_and_attributes() -> None:
    html = clean_markup('<span class="k evil" style="x">a</span><td align="justify" rowspan="2">b</td>')
    assert attributes_of(html, "span") == [{"class": "k"}]
    assert "justify" not in html


@pytest.mark.parametrize(
    ("html", "kept"),
    [
        ('<h2 id="part-1">x</h2>', True),
        ('<h2 id="toc-title">x</h2>', False),
        ('<li id="fn:1">x</li>', True),
        ('<li id="part">x</li>', False),
        ('<sup id="fnref2:1">x</sup>', True),
        ('<p id="part">x</p>', False),
    ],
)
def test_clean_keeps_ids_of_headings_and_footnotes_only(html: str, kept: bool) -> None:
    assert ("id=" in clean_markup(html)) is kept
