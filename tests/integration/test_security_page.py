"""The security page over a real telemetry store: who attacks the site is shown, and blocked by a button."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from church import create_app
from church.extensions import db
from church.services import telemetry_queries
from tests.support.people import add_user, sign_in, with_cookie
from tests.support.services_fixture import wait_until
from tests.support.site_fixture import Site, running

ATTACKER, GUESSER, ADMIN = "203.0.113.7", "198.51.100.9", "192.0.2.1"
FORWARDED = "X-Forwarded-For"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with its telemetry store, behind a proxy that this process plays."""
    folder = tmp_path_factory.mktemp("security")
    with running(folder, store=False, WEB_CONCURRENCY="2", CHURCH_TRUSTED_PROXIES="127.0.0.1/32") as one:
        one._processes.append(one._begin("flask", "church", "observe"))
        wait_until(lambda: telemetry_queries.is_running(one.settings), "the telemetry store answers")
        yield one


@pytest.fixture(scope="module")
def cookie(site: Site) -> str:
    """The cookie of an admin."""
    app = create_app(site.settings)
    browser = with_cookie(app.test_client(), sign_in(app, add_user(app, "ada@church.example", role="admin")))
    found = browser.get_cookie("church")
    assert found is not None
    with app.app_context():
        db.dispose()
    return f"church={found.value}"


def history(site: Site, cookie: str) -> dict[str, Any]:
    status, body = site.get("/admin/security?range=1h", Cookie=cookie, Accept="application/json")
    assert status == 200, body
    found: dict[str, Any] = json.loads(body)["history"]
    return found


def post(site: Site, path: str, client: str, cookie: str = "", **fields: str) -> int:
    """Send JSON from the site's own origin and return the status."""
    headers = {"Cookie": cookie, FORWARDED: client, "Origin": site.url, "Content-Type": "application/json"}
    request = urllib.request.Request(site.url + path, json.dumps(fields).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_attacker_is_shown_with_findings_and_blocked_by_a_button(site: Site, cookie: str) -> None:
    for _ in range(3):
        site.get("/pages/?q=%3Cscript%3Ealert(1)%3C/script%3E", **{FORWARDED: ATTACKER})
    for _ in range(2):
        assert post(site, "/auth/login", GUESSER, email="ada@church.example", password="wrong once more") == 401
    wait_until(
        lambda: {one["ip"] for one in history(site, cookie)["addresses"]} == {ATTACKER, GUESSER}, "both are shown"
    )
    found = history(site, cookie)
    by_address = {one["ip"]: one for one in found["addresses"]}
    assert (by_address[ATTACKER]["events"], by_address[ATTACKER]["failed_sign_ins"]) == (3, 0)
    assert (by_address[GUESSER]["events"], by_address[GUESSER]["failed_sign_ins"]) == (0, 2)
    finding = next(one for one in found["newest"] if one["ip"] == ATTACKER)
    assert (finding["activity"], finding["source"]) == ("xss", "query")

    page = site.get("/admin/security?range=1h", Cookie=cookie)[1].decode()
    assert f'name="network" value="{ATTACKER}"' in page
    assert post(site, "/admin/security/blocks", ADMIN, cookie, network=ATTACKER, lasts="hour") == 200
    wait_until(lambda: site.get("/", **{FORWARDED: ATTACKER})[0] == 403, "it is refused")
    wait_until(
        lambda: any(one["name"] == "blocked" for one in history(site, cookie)["types"]), "its refusals are shown, too"
    )
