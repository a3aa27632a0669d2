"""The cache of rendered pages: each version is rendered once, also for many readers at once, within a size limit."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace

import pytest

from church.services.pages.front_matter import Page
from church.services.pages.render import RenderCache, Rendered, RenderError, render_page
from tests.support.pages_fixture import make_page


class Renderer:
    """Counts how often it renders."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __call__(self, page: Page) -> Rendered:
        self.calls.append(page.stamp.path)
        return render_page(page)


def named(path: str, body: str = "Hi", mtime_ns: int = 1) -> Page:
    page = make_page(body)
    return replace(page, stamp=replace(page.stamp, path=path, mtime_ns=mtime_ns))


def test_cache_renders_each_version_of_a_page_once() -> None:
    renderer = Renderer()
    cache = RenderCache(renderer=renderer)
    assert cache.get(named("a")) is cache.get(named("a"))
    cache.get(named("a", mtime_ns=2))
    cache.get(named("a", body="Longer"))
    assert len(renderer.calls) == 3


def test_cache_renders_once_for_many_readers_at_once() -> None:
    calls = []
    started, go_on = threading.Event(), threading.Event()

    def slow(page: Page) -> Rendered:
        calls.append(page)
        started.set()
        assert go_on.wait(10)
        return render_page(page)

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
    weight = render_page(named("a", "x" * 1000)).weight
    cache = RenderCache(room=weight * 2, renderer=renderer)
    for path in ("a", "b", "a", "c", "a", "b"):
        cache.get(named(path, "x" * 1000))
    assert renderer.calls == ["a", "b", "c", "b"]


def test_cache_page_larger_than_the_cache_is_still_rendered() -> None:
    cache = RenderCache(room=10)
    assert cache.get(named("a", "x" * 1000)).text == "x" * 1000


def test_cache_page_that_cannot_be_rendered_is_tried_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    calls = []

    def broken(page: Page) -> Rendered:
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

    def killed_once(page: Page) -> Rendered:
        calls.append(page)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return render_page(page)

    cache = RenderCache(renderer=killed_once)
    with pytest.raises(KeyboardInterrupt):
        cache.get(named("a"))
    assert cache.get(named("a")).text == "Hi"
