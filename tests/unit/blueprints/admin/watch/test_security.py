"""The security page: what happened, and blocks, which are made and lifted by forms."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask

from church.config import Settings
from church.models.base import utc_now
from church.web.blocks import watch_of
from tests.support.browsing import list_audit_actions
from tests.support.desk import AdminBrowser
from tests.support.store_stand_in import StoreStandIn, running_stand_in

HOSTILE = '"><svg onload=x>{{7*7}}'


def blocks(desk: AdminBrowser) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = desk.data("/admin/security")["blocks"]["rows"]
    return rows


def test_block_is_made_and_lifted_by_forms_and_audited(app: Flask, desk: AdminBrowser) -> None:
    assert "No address is blocked" in desk.get("/admin/security").text
    done = desk.send("/admin/security/blocks", network="203.0.113.7/24", lasts="day", reason=HOSTILE)
    assert (done.status_code, done.headers["Location"]) == (303, "/admin/security")
    page = desk.get("/admin/security").text
    assert "203.0.113.0/24" in page
    assert "<svg onload" not in page
    [block] = blocks(desk)
    assert (block["network"], block["reason"], block["by"]["ref"]) == ("203.0.113.0/24", HOSTILE, desk.user.ref)
    assert watch_of(app).refuses("203.0.113.9")
    assert desk.send("/admin/security/blocks/lift", network="203.0.113.0/24").status_code == 303
    assert blocks(desk) == []
    assert not watch_of(app).refuses("203.0.113.9")
    assert list_audit_actions(app) == ["network.blocked", "network.unblocked"]


@pytest.mark.parametrize(
    ("lasts", "until"), [("hour", timedelta(hours=1)), ("day", timedelta(days=1)), ("month", timedelta(days=30))]
)
def test_block_lasts_as_long_as_chosen(desk: AdminBrowser, lasts: str, until: timedelta) -> None:
    before = utc_now()
    desk.send("/admin/security/blocks", network="203.0.113.7", lasts=lasts)
    [block] = blocks(desk)
    assert before + until <= datetime.fromisoformat(block["until"]) <= utc_now() + until


def test_block_until_a_day_ends_with_it(desk: AdminBrowser) -> None:
    day = (utc_now() + timedelta(days=3)).date()
    desk.send("/admin/security/blocks", network="203.0.113.7", lasts="date", until=day.isoformat())
    [block] = blocks(desk)
    assert block["until"].startswith(f"{day + timedelta(days=1)}T00:00:00")


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({}, "network"),
        ({"network": "my neighbour"}, "network"),
        ({"network": "127.0.0.1"}, "network"),  # of the server, and of the admin
        ({"network": "0.0.0.0/0"}, "network"),
        ({"lasts": "ever"}, "lasts"),
        ({"lasts": "date"}, "until"),
        ({"lasts": "date", "until": "2020-01-01"}, "until"),
        ({"lasts": "date", "until": "9999-12-31"}, "until"),
        ({"lasts": "date", "until": "soon"}, "until"),
        ({"reason": "x" * 201}, "reason"),
    ],
)
def test_block_with_invalid_fields_is_shown_again(
    app: Flask, desk: AdminBrowser, fields: dict[str, str], wrong: str
) -> None:
    sent = {"network": "203.0.113.7", "lasts": "day"} | fields if fields else {"lasts": "day"}
    again = desk.send("/admin/security/blocks", **sent)
    assert again.status_code == 422
    assert f'id="{wrong}-error"' in again.text
    told = desk.tell("/admin/security/blocks", dict(sent))
    assert (told.status_code, list(told.json["errors"])) == (422, [wrong])  # type: ignore[index]
    assert blocks(desk) == []


def test_admin_cannot_block_the_own_address(app: Flask, desk: AdminBrowser) -> None:
    with_address = {"environ_base": {"REMOTE_ADDR": "198.51.100.9"}}
    body = {"network": "198.51.100.0/24", "lasts": "day"}
    headers = {"Accept": "application/json"}
    told = desk.client.post("/admin/security/blocks", json=body, headers=headers, **with_address)  # type: ignore[arg-type]
    assert told.status_code == 422
    assert "Your own address" in told.text
    assert blocks(desk) == []


def test_block_that_is_not_there_cannot_be_lifted(desk: AdminBrowser) -> None:
    assert desk.send("/admin/security/blocks/lift", network="203.0.113.7").status_code == 404
    assert desk.send("/admin/security/blocks/lift", network="my neighbour").status_code == 422
    assert desk.send("/admin/security/blocks/lift").status_code == 422


def test_address_in_the_query_fills_in_the_form(desk: AdminBrowser) -> None:
    page = desk.get("/admin/security?network=2001:db8::7").text
    assert 'value="2001:db8::7"' in page
    assert '<details class="confirm" open>' in page


# -- what happened -----------------------------------------------------------------------------------------------------


@pytest.fixture
def store(settings: Settings) -> Iterator[StoreStandIn]:
    """A store in which there was an attack a moment ago."""
    now = int(utc_now().timestamp() * 1_000_000)
    finding = {"severity": "high", "activity_type": "xss", "source": "query", "excerpt": HOSTILE}
    row = {"ts": now, "event": "security.threat_detected", "ip": "203.0.113.7", "method": "GET", "request_id": "r1"}
    with running_stand_in(settings.instance) as one:
        one.give("security.counts", {"at": now, "type": "threat_detected", "severity": "high", "count": 1234})
        one.give("security.sign_ins", {"at": now, "outcome": "failed_credentials", "count": 30})
        one.give(
            "security.addresses",
            {"ip": "203.0.113.7", "events": 1234, "failed_sign_ins": 30, "last": now, "types": ["threat_detected"]},
        )
        one.give("logs.search", row | {"extra": json.dumps(finding)})
        yield one


def test_page_without_the_store_says_so_and_still_blocks(app: Flask, desk: AdminBrowser) -> None:
    assert "is not running" in desk.get("/admin/security").text
    assert desk.data("/admin/security")["history"] is None
    desk.send("/admin/security/blocks", network="203.0.113.7", lasts="day")
    assert watch_of(app).refuses("203.0.113.7")


@pytest.mark.usefixtures("store")
def test_page_shows_events_addresses_and_findings_escaped(desk: AdminBrowser) -> None:
    page = desk.get("/admin/security").text
    assert "is not running" not in page
    assert "1,234" in page
    assert "threat detected" in page
    assert "credentials" in page
    assert page.count("<figure") == 2
    assert 'href="/admin/request/r1"' in page
    assert 'href="/admin/logs?address=203.0.113.7&amp;range=24h"' in page
    assert "<svg onload" not in page
    assert "&lt;svg onload" in page
    history = desk.data("/admin/security")["history"]
    assert (history["addresses"][0]["ip"], history["newest"][0]["excerpt"]) == ("203.0.113.7", HOSTILE)


@pytest.mark.usefixtures("store")
def test_address_of_the_list_is_blocked_by_its_button_and_then_marked(app: Flask, desk: AdminBrowser) -> None:
    assert '<input type="hidden" name="network" value="203.0.113.7">' in desk.get("/admin/security").text
    desk.send("/admin/security/blocks", network="203.0.113.7", lasts="month")
    page = desk.get("/admin/security").text
    assert '<input type="hidden" name="network" value="203.0.113.7">' not in page
    assert '<span class="mark">blocked</span>' in page


def test_range_and_type_of_the_query_are_asked_for(desk: AdminBrowser, store: StoreStandIn) -> None:
    desk.get("/admin/security?from=2026-05-01&to=2026-05-01&event=blocked")
    asked = store.args_of("logs.search")
    assert asked["to"] - asked["from"] == 86_400_000_000
    assert asked["filters"]["event"] == "security.blocked"
    assert desk.get("/admin/security?range=90d").status_code == 400, "logs are not kept so long"


def test_store_that_takes_too_long_is_named(desk: AdminBrowser, store: StoreStandIn) -> None:
    store.fail("security.counts", "timeout", "It took too long.")
    page = desk.get("/admin/security").text
    assert "It took too long." in page
    assert "Blocked addresses" in page
