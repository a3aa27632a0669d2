"""What the cleaner removes is named to the author, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.pages_fixture import render_body


@pytest.mark.parametrize(
    ("body", "removed"),
    [
        ("<script>alert(1)</script>\n\ntext <script>x</script>", ("<script>, 2 times",)),
        ('<iframe src="https://maps.example/"></iframe>', ("<iframe>",)),
        ("<p onclick='x' style='color:red'>a</p>", ("onclick of <p>", "style of <p>")),
        ("Call <name> at <ONE-PLACE>.", ("<name>", "<one-place>")),
        ("[a](javascript:x) [b](JavaScript&colon;y) [c](tel:1)", ("javascript: in a link, 2 times", "tel: in a link")),
        ("<a href='javascript:x'>a</a> <A HREF=JAVASCRIPT:y>b</A>", ("javascript: in a link, 2 times",)),
        ("![a](data:image/png;base64,AA)", ("data: in a picture",)),
        ('<div class="box">a</div>\n\n<p id="x">b</p>', ('class="box" of <div>', "id of <p>")),
        ("> - <style>x</style>\n\n[^1]\n\n[^1]: <object>", ("<style>", "<object>")),
        ("\n".join(f"<x-{n}>" for n in range(15)), (*(f"<x-{n}>" for n in range(10)), "and 5 more")),
    ],
)
def test_removed_markup_is_named_with_how_often(body: str, removed: tuple[str, ...]) -> None:
    assert render_body(body).notices.removed == removed


@pytest.mark.parametrize(
    "body",
    [
        "`<script>` and\n\n```html\n<script onclick=x>\n```\n\n    <iframe>\n\n\\<b onclick=x>",
        '<kbd lang="en" title="x">Ctrl</kbd> <!-- a note --> <br/> <details open><summary>a</summary></details>',
        '<h2 id="part">x</h2>\n\n<td align="left" colspan="2">\n\n<a href="https://a.example" rel="x">b</a>',
        "[a](https://b.example) <mailto:a@b.example> [c](/d) [e](#f) ![g](/static/h.png)",
        '`<a href="javascript:x">` and\n\n```\n<a href="javascript:x">\n```',
        "1 < 2 and 3 > 2 <3 a<b",
        "[^1]\n\n[^1]: note\n\n!!! tip\n    x\n\n| a |\n|:-:|\n| b |",
        '<iframe src="https://www.youtube.com/embed/dQw4w9WgXcQ" allowfullscreen></iframe>',
    ],
)
def test_markup_that_is_kept_is_not_named(body: str) -> None:
    assert not render_body(body).notices


@pytest.mark.parametrize("unit", ["<!-- a\n", "<?", "<b ", "<b a='", "<script>", "<![CDATA[", "</", "<a href="])
def test_markup_without_an_end_takes_little_time(unit: str) -> None:
    render_body("x\n\n" + unit * (60_000 // len(unit)))


def test_pages_of_the_sample_content_have_no_notices() -> None:
    for file in (Path(__file__).parents[4] / "content").glob("*.md"):
        assert not render_body(file.read_text().split("---\n", 2)[2]).notices, file.name
