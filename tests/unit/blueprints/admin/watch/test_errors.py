"""Pages of the errors: groups by state, one with its occurrences, and what an admin decides."""

from __future__ import annotations

import pytest
from flask import Flask

from church.models.base import utc_now
from church.models.error_groups import ErrorState
from church.services import error_groups
from church.services.error_groups import SeenError
from tests.support.desk import AdminBrowser, call_in_context
from tests.support.store_rows import PRINT, REQUEST, error_row
from tests.support.store_stand_in import StoreStandIn

HOSTILE = "<img src=x>"


@pytest.fixture
def known(app: Flask) -> None:
    now = utc_now()
    place = "church/services/pages/render.py:render"
    call_in_context(app, error_groups.record_errors, [SeenError(PRINT, "LookupError", place, HOSTILE, "1.0", now, now)])


def state_of(app: Flask) -> ErrorState:
    return call_in_context(app, error_groups.find_groups, [PRINT])[PRINT].state


def counted(**values: object) -> dict[str, object]:
    return {"fingerprint": PRINT, "count": 17, "members": 3, "versions": ["1.0"], "counts": [0, 5, 12], **values}


def test_errors_list_open_groups_with_their_counts(known: None, desk: AdminBrowser, store: StoreStandIn) -> None:
    store.give("errors.groups", counted())
    page = desk.get("/admin/errors").text
    assert f'href="/admin/errors/{PRINT}' in page
    assert HOSTILE not in page
    (error,) = desk.data("/admin/errors")["errors"]
    assert (error["count"], error["members"], error["group"]["first_version"]) == (17, 3, "1.0")
    assert "No ignored errors." in desk.get("/admin/errors?state=ignored").text


def test_error_page_shows_its_occurrences_and_where_it_came_from(
    known: None, desk: AdminBrowser, store: StoreStandIn
) -> None:
    store.give("errors.groups", counted())
    store.give("errors.get", error_row(user_ref="abc123"))
    page = desk.get(f"/admin/errors/{PRINT}").text
    assert "church/services/pages/render.py:42" in page
    assert f'href="/admin/request/{REQUEST}"' in page
    assert 'href="/admin/members/abc123"' in page
    assert store.args_of("errors.get")["fingerprint"] == PRINT


def test_error_is_resolved_ignored_and_opened_again(known: None, app: Flask, desk: AdminBrowser) -> None:
    for state in ("resolved", "ignored", "open"):
        done = desk.send(f"/admin/errors/{PRINT}/state", state=state)
        assert (done.status_code, done.headers["Location"]) == (303, f"/admin/errors/{PRINT}")
        assert state_of(app) == state
    assert desk.send(f"/admin/errors/{PRINT}/state", state="gone").status_code == 400
    assert desk.send(f"/admin/errors/{'f' * 16}/state", state="resolved").status_code == 404
    assert state_of(app) is ErrorState.OPEN


def test_errors_without_a_store_are_listed_from_the_database(known: None, desk: AdminBrowser) -> None:
    page = desk.get("/admin/errors").text
    assert "LookupError" in page
    assert "flask church observe" in page
    assert desk.get(f"/admin/errors/{PRINT}").status_code == 200


def test_error_that_is_unknown_is_not_found(desk: AdminBrowser, store: StoreStandIn) -> None:
    assert desk.get(f"/admin/errors/{PRINT}").status_code == 404
    assert desk.get("/admin/errors/nonsense").status_code == 404


def test_error_that_only_the_store_knows_is_shown_without_decisions(desk: AdminBrowser, store: StoreStandIn) -> None:
    store.give("errors.get", error_row())
    page = desk.get(f"/admin/errors/{PRINT}").text
    assert "LookupError" in page
    assert "Resolve error" not in page
