"""The box of the admin area: it goes to what fits alone, and lists what fits otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask

from church.extensions import db
from church.models.accounts import User
from church.services.pages.content import Pages
from tests.support.desk import JSON, AdminBrowser, add_person
from tests.support.pages_fixture import write_page
from tests.support.store_stand_in import StoreStandIn


def _find(desk: AdminBrowser, query: str) -> str | None:
    """Type ``query`` into the box; returns where that leads, None for a list."""
    answer = desk.send("/admin/find", q=query)
    assert answer.status_code in {200, 303}
    return answer.headers.get("Location")


def test_box_leads_to_a_member_by_email_address_ref_and_name(desk: AdminBrowser, app: Flask, ada: User) -> None:
    add_person(app, "adam@church.example", name="Adam Ada")
    for query in ("ada@church.example", "ADA@church.example ", ada.ref, ada.name):
        assert _find(desk, query) == f"/admin/members/{ada.ref}", query


def test_box_lists_members_when_several_fit(desk: AdminBrowser, app: Flask) -> None:
    for number in range(3):
        add_person(app, f"kim{number}@church.example", name=f"Kim {number}")
    assert _find(desk, "kim") is None
    found = desk.get("/admin/find?q=kim", **JSON).json["found"]  # type: ignore[index]
    assert sorted(one["title"] for one in found) == ["Kim 0", "Kim 1", "Kim 2"]
    assert {one["kind"] for one in found} == {"Member"}


def test_box_leads_to_a_section_and_to_a_page(
    desk: AdminBrowser, app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_page(tmp_path / "pages", "second-light", "words", title="Second light")
    pages = Pages(tmp_path / "pages", drafts=True)
    monkeypatch.setitem(app.extensions, "pages", pages)
    with app.app_context():
        pages.reindex(db)
    assert _find(desk, "jobs") == "/admin/jobs"
    for query in ("second light", "/pages/second-light", "second-light"):
        assert _find(desk, query) == "/pages/second-light", query


def test_box_says_that_nothing_fits_and_escapes_what_was_typed(desk: AdminBrowser) -> None:
    page = desk.get("/admin/find?q=%3Csvg%3E").text
    assert "Nothing fits “&lt;svg&gt;”" in page


def test_empty_box_explains_what_it_takes(desk: AdminBrowser) -> None:
    assert _find(desk, "  ") is None
    assert "a request ID" in desk.get("/admin/find").text


def test_form_of_the_box_keeps_its_words_out_of_addresses(desk: AdminBrowser) -> None:
    page = desk.get("/admin/jobs").text
    form = page.split('<form class="box"')[1].split("</form>")[0]
    assert 'method="post"' in form
    assert 'name="csrf_token"' in form


def test_box_leads_to_what_the_store_knows(desk: AdminBrowser, store: StoreStandIn) -> None:
    for kind, value, url in (
        ("request", "01a22ebf971025719a3fbd31", "/admin/request/01a22ebf971025719a3fbd31"),
        ("trace", "ab" * 16, f"/admin/traces/{'ab' * 16}"),
        ("error", "0123456789abcdef", "/admin/errors/0123456789abcdef"),
        ("event", "email.sent", "/admin/logs?event=email.sent"),
        ("ip", "192.0.2.7", "/admin/logs?address=192.0.2.7"),
        ("metric", "http_requests_total", "/admin/metrics?metric=http_requests_total"),
    ):
        store.give("ids.resolve", {"kind": kind, "value": value})
        assert _find(desk, value) == url


def test_box_lists_both_when_an_id_is_of_a_request_and_of_a_trace(desk: AdminBrowser, store: StoreStandIn) -> None:
    store.give("ids.resolve", {"kind": "request", "value": "ab" * 16}, {"kind": "trace", "value": "ab" * 16})
    assert _find(desk, "ab" * 16) is None


def test_box_never_asks_the_store_for_an_email_address(desk: AdminBrowser, store: StoreStandIn, ada: User) -> None:
    store.give("ids.resolve", {"kind": "event", "value": "wrong"})
    assert _find(desk, "ada@church.example") == f"/admin/members/{ada.ref}"


def test_box_goes_by_the_form_of_an_id_while_the_store_is_down(desk: AdminBrowser) -> None:
    assert _find(desk, "01a22ebf971025719a3fbd31") == "/admin/request/01a22ebf971025719a3fbd31"
