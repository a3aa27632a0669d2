"""Web vitals as a real browser measures and sends them."""

from __future__ import annotations

import json

from playwright.sync_api import Page

from tests.browser.conftest import Windows

_LEAVE = "window.dispatchEvent(new PageTransitionEvent('pagehide'))"
_FAIL = "document.getElementById('main').addEventListener('click', () => setTimeout(() => { throw 1 }))"
_PRIVATE = "Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', { get: () => true })"


def _leave(page: Page) -> dict[str, object]:
    """Leave the page, as far as its module can tell; returns the report that it sends."""
    with page.expect_response("**/api/telemetry/vitals") as sent:
        page.evaluate(_LEAVE)
    assert sent.value.status == 204
    assert "cookie" not in sent.value.request.headers
    report: dict[str, object] = json.loads(sent.value.request.post_data or "")
    return report


def test_vitals_are_sent_once_when_the_page_is_left(windows: Windows) -> None:
    page = windows("/pages/under-load")
    page.locator("h1").click()
    report = _leave(page)
    assert (report["route"], report["device"]) == ("/pages/<path:slug>", "desktop")
    assert {"lcp", "ttfb"} <= report.keys() <= {"route", "device", "lcp", "ttfb", "cls", "inp"}
    reports: list[str] = []
    page.on("request", lambda request: reports.append(request.url))
    page.evaluate(_LEAVE)
    page.evaluate("fetch('/health')")
    assert not [url for url in reports if url.endswith("/vitals")]


def test_vitals_are_not_sent_with_global_privacy_control(windows: Windows) -> None:
    page = windows(None)
    page.add_init_script(_PRIVATE)
    page.goto("/pages/under-load", wait_until="networkidle")
    reports: list[str] = []
    page.on("request", lambda request: reports.append(request.url))
    page.evaluate(_LEAVE)
    page.evaluate("fetch('/health')")
    assert not [url for url in reports if url.endswith("/vitals")]
