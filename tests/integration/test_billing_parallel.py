"""Checkouts at once, at a real site with two workers and its till: each leads to Stripe's page, or to a clear 409."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from flask import Flask

from church import create_app
from church.extensions import db
from church.models import User
from tests.support.environment import forget_the_shell
from tests.support.people import add_user, client_of
from tests.support.services_fixture import Postgres, free_port, on_postgresql
from tests.support.site_fixture import Site
from tests.support.till_fixture import FRIEND, PATRON, TillProcess

pytestmark = pytest.mark.services

AT_ONCE = 16


class Shop:
    """A site with its till, and an app on the same database to sign members in with."""

    def __init__(self, site: Site, till: TillProcess, app: Flask) -> None:
        self.site, self.till, self.app = site, till, app

    def member(self, name: str) -> str:
        """Add a member and return the cookie of their session."""
        user: User = add_user(self.app, f"{name}@church.example")
        name = self.app.config["SESSION_COOKIE_NAME"]
        cookie = client_of(self.app, user).get_cookie(name)
        assert cookie is not None
        return f"{name}={cookie.value}"

    def checkout(self, cookie: str, price: str) -> tuple[int, str]:
        """Press the button; returns the status and the address of the till's page, or the error."""
        headers = {
            "Cookie": cookie,
            "Origin": self.site.url,
            "Content-Type": "application/json",
            "Accept": "application/json",
        }
        connection = HTTPConnection("127.0.0.1", self.site.port, timeout=60)
        connection.request("POST", "/stripe/checkout", json.dumps({"price": price}), headers)
        answer = connection.getresponse()
        body = json.loads(answer.read())
        connection.close()
        return answer.status, body.get("url") or str(body)

    def open_sessions(self, name: str) -> set[str]:
        """Addresses of a member's sessions that can be paid at the till."""
        found = self.till.stripe.v1.checkout.sessions.list({"limit": 100, "status": "open"}).auto_paging_iter()
        return {str(one.url) for one in found if one.customer_email == f"{name}@church.example"}

    def checkout_at_once(self, presses: list[tuple[str, str]]) -> list[tuple[int, str]]:
        """Press the button for each cookie and price at the same moment."""
        start, answers = threading.Barrier(len(presses)), [(0, "")] * len(presses)

        def press(number: int, cookie: str, price: str) -> None:
            start.wait(60)
            answers[number] = self.checkout(cookie, price)

        threads = [threading.Thread(target=press, args=(n, *one)) for n, one in enumerate(presses)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        return answers


@pytest.fixture(scope="module", params=["sqlite", on_postgresql])
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder: Path = tmp_path_factory.mktemp("shop")
    database = {}
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("_postgres")
        server.start()
        database["DATABASE_URL"] = server.new_database()
    with pytest.MonkeyPatch.context() as patch:
        forget_the_shell(patch)
        site = Site(
            folder,
            CHURCH_TILL_BIND=f"127.0.0.1:{free_port()}",
            CHURCH_LIMIT_CHECKOUT="1000/minute",
            WEB_CONCURRENCY="2",
            **database,
        )
        till = TillProcess(folder, site.settings.bind, CHURCH_TILL_BIND=site.settings.till_address)
        try:
            site.start()
            till.start()
            site.run("stripe", "sync")
            app = create_app(site.settings)
            yield Shop(site, till, app)
            with app.app_context():
                db.dispose()
        finally:
            if hasattr(till, "process"):
                till.stop()
            site.stop()


def test_checkouts_of_many_members_at_once_all_lead_to_the_till(shop: Shop) -> None:
    members = [shop.member(f"one{number}") for number in range(AT_ONCE)]
    answers = shop.checkout_at_once([(cookie, FRIEND) for cookie in members])
    assert [status for status, _ in answers] == [200] * AT_ONCE, answers
    assert len({address for _, address in answers}) == AT_ONCE


def test_checkouts_of_one_member_at_once_lead_to_one_page(shop: Shop) -> None:
    cookie = shop.member("eager")
    answers = shop.checkout_at_once([(cookie, FRIEND)] * AT_ONCE)
    assert [status for status, _ in answers] == [200] * AT_ONCE, answers
    assert len({address for _, address in answers}) == 1


def test_checkouts_of_one_member_for_two_plans_at_once_leave_one_open(shop: Shop) -> None:
    cookie = shop.member("torn")
    for _ in range(3):
        answers = shop.checkout_at_once([(cookie, FRIEND), (cookie, PATRON)] * (AT_ONCE // 2))
        assert {status for status, _ in answers} <= {200, 409}, answers
        opened = {address for status, address in answers if status == 200}
        assert shop.open_sessions("torn") <= opened
        assert len(shop.open_sessions("torn")) == 1
