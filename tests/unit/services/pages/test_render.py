"""Markdown to HTML: features and failures, when the renderer is loaded, and the cache of rendered pages."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from church.services.pages import render as pages_render
from church.services.pages.front_matter import Page, PageFacts
from church.services.pages.render import RenderCache, Rendered, RenderError, render_page
from tests.support.pages_fixture import attributes_of, make_page, render_body


def test_render_headings_have_ids_and_make_the_toc() -> None:
    page = render_body("Hi\n\n## A & `b`\n\n### Über\n\n## A & `b`\n")
    assert [(entry.id, entry.title, entry.level) for entry in page.toc] == [("a-b", "A & b", 2), ("a-b_1", "A & b", 2)]
    assert [(child.id, child.title) for child in page.toc[0].children] == [("über", "Über")]
    assert page.headings == ("A & b", "A & b")
    assert attributes_of(page.html, "h3") == [{"id": "über"}]


def test_render_leading_heading_that_repeats_the_title_is_dropped() -> None:
    assert "<h1" not in render_body("# A  page\n\nHi\n").html
    assert "<h1" in render_body("# Another\n\nHi\n").html


def test_render_table_keeps_alignment_without_style() -> None:
    html = render_body("| a | b | c |\n|:--|--:|:-:|\n| 1 | 2 | 3 |\n").html
    assert [cell.get("align") for cell in attributes_of(html, "td")] == ["left", "right", "center"]
    assert "style" not in html


def test_render_code_is_highlighted_by_classes_and_never_guessed() -> None:
    html = render_body("```python\ndef f(): return 1\n```\n").html
    assert {"k", "nf", "mi"} <= {span.get("class") for span in attributes_of(html, "span")}
    assert attributes_of(html, "div") == [{"class": "codehilite"}]
    assert not any("class" in span for span in attributes_of(render_body("```\ndef f(): return 1\n```\n").html, "span"))


def test_render_footnotes_link_there_and_back() -> None:
    html = render_body("Word.[^n]\n\n[^n]: The note.\n").html
    assert attributes_of(html, "sup") == [{"id": "fnref:n"}]
    assert {"id": "fn:n"} in attributes_of(html, "li")
    assert [link["href"] for link in attributes_of(html, "a")] == ["#fn:n", "#fnref:n"]


def test_render_admonition_keeps_its_classes() -> None:
    html = render_body('!!! warning "Mind"\n    The gap.\n').html
    assert attributes_of(html, "div") == [{"class": "admonition warning"}]
    assert attributes_of(html, "p")[0] == {"class": "admonition-title"}


def test_render_sane_lists_keep_kinds_apart() -> None:
    html = render_body("1. one\n2. two\n\n* other\n").html
    assert (html.count("<ol>"), html.count("<ul>")) == (1, 1)


def test_render_text_has_all_words_and_no_markup() -> None:
    text = render_body("One *two*.\n\n| a | b |\n|---|---|\n| 3 | 4 |\n\n- five\n- six[^1]\n\n[^1]: seven\n").text
    assert text.split() == ["One", "two.", "a", "b", "3", "4", "five", "six", "seven"]


def test_render_failure_has_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(text: str) -> str:
        raise RecursionError("too deep")

    monkeypatch.setattr(pages_render, "clean_markup", fail)
    with pytest.raises(RenderError, match="RecursionError: too deep"):
        render_body("x")


def test_render_deeply_nested_quotes_are_rendered_or_refused() -> None:
    try:
        page = render_body(">" * 3000 + " deep")
    except RenderError:
        return
    assert "deep" in page.text


def test_renderer_is_loaded_before_a_thread_renders() -> None:
    # Under gevent, imports in the threads of the pool can deadlock.
    program = """
import sys
from church.services.pages import render
loaded = []
def run_off_hub(fn, *args):
    loaded.extend(name in sys.modules for name in ("markdown.extensions.toc", "nh3", "pygments.token"))
    return fn(*args)
render.run_off_hub = run_off_hub
render.render_fragment("*text*")
sys.exit(loaded != [True, True, True])
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def render(page: PageFacts) -> Rendered:
    assert isinstance(page, Page)
    return render_page(page)


class Renderer:
    """Counts how often it renders."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __call__(self, page: PageFacts) -> Rendered:
        self.calls.append(page.stamp.path)
        return render(page)


def named(path: str, body: str = "Hi", mtime_ns: int = 1) -> Page:
    page = make_page(body)
    return replace(page, stamp=replace(page.stamp, path=path, mtime_ns=mtime_ns))


def test_cache_renders_each_content_of_a_file_once() -> None:
    renderer = Renderer()
    cache = RenderCache(renderer=renderer)
    assert cache.get(named("a")) is cache.get(named("a")) is cache.get(named("a", mtime_ns=2))
    cache.get(named("a", body="Ho"))
    cache.get(named("b"))
    assert renderer.calls == ["a", "a", "b"]


def test_cache_renders_once_for_many_readers_at_once() -> None:
    calls = []
    started, go_on = threading.Event(), threading.Event()

    def slow(page: PageFacts) -> Rendered:
        calls.append(page)
        started.set()
        assert go_on.wait(10)
        return render(page)

    cache = RenderCache(renderer=slow)
    got: list[Rendered] = []
    threads = [threading.Thread(target=lambda: got.append(cache.get(named("a")))) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert started.wait(10)
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert len(calls) == 1
    assert len(got) == 5
    assert len({id(page) for page in got}) == 1


def test_cache_full_drops_the_least_recently_used() -> None:
    renderer = Renderer()
    weight = replace(render_page(named("a", "x" * 1000)), text="").weight
    cache = RenderCache(room=weight * 2, renderer=renderer)
    for path in ("a", "b", "a", "c", "a", "b"):
        cache.get(named(path, "x" * 1000))
    assert renderer.calls == ["a", "b", "c", "b"]


def test_cache_page_larger_than_the_cache_is_still_rendered() -> None:
    cache = RenderCache(room=10, renderer=Renderer())
    assert "x" * 1000 in cache.get(named("a", "x" * 1000)).html


def test_cache_page_that_cannot_be_rendered_is_tried_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    calls = []

    def broken(page: PageFacts) -> Rendered:
        calls.append(page)
        raise RenderError("too deep")

    cache = RenderCache(renderer=broken)
    with caplog.at_level(logging.ERROR, "church.pages"):
        for _ in range(2):
            with pytest.raises(RenderError, match="too deep"):
                cache.get(named("a"))
    assert len(calls) == 1
    assert [record.event for record in caplog.records] == ["pages.unrenderable"]  # type: ignore[attr-defined]


def test_cache_killed_render_fails_for_others_and_is_tried_again() -> None:
    calls = []

    def killed_once(page: PageFacts) -> Rendered:
        calls.append(page)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return render(page)

    cache = RenderCache(renderer=killed_once)
    with pytest.raises(KeyboardInterrupt):
        cache.get(named("a"))
    assert "Hi" in cache.get(named("a")).html
