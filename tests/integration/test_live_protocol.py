"""/ws of a real worker: who may connect, what closes a connection, and what is counted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from functools import partial

import pytest
from flask import Flask
from jsonschema import Draft202012Validator

from church import create_app
from church.extensions import db
from church.models import Grant, User
from church.models.base import utc_now
from church.services import chat, live_broadcast, sessions
from church.services.audit import Actor
from tests.support.live_fixture import Line, masked, token_of
from tests.support.people import add_user, client_of
from tests.support.services_fixture import wait_until
from tests.support.site_fixture import ROOT, Site

SCHEMA = json.loads((ROOT / "docs/live.schema.json").read_text())
SERVER_FRAME = Draft202012Validator({**SCHEMA, "oneOf": [{"$ref": "#/$defs/server"}]})
AUTH = "auth_attempts_total"
PLACES = 8


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    one = Site(
        tmp_path_factory.mktemp("live"),
        WEB_CONCURRENCY="1",
        CHURCH_LIVE_PER_MEMBER="2",
        CHURCH_LIVE_PER_ADDRESS=str(PLACES),
        CHURCH_LIMIT_LIVE="1000000/minute",
        CHURCH_LIMIT_HISTORY="60/hour",
    )
    try:
        yield one.start()
    finally:
        one.stop()


@pytest.fixture(scope="module")
def app(live: Site) -> Flask:
    """The same site in this process; the worker notices its changes by the store and the database."""
    return create_app(live.settings)


@pytest.fixture
def ada(app: Flask) -> User:
    return add_user(app, f"ada-{utc_now().timestamp()}@church.example")


@pytest.fixture
def line(live: Site, app: Flask, ada: User) -> Iterator[Line]:
    with Line(live.port) as one:
        one.hear("welcome")
        one.sign_in(token_of(app, ada))
        yield one
    wait_until(lambda: live.value("websocket_connections_active") == 0, "it is counted no longer")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec_WebSocket_Version": "8"}, 400),
        ({"Sec_WebSocket_Key": "c2hvcnQ="}, 400),
        ({"Upgrade": ""}, 400),
        ({"Content_Length": "5"}, 400),
    ],
)
def test_invalid_or_foreign_handshake_gets_an_http_error(live: Site, headers: dict[str, str], status: int) -> None:
    with Line(live.port, **headers) as refused:
        assert refused.status == status
    assert live.value("websocket_connections_active") == 0


def test_handshake_accepts_no_extension(live: Site) -> None:
    with Line(live.port, Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits") as one:
        assert one.status == 101
        assert "deflate" not in one.head.lower()


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"\x81\x02hi", 1002),
        (masked(1, b"", rsv=4), 1002),
        (masked(3, b""), 1002),
        (masked(9, b"x" * 126), 1002),
        (masked(0, b"late"), 1002),
        (masked(2, b"\x00"), 1003),
        (masked(1, b"\xff"), 1007),
        (masked(1, b"\xce", fin=False) + masked(0, b"("), 1007),
        (b"\x81\xff" + (1 << 62).to_bytes(8), 1009),
        (masked(1, b"x" * 9000, fin=False) + masked(0, b"x" * 9000, fin=False), 1009),
        (masked(8, b"\x03"), 1002),
        (masked(8, b""), 1005),
        (masked(8, (4321).to_bytes(2) + b"bye") + masked(1, b"after"), 4321),
        (masked(1, b'{"type":"ping"}') * 2000, 1008),
    ],
)
def test_invalid_frame_closes_only_its_connection_with_its_code(live: Site, line: Line, sent: bytes, code: int) -> None:
    with Line(live.port) as broken:
        broken.raw(sent)
        assert broken.ended() == code
        assert broken.socket.recv(1) == b""
    line.say("ping")
    line.hear("pong")


def test_invalid_message_gets_an_error_and_the_connection_stays(line: Line) -> None:
    for text in ("hello", "[" * 8000, '{"type":"dance"}', '{"type":"chat","room":7}', '{"type":"\\ud800"}'):
        line.raw(masked(1, text.encode()))
        assert line.hear("error")["code"] in {"invalid", "unknown_type"}
    line.raw(masked(9, b"still?") + masked(1, b'{"type":"pi', fin=False) + masked(0, b'ng"}'))
    line.hear("pong")
    assert line.pongs == [b"still?"]


def test_unauthenticated_client_may_only_ping(live: Site) -> None:
    with Line(live.port) as stranger:
        stranger.say("subscribe_room", room="public")
        assert stranger.hear("error")["code"] == "unauthenticated"
        stranger.say("ping")
        stranger.hear("pong")


@pytest.mark.parametrize("token", ["", "eyJhbGciOiJub25lIn0.e30.", "x" * 5000])
def test_invalid_token_closes_the_connection(live: Site, token: str) -> None:
    before = live.value(AUTH, type="websocket", outcome="failed_credentials")
    with Line(live.port) as one:
        one.say("auth", token=token)
        one.hear("auth_failed")
        assert one.ended() == 4401
    assert live.value(AUTH, type="websocket", outcome="failed_credentials") == before + 1


def test_cookie_of_the_handshake_authenticates(live: Site, app: Flask, ada: User) -> None:
    cookie = client_of(app, ada).get_cookie("church")
    assert cookie is not None
    with Line(live.port, Cookie=f"church={cookie.value}") as one:
        assert one.sign_in(None)["ref"] == ada.ref
    with Line(live.port) as without:
        without.say("auth")
        assert without.ended() == 4401


def test_unconfirmed_member_is_refused(live: Site, app: Flask) -> None:
    user = add_user(app, "unconfirmed@church.example", verified=False)
    with Line(live.port) as one:
        one.say("auth", token=token_of(app, user))
        assert one.ended() == 4403


def test_member_over_the_connection_limit_is_refused(live: Site, app: Flask, ada: User, line: Line) -> None:
    with Line(live.port) as second, Line(live.port) as third:
        second.sign_in(token_of(app, ada))
        third.say("auth", token=token_of(app, ada))
        assert third.ended() == 4429


def test_address_over_the_connection_limit_is_refused(live: Site, app: Flask) -> None:
    with ExitStack() as stack:

        def let_in(token: str) -> bool:
            one = stack.enter_context(Line(live.port))
            if one.status == 101:
                one.sign_in(token)  # a client that does not authenticate within ten seconds loses its place
            return one.status == 101

        for number in range(PLACES):
            token = token_of(app, add_user(app, f"guest-{number}@church.example", password_hash="x"))
            # Earlier places become free a moment after their connections have closed.
            wait_until(partial(let_in, token), "a place is free")
        assert stack.enter_context(Line(live.port)).status == 429
    wait_until(lambda: live.value("websocket_connections_active") == 0, "they are gone")


def test_sign_out_closes_the_connection(app: Flask, ada: User, line: Line) -> None:
    with app.app_context(), db.write() as session:
        sessions.end_all(session, ada.id)
    assert line.ended() == 4401


def test_lost_premium_closes_the_connection_in_the_premium_room(live: Site, app: Flask, ada: User, line: Line) -> None:
    line.say("subscribe_room", room="premium")
    error = line.hear("error")
    assert (error["code"], error["room"]) == ("forbidden", "premium")
    grant = Grant(user_id=ada.id, reason="thanks", created_at=utc_now(), until=utc_now() + timedelta(days=1))
    with app.app_context(), db.write() as session:
        session.add(grant)

    def entered() -> bool:
        line.say("subscribe_room", room="premium")
        return next(line.frames())["type"] == "room_joined"

    wait_until(entered, "premium is open", pause=0.25)  # a refused frame costs five of the 40 a second
    with app.app_context(), db.write() as session:
        session.merge(grant).revoked_at = utc_now()
    assert line.ended() == 4403


def test_ban_closes_the_connection_at_once(app: Flask, ada: User, line: Line) -> None:
    line.enter("public")
    with app.app_context():
        chat.ban_member(ada.ref, "public", None, "spam", Actor())
    assert line.ended() == 4403


def test_joins_over_the_rate_limit_are_refused(live: Site, line: Line) -> None:
    before = live.value("rate_limit_hits_total", limit="history")
    for _ in range(60):  # fewer than a client may send at once
        line.enter("public", after=0)
    for kind in ("history", "subscribe_room"):
        line.say(kind, room="public", after=0)
        error = line.hear("error")
        assert (error["code"], error["room"]) == ("rate_limited", "public")
        assert 1 <= error["retry_after"] <= 3600
    assert live.value("rate_limit_hits_total", limit="history") == before + 2


def test_client_that_goes_on_after_refusals_is_closed_with_1008_before_its_own_budget_is_used_up(line: Line) -> None:
    frames = b"".join(
        masked(1, json.dumps({"type": "chat", "room": "public", "message": "hello", "client_id": f"f-{n}"}).encode())
        for n in range(190)
    )
    line.raw(frames)
    assert line.ended() == 1008
    codes = [frame["code"] for frame in line.heard if frame["type"] == "error"]
    assert len(line.chats()) == 20
    assert set(codes) == {"rate_limited"}
    assert len(codes) < 150


def test_connections_of_a_member_share_a_budget_of_frames(live: Site, app: Flask, ada: User, line: Line) -> None:
    pings = masked(1, b'{"type":"ping"}') * 190  # one connection may send 200 at once
    with Line(live.port) as other:
        other.sign_in(token_of(app, ada))
        line.raw(pings)
        for _ in range(150):
            line.hear("pong")
        other.raw(pings)
        assert other.ended() == 1008


def test_repeated_message_gets_the_same_answer_again(live: Site, app: Flask, line: Line) -> None:
    eve = add_user(app, f"eve-{utc_now().timestamp()}@church.example")
    with Line(live.port) as other:
        other.sign_in(token_of(app, eve))
        other.enter("public")
        line.enter("public")
        for _ in range(2):
            line.say("chat", room="public", message="**hello** <script>", client_id="one.1")
        mine = [line.hear("chat"), line.hear("chat")]
        assert mine[0] == mine[1]
        assert mine[0]["client_id"] == "one.1"
        theirs = other.hear("chat")
        assert "client_id" not in theirs
        assert theirs["html"] == "<strong>hello</strong> &lt;script&gt;"
        line.say("typing", room="public")
        assert other.hear("typing")["from"]["ref"] == mine[0]["from"]["ref"]
        other.say("presence", room="public")
        assert other.hear("presence", lambda frame: frame["count"] == 2)
        line.say("chat", room="public", message="' OR 1=1; DROP TABLE users --", client_id="one.2")
        other.hear("chat")
        assert len(other.chats()) == 2
        with app.app_context():
            chat.mute_member(eve.ref, None, None, "spam", Actor())
        other.say("typing", room="public")
        other.say("chat", room="public", message="hello", client_id="one.3")
        assert other.hear("error")["code"] == "muted"
        line.say("ping")
        line.hear("pong")
        assert not [frame for frame in line.heard if frame["type"] == "typing"]
        for frame in (*line.heard, *other.heard):
            SERVER_FRAME.validate(frame)
    assert live.value("suspicious_activity_total", source="websocket") >= 1


def test_notice_reaches_its_audience(app: Flask, ada: User, line: Line) -> None:
    with app.app_context():
        live_broadcast.notify("admins", "notice", "not for her")
        live_broadcast.notify(ada.ref, "membership", "for her", "/auth/account")
    assert line.hear("notification")["title"] == "for her"
    SERVER_FRAME.validate(line.heard[-1])


def test_connection_is_not_a_request_and_its_end_is_counted_and_logged(live: Site, app: Flask, line: Line) -> None:
    assert live.value("websocket_connections_active") == 1
    assert live.value("http_requests_in_flight") == 1  # the scrape that asks
    ended = live.value("websocket_connection_duration_seconds_count")
    said = live.value("websocket_messages_total", direction="in", message_type="ping")
    line.say("ping")
    line.hear("pong")
    line.raw(masked(8, (1000).to_bytes(2)))
    assert line.ended() == 1000
    wait_until(lambda: live.value("websocket_connection_duration_seconds_count") == ended + 1, "its end is counted")
    assert live.value("websocket_messages_total", direction="in", message_type="ping") == said + 1
    assert not [labels for name, labels in live.samples() if name == "http_request_duration_seconds_count"
                and ("route", "/ws") in labels and ("status_class", "1xx") in labels]  # fmt: skip
    wait_until(lambda: any(r.get("event") == "live.closed" and r["code"] == 1000 for r in live.records()), "its record")
