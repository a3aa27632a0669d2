"""Message markup: what becomes HTML, and that text never becomes a tag."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from church.services.chat.markup import render

REL = 'rel="nofollow ugc noopener"'


def link(target: str, label: str | None = None) -> str:
    return f'<a href="{target}" {REL} title="{target}">{label or target}</a>'


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("plain", "plain"),
        ("**bold** and *it* and _it_", "<strong>bold</strong> and <em>it</em> and <em>it</em>"),
        ("**a *b* c**", "<strong>a <em>b</em> c</strong>"),
        ("**a *b** c*", "<strong>a *b</strong> c*"),
        ("2 * 3 * 4 and a_b_c and ** and ****", "2 * 3 * 4 and a_b_c and ** and ****"),
        ("**open\nnot closed**", "**open<br>\nnot closed**"),
        ("`a **b** <i>` `", "<code>a **b** &lt;i&gt;</code> `"),
        ("a\n```py\nx < 1\n\n**y**\n```\nb", "a<pre><code>x &lt; 1\n\n**y**</code></pre>b"),
        ("```\nnever closed", "```<br>\nnever closed"),
        ("see https://a.example/x_(y)?b=1&c=2.", f"see {link('https://a.example/x_(y)?b=1&amp;c=2')}."),
        ("(http://a.example) **http://b.example**", f"({link('http://a.example')}) <strong>{link('http://b.example')}</strong>"),
        ("[the *page*](https://a.example/)", link("https://a.example/", "the *page*")),
        ("[x](javascript:alert(1)) javascript:alert(1)", "[x](javascript:alert(1)) javascript:alert(1)"),
        ('http://a.example/"onclick=x', f"{link('http://a.example/')}&quot;onclick=x"),
        ("https:// https://) data:text/html,x //a.example", "https:// https://) data:text/html,x //a.example"),
    ],
)  # fmt: skip
def test_markup_becomes_html(text: str, html: str) -> None:
    assert str(render(text)) == html


def test_tags_in_the_text_are_escaped() -> None:
    html = str(render("""<script>alert(1)</script> <img src=x onerror='y'> **<b>** [<i>](http://a.example/'><u>)"""))
    assert set(re.findall(r"<(\w+)", html)) == {"a", "strong"}
    assert "&lt;script&gt;" in html


@given(st.text(alphabet="*_`[]()\n <>&\"'hxt:/.p", max_size=80).map(lambda text: text.replace("x", "http://x")))
def test_any_text_gives_balanced_tags(text: str) -> None:
    html = str(render(text))
    stack: list[str] = []
    for end, name, attributes in re.findall(r"<(/?)(\w+)([^<>]*)>", html):
        if end:
            assert stack.pop() == name
        elif name != "br":
            stack.append(name)
            wanted = r' href="https?://[^"]*" rel="nofollow ugc noopener" title="[^"]*"' if name == "a" else ""
            assert re.fullmatch(wanted, attributes)
    assert stack == []
    assert not re.search("[<>]", re.sub(r"</?\w+[^<>]*>", "", html))
