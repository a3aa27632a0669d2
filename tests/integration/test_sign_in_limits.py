"""Limits on passwords with real workers: parallel guesses, and one client's flood beside another's sign-in."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import bcrypt
import pytest
from flask import Flask

from church import create_app
from church.extensions import db
from church.services.accounts.passwords import to_bcrypt_input
from tests.support.people import PASSWORD, add_user, sign_in, with_cookie
from tests.support.site_fixture import Site

LIMIT = 20
TRIES = 26  # at once
OPEN = {f"CHURCH_LIMIT_{name}": "1000000/minute" for name in ("LOGIN", "ACCOUNT", "CONFIRMATION")}
FLOOD = [("/auth/login", 34), ("/auth/account/email", 56)]

Start = Callable[..., Site]


@pytest.fixture
def running(site: Start) -> Iterator[tuple[Site, Flask]]:
    """A site with two workers that limits nothing but wrong passwords, and the same site in this process."""
    one = site(WEB_CONCURRENCY="2", CHURCH_LIMIT_LOGIN_ACCOUNT=f"{LIMIT}/hour", **OPEN)
    app = create_app(one.settings)
    yield one, app
    with app.app_context():
        db.dispose()


def cookie_of(app: Flask, user: Any) -> str:
    cookie = with_cookie(app.test_client(), sign_in(app, user)).get_cookie("church")
    assert cookie is not None
    return f"church={cookie.value}"


def post(site: Site, path: str, body: dict[str, str], source: str = "127.0.0.1", cookie: str = "") -> int:
    """Post JSON from the address ``source`` on a connection of its own; returns the status."""
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=300, source_address=(source, 0))
    headers = {"Content-Type": "application/json", "Accept": "application/json", "Cookie": cookie}
    try:
        connection.request("POST", path, json.dumps(body), headers)
        return connection.getresponse().status
    finally:
        connection.close()


def statuses_of_guesses(guess: Callable[[int], int], heard: int) -> Counter[int]:
    """Guess ``TRIES`` at once, until three rounds and ``heard`` tries are over and the queue has refused none."""
    found: Counter[int] = Counter()
    with ThreadPoolExecutor(TRIES) as pool:
        for number in range(100):
            these = Counter(pool.map(guess, range(number * TRIES, (number + 1) * TRIES)))
            found += these
            if number >= 2 and found[heard] >= LIMIT and 503 not in these:
                break
    return found


def test_guesses_of_a_session_in_parallel_are_heard_exactly_as_often_as_the_limit_says(
    running: tuple[Site, Flask],
) -> None:
    site, app = running
    cookie = cookie_of(app, add_user(app))
    wrong = {"current": "not this one at all", "password": "nine foxes in the orchard"}
    found = statuses_of_guesses(lambda _n: post(site, "/auth/account/password", wrong, cookie=cookie), heard=422)
    assert found[422] == LIMIT
    assert set(found) <= {422, 429, 503}


def test_guesses_at_sign_in_in_parallel_are_heard_exactly_as_often_as_the_limit_says(
    running: tuple[Site, Flask],
) -> None:
    site, app = running
    email = str(add_user(app).email)
    wrong = {"email": email, "password": "not this one at all"}
    found = statuses_of_guesses(lambda n: post(site, "/auth/login", wrong, f"127.0.1.{n % 200 + 1}"), heard=401)
    assert found[401] == LIMIT
    assert set(found) <= {401, 429, 503}
    assert post(site, "/auth/login", {"email": email, "password": PASSWORD}, "127.0.0.2") == 200


def test_sign_in_beside_a_flood_from_another_address_is_answered_before_the_flood(running: tuple[Site, Flask]) -> None:
    site, app = running
    slow = bcrypt.hashpw(to_bcrypt_input(PASSWORD), bcrypt.gensalt(12)).decode()
    owner = add_user(app, "owner@church.example", password_hash=slow)
    cookie = cookie_of(app, add_user(app, "attacker@church.example", password_hash=slow))
    full = threading.Event()
    answers: list[str] = []

    def attack(number: int, path: str) -> None:
        login = {"email": f"nobody{number}@church.example", "password": "not this one at all"}
        change = {"current": PASSWORD, "email": "attacker@church.example"}
        if post(site, path, login if path == "/auth/login" else change, cookie=cookie) == 503:
            full.set()
        else:
            answers.append("attack")

    with ThreadPoolExecutor(sum(count for _, count in FLOOD)) as pool:
        for path, count in FLOOD:
            for number in range(count):
                pool.submit(attack, number, path)
        assert full.wait(300)
        assert post(site, "/auth/login", {"email": str(owner.email), "password": PASSWORD}, "127.0.0.2") == 200
        answers.append("owner")
    assert answers.index("owner") < len(answers) - 1
