"""Markdown as writers know it from elsewhere: the pages that they bring, beside CommonMark's own examples."""

from __future__ import annotations

import re
import unicodedata

import pytest

from church.services.pages.render import render_fragment
from tests.support.pages_fixture import attributes_of, render_body


def _flat(body: str) -> str:
    """Render ``body``, and leave out white space between elements and the marks of code."""
    html = re.sub(r'</?(?:span|div)[^>]*>| tabindex="0"', "", str(render_body(body).html))
    return re.sub(r"\s*(</?(?:p|ul|ol|li|pre|blockquote|h\d|table|thead|tbody|tr|th|td|hr)\b[^>]*>)\s*", r"\1", html)


CODE = "<pre><code>{}</code></pre>"


@pytest.mark.parametrize(
    ("body", "html"),
    [
        # Fences
        (
            "1. Install it:\n\n    ```sh\n    make run\n    # no heading\n    ```\n\n2. Look at it.",
            f"<ol><li><p>Install it:</p>{CODE.format('make run<br># no heading')}</li><li><p>Look at it.</p></li></ol>",
        ),
        ("- a\n  ```\n  x\n  ```\n- b", f"<ul><li>a{CODE.format('x')}</li><li>b</li></ul>"),
        ("> ```\n> x\n> ```\n> after", f"<blockquote>{CODE.format('x')}<p>after</p></blockquote>"),
        ("See:\n\n  ```sh\n  ls *a* *b*\n  ```", f"<p>See:</p>{CODE.format('ls *a* *b*')}"),
        (
            '```python title="a.py"\nx = 1\n```\n\nBetween the two.\n\n```js {1,3}\nlet y\n```',
            f"{CODE.format('x = 1')}<p>Between the two.</p>{CODE.format('let y')}",
        ),
        ("```\nopen to the end\n\n## x", CODE.format("open to the end<br><br>## x")),
        ("~~~~ text\n~~~\n```\n~~~~\nafter", f"{CODE.format('~~~<br>```')}<p>after</p>"),
        ("text\n```\nx\n```\nafter", f"<p>text</p>{CODE.format('x')}<p>after</p>"),
        ("``` not `a` fence", "<p>``` not <code>a</code> fence</p>"),
        # Headings
        ("#1 of three is taken.\n\n#thanks to all", "<p>#1 of three is taken.</p><p>#thanks to all</p>"),
        ("## C# and F#\n\n## a ##", '<h2 id="c-and-f">C# and F#</h2><h2 id="a">a</h2>'),
        ("Title\n=====\nText\n----", '<h1 id="title">Title</h1><h2 id="text">Text</h2>'),
        # Lists
        ("We need:\n- flour\n- water", "<p>We need:</p><ul><li>flour</li><li>water</li></ul>"),
        ("We do:\n1. this\n2) that", '<p>We do:</p><ol><li>this</li></ol><ol start="2"><li>that</li></ol>'),
        ("It was in\n1999. A year", "<p>It was in\n1999. A year</p>"),
        ("- fruit\n  - apple\n- bread", "<ul><li>fruit<ul><li>apple</li></ul></li><li>bread</li></ul>"),
        ("* a\n   * b\n      * c", "<ul><li>a<ul><li>b<ul><li>c</li></ul></li></ul></li></ul>"),
        ("- a\n    - b\n        - c\n- d", "<ul><li>a<ul><li>b<ul><li>c</li></ul></li></ul></li><li>d</li></ul>"),
        ("3. a\n4. b", '<ol start="3"><li>a</li><li>b</li></ol>'),
        ("- a\n\n  more\n- b", "<ul><li><p>a</p><p>more</p></li><li><p>b</p></li></ul>"),
        ("- [ ] open\n- [x] done\n- [x](/y)", '<ul><li>☐ open</li><li>☑ done</li><li><a href="/y">x</a></li></ul>'),
        # Text
        ("snake_case_name and 2*3*4", "<p>snake_case_name and 2<em>3</em>4</p>"),
        ("***both*** **a*b*c**", "<p><em><strong>both</strong></em> <strong>a<em>b</em>c</strong></p>"),
        ("one  \ntwo\\\nthree", "<p>one<br>\ntwo<br>\nthree</p>"),
        ("~~gone~~ but ~5 and a~b~c", "<p><del>gone</del> but ~5 and a~b~c</p>"),
        (r"\# \[a\]\(b\) &amp; &copy; AT&T &amp;lt;", "<p># [a](b) &amp; © AT&amp;T &amp;lt;</p>"),
        ("``a`b`` `<b>`", "<p><code>a`b</code> <code>&lt;b&gt;</code></p>"),
        (
            "a | b\n--|--\n1 | `x|y` and \\|",
            "<table><thead><tr><th>a</th><th>b</th></tr></thead>"
            "<tbody><tr><td>1</td><td><code>x|y</code> and |</td></tr></tbody></table>",
        ),
        (
            "before\n| a |\n|---|\n| 1 |\nafter",
            "<p>before</p><table><thead><tr><th>a</th></tr></thead>"
            "<tbody><tr><td>1</td></tr><tr><td>after</td></tr></tbody></table>",
        ),
        (
            "<details>\n<summary>More</summary>\n\n*inside*\n\n</details>",
            "<details>\n<summary>More</summary><p><em>inside</em></p></details>",
        ),
        ("> a\nlazy\n\n> b", "<blockquote><p>a\nlazy</p></blockquote><blockquote><p>b</p></blockquote>"),
        ("***\n- - -\n___", "<hr><hr><hr>"),
    ],
)
def test_markdown_is_rendered_as_writers_expect(body: str, html: str) -> None:
    code = re.compile(r"(?<=<code>)[^<>]*(?=</code>)")
    assert code.sub(lambda found: found[0].replace("\n", "<br>"), _flat(body)) == html


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("see https://a.example/b_c_d(e). Then", ["https://a.example/b_c_d(e)"]),
        ("(http://a.example/?x=1&y=2)", ["http://a.example/?x=1&y=2"]),
        ("<https://a.example/x> <a@b.example>", ["https://a.example/x", "mailto:a@b.example"]),
        ("[https://a.example](/b)", ["/b"]),
        ("[a][r] and [r] and [R][]\n\n[r]: <https://a.example/x y> 'T'", ["https://a.example/x y"] * 3),
        ("[a](/b 'c') [d](<e f>) [g](h i.pdf)", ["/b", "e f", "h i.pdf"]),
        ("`https://a.example` xhttps://a.example https://", []),
    ],
)
def test_markdown_links_are_found(text: str, addresses: list[str]) -> None:
    assert [link["href"] for link in attributes_of(render_body(text).html, "a")] == addresses


def test_markdown_code_after_a_language_is_coloured_and_lines_are_marked() -> None:
    html = render_body("~~~ {.python hl_lines=2}\nx = 1\ny = 2\n~~~\n").html
    assert {"n", "o", "mi", "hll"} <= {span.get("class") for span in attributes_of(html, "span")}
    assert 'class="mi"' in render_body("    :::python\n    x = 1\n").html


def test_markdown_footnote_goes_on_in_indented_blocks() -> None:
    page = render_body("Word.[^n] Again.[^n]\n\n[^n]: The note.\n\n    - a list\n\nAfter.\n")
    assert re.search(r'(?s)<li id="fn:n">\s*<p>The note.</p>\s*<ul>\s*<li>a list</li>\s*</ul>', page.html)
    assert [link["href"] for link in attributes_of(page.html, "a")] == ["#fn:n", "#fn:n", "#fnref:n", "#fnref2:n"]
    assert page.text.endswith("The note. a list")


def test_markdown_admonition_holds_blocks_and_ends_with_its_indent() -> None:
    page = render_body('!!! tip inline\n    - a\n\n        code\n\nafter\n\n!!! note ""\n    x\n')
    assert _flat('!!! note ""\n    x\nlazy') == "<p>x</p><p>lazy</p>"
    assert page.text.splitlines() == ["Tip a code", "after", "x"]
    assert '<p class="admonition-title">Tip</p>' in page.html


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_heading_of_decomposed_letters_has_one_id_and_its_link_leads_there(form: str) -> None:
    page = render_body(unicodedata.normalize(form, "## Über uns\n\n[up](#über-uns)\n\n### Ångström é\n"))
    assert page.toc[0].id == "über-uns"
    assert attributes_of(page.html, "a")[0]["href"] == "#über-uns"
    assert page.toc[0].children[0].id == "ångström-é"


@pytest.mark.parametrize(
    ("title", "found"),
    [
        ("हिन्दी में", "हिन्दी-में"),
        ("⚙️ Set up", "set-up"),
        ("x\u030c y", "x\u030c-y"),
        ("İstanbul", "i\u0307stanbul"),
        ("日本語", "日本語"),
    ],
)
def test_heading_id_keeps_the_letters_of_its_language(title: str, found: str) -> None:
    page = render_body(f"## {title}\n")
    assert page.toc[0].id == found
    assert attributes_of(page.html, "h2") == [{"id": found}]


def test_title_repeated_in_letters_of_another_form_is_dropped() -> None:
    assert "<h1" not in render_body("# A page #\n\nHi\n").html
    assert "<h1" in render_body("# A page#\n\nHi\n").html


def test_fragment_follows_the_same_rules_without_ids() -> None:
    html = render_fragment("Brings:\n- a\n  - b\n\n#1 is\n\n## Part\n\n[^1]: note\n")
    assert html.count("<ul>") == 2
    assert "<p>#1 is</p>" in html
    assert "<h2>Part</h2>" in html
    assert "fn" not in html


@pytest.mark.parametrize(
    "unit",
    ["[", "![", "[a](", "<a b=c ", "*a ", "*_ ", "<![CDATA[", "> ", "- ", "`a", "[a]((((", "<!-- ", "\\*", "|a"],
)
def test_markdown_made_to_take_long_is_rendered_in_little_time(unit: str) -> None:
    # With an engine whose time grows with the square of the text, several of these take minutes.
    assert render_body("x\n" + unit * (24_000 // len(unit))).text


_LONG = 60_000  # characters, of which a time that grew with their square would be minutes


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("a|b\n|" + "-" * _LONG + "x", id="row-of-delimiters"),
        pytest.param("# a" + " " * _LONG + "b", id="heading"),
        pytest.param("http://a" + "&a;" * (_LONG // 3), id="address"),
        pytest.param("[^1]: x\n\n" + "[^1] " * (_LONG // 5), id="footnote"),
        pytest.param("`a`|" * (_LONG // 4) + "\n---|", id="table-of-code"),
        pytest.param("a_b*c**d~~" * (_LONG // 10), id="emphasis"),
        pytest.param("<iframe \" ' " * (_LONG // 12), id="frames"),
    ],
)
def test_page_of_one_construct_repeated_is_rendered(body: str) -> None:
    assert "The start." in render_body(f"The start.\n\n{body}").text


def test_link_definition_long_and_often_used_does_not_multiply_the_page() -> None:
    html = str(render_body(f"[a]: /{'u' * 20_000}\n\n" + "[a] " * 1000 + "\n\n[b]\n\n[b]: /b").html)
    assert html.count('href="/uuu') > 10
    assert len(html) < 2_000_000


def test_table_wide_and_long_with_short_rows_does_not_multiply_the_page() -> None:
    assert len(str(render_body(f"{'|a' * 2000}|\n{'|-' * 2000}|\n" + "|b\n" * 2000).html)) < 4_000_000
    assert "<td>b</td>\n<td></td>" in str(render_body("|a|b|\n|-|-|\n|b\n").html)


@pytest.mark.parametrize(
    ("row", "cells"),
    [
        ("a|b", ["a", "b"]),
        ("`a|b`|c", ["<code>a|b</code>", "c"]),
        ("``a`|b``|c", ["<code>a`|b</code>", "c"]),
        ("\\`a|b`", ["`a", "b`"]),
        ("a\\|b|c", ["a|b", "c"]),
        ("`a|b", ["`a", "b"]),
    ],
)
def test_table_row_is_cut_at_pipes_outside_of_code(row: str, cells: list[str]) -> None:
    html = str(render_body(f"x|y\n-|-\n{row}").html)
    assert re.findall(r"<td>(.*?)</td>", html) == cells


def test_footnote_within_a_footnote_has_its_place_in_the_list() -> None:
    html = str(render_body("a[^1] b[^2] c[^3]\n\n[^1]: x\n\n    [^2]: inner\n\n[^3]: z").html)
    assert re.findall(r'<li id="fn:(\d)">', html) == ["1", "2", "3"]
    assert "inner" in html


def test_footnote_referred_to_again_gets_an_id_for_each_reference() -> None:
    html = str(render_body("a[^1] b[^x]\n\nc[^1]\n\n[^x]: y\n[^1]: z").html)
    assert re.findall(r'<sup id="([^"]+)"', html) == ["fnref:1", "fnref:x", "fnref2:1"]
    assert re.findall(r"#fn:\w\">(\d)</a>", html) == ["2", "1", "2"]
    assert {"#fnref:1", "#fnref2:1"} <= set(re.findall(r'href="([^"]+)"', html))
