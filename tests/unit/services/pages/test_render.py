"""Markdown to HTML: features, cleaning, and the public opening."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from church.services.pages import render
from church.services.pages.render import RenderError
from tests.support.pages_fixture import CLOSED, HIDDEN, render_body


class Elements(HTMLParser):
    """The elements of some HTML, with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def attributes(html: str, tag: str) -> list[dict[str, str | None]]:
    return [given_ for name, given_ in Elements(html).found if name == tag]


def test_render_headings_have_ids_and_make_the_toc() -> None:
    page = render_body("Hi\n\n## A & `b`\n\n### Über\n\n## A & `b`\n")
    assert [(entry.id, entry.title, entry.level) for entry in page.toc] == [("a-b", "A & b", 2), ("a-b_1", "A & b", 2)]
    assert [(child.id, child.title) for child in page.toc[0].children] == [("über", "Über")]
    assert page.headings == ("A & b", "A & b")
    assert attributes(page.html, "h3") == [{"id": "über"}]


def test_render_heading_never_gets_an_id_of_the_templates() -> None:
    page = render_body("## Main\n\n<h3 id='main'>x</h3>\n")
    assert page.toc[0].id == "main-section"
    assert attributes(page.html, "h3") == [{}]


def test_render_leading_heading_that_repeats_the_title_is_dropped() -> None:
    assert "<h1" not in render_body("# A  page\n\nHi\n").html
    assert "<h1" in render_body("# Another\n\nHi\n").html


def test_render_table_keeps_alignment_without_style() -> None:
    html = render_body("| a | b | c |\n|:--|--:|:-:|\n| 1 | 2 | 3 |\n").html
    assert [cell.get("align") for cell in attributes(html, "td")] == ["left", "right", "center"]
    assert "style" not in html


def test_render_code_is_highlighted_by_classes_and_never_guessed() -> None:
    html = render_body("```python\ndef f(): return 1\n```\n").html
    assert {"k", "nf", "mi"} <= {span.get("class") for span in attributes(html, "span")}
    assert attributes(html, "div") == [{"class": "codehilite"}]
    assert not any("class" in span for span in attributes(render_body("```\ndef f(): return 1\n```\n").html, "span"))


def test_render_scrolling_blocks_are_reachable_by_keyboard() -> None:
    assert attributes(render_body("```\ncode\n```\n").html, "pre") == [{"tabindex": "0"}]


def test_render_footnotes_link_there_and_back() -> None:
    html = render_body("Word.[^n]\n\n[^n]: The note.\n").html
    assert attributes(html, "sup") == [{"id": "fnref:n"}]
    assert {"id": "fn:n"} in attributes(html, "li")
    assert [link["href"] for link in attributes(html, "a")] == ["#fn:n", "#fnref:n"]


def test_render_admonition_keeps_its_classes() -> None:
    html = render_body('!!! warning "Mind"\n    The gap.\n').html
    assert attributes(html, "div") == [{"class": "admonition warning"}]
    assert attributes(html, "p")[0] == {"class": "admonition-title"}


def test_render_sane_lists_keep_kinds_apart() -> None:
    html = render_body("1. one\n2. two\n\n* other\n").html
    assert (html.count("<ol>"), html.count("<ul>")) == (1, 1)


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
    assert [found.get("rel") for found in attributes(render_body(f"[x]({link})").html, "a")] == [rel]


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


def test_render_text_has_all_words_and_no_markup() -> None:
    text = render_body("One *two*.\n\n| a | b |\n|---|---|\n| 3 | 4 |\n\n- five\n- six[^1]\n\n[^1]: seven\n").text
    assert text.split() == ["One", "two.", "a", "b", "3", "4", "five", "six", "seven"]


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


def test_render_failure_has_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(text: str) -> str:
        raise RecursionError("too deep")

    monkeypatch.setattr(render, "clean_markup", fail)
    with pytest.raises(RenderError, match="RecursionError: too deep"):
        render_body("x")


def test_render_deeply_nested_quotes_are_rendered_or_refused() -> None:
    try:
        page = render_body(">" * 3000 + " deep")
    except RenderError:
        return
    assert "deep" in page.text
