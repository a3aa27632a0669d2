"""Answers that all blueprints share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import pytest
from flask import Flask, Response

from church.services.audit import Actor
from church.web.responses import current_actor, keep_private, require_account, respond_done, to_json_data
from church.web.route_access import SIGNED_IN, SignInError
from tests.support.helpers import add_view
from tests.support.people import add_user, client_of

JSON = {"Accept": "application/json"}


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Lamp:
    lit: datetime
    colour: Colour
    parts: tuple[object, ...] = ()


LAMP = Lamp(datetime(2026, 5, 1, 12, 30, tzinfo=UTC), Colour.RED)
PLAIN = {"lit": "2026-05-01T12:30:00+00:00", "colour": "red", "parts": []}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (LAMP, PLAIN),
        (Lamp(LAMP.lit, Colour.RED, (LAMP, 1)), {**PLAIN, "parts": [PLAIN, 1]}),
        ({Colour.RED: [LAMP]}, {"red": [PLAIN]}),
        ({7: None}, {"7": None}),
        ((1, 2.5, True, "x"), [1, 2.5, True, "x"]),
    ],
)
def test_as_data_converts_what_services_return_to_json(value: object, shown: object) -> None:
    assert to_json_data(value) == shown


def test_done_flashes_a_message_for_a_browser_and_answers_a_program_in_json(app: Flask) -> None:
    add_view(app, "/do", lambda: respond_done("It is lit.", "/there", lamp=LAMP), methods=["POST"])
    client = app.test_client()
    answer = client.post("/do")
    assert (answer.status_code, answer.location) == (303, "/there")
    with client.session_transaction() as cookie:
        assert cookie["_flashes"] == [("success", "It is lit.")]
    answer = client.post("/do", headers=JSON)
    assert (answer.status_code, answer.json) == (200, {"detail": "It is lit.", "lamp": PLAIN})


def test_actor_is_the_account_or_only_an_address(app: Flask) -> None:
    seen: list[Actor] = []
    add_view(app, "/act", lambda: (seen.append(current_actor()), "")[1])
    user = add_user(app)
    for client in (client_of(app, user), app.test_client()):
        client.get("/act", environ_base={"REMOTE_ADDR": "192.0.2.4"})
    assert seen == [Actor(user.id, "web", "192.0.2.4"), Actor(None, "web", "192.0.2.4")]


def test_signed_in_returns_the_account_or_raises(app: Flask) -> None:
    add_view(app, "/me", lambda: require_account().ref, SIGNED_IN)
    user = add_user(app)
    assert client_of(app, user).get("/me").text == user.ref
    with app.test_request_context("/me"), pytest.raises(SignInError):
        require_account()


def test_keep_private_forbids_caching(app: Flask) -> None:
    with app.test_request_context("/"):
        kept = keep_private(Response("x", headers={"Cache-Control": "public, max-age=60", "Vary": "Accept-Encoding"}))
    assert {"private", "no-store"} <= set(kept.headers["Cache-Control"].split(", "))
    assert "public" not in kept.headers["Cache-Control"]
    assert {"Accept", "Cookie", "Accept-Encoding"} == {name.strip() for name in kept.headers["Vary"].split(",")}
