"""Answers that are sent at once: the same bytes as gunicorn sends, piece by piece, for the same answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, redirect
from gunicorn.http.errors import InvalidResponseHeader

from church.extensions import db
from church.web.site import SiteResponse
from tests.support.door_fixture import DoorSite, DoorSocket
from tests.support.helpers import add_view
from tests.support.pages_fixture import make_site, small_library

_ID = re.compile(rb"[0-9a-f]{24}")  # of a request, on error pages


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    app = make_site(tmp_path)
    small_library(tmp_path / "content")
    yield app
    with app.app_context():
        db.dispose()


@pytest.fixture
def site(app: Flask) -> DoorSite:
    site = DoorSite(app)
    site.has_door = False
    return site


@pytest.fixture
def sends(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What each call of ``send`` and ``sendall`` was given, on a connection with room for it."""
    given: list[bytes] = []

    def note(method: Callable[[DoorSocket, bytes], Any]) -> Callable[[DoorSocket, bytes], Any]:
        return lambda sock, data: given.append(bytes(data)) or method(sock, data)

    monkeypatch.setattr(DoorSocket, "room", 1_000_000)
    for name in ("send", "sendall"):
        monkeypatch.setattr(DoorSocket, name, note(getattr(DoorSocket, name)))
    return given


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize(
    "target",
    ["/", "/pages/open", "/pages", "/nothing", "/auth/account", "/feed.xml", "/robots.txt"],
)
def test_whole_answer_has_the_bytes_that_gunicorn_sends(
    site: DoorSite, target: str, method: str, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for headers in ({}, {"Connection": "close"}, {"Accept_Encoding": "gzip, br"}, {"Connection": "keep-alive"}):
        whole = site.get(target, method, version, **headers)
        with monkeypatch.context() as patch:
            patch.setattr(SiteResponse, "_is_whole", lambda _: False)
            by_wsgi = site.get(target, method, version, **headers)
        assert (whole.shape[0], whole.closed) == (by_wsgi.shape[0], by_wsgi.closed)
        assert _ID.sub(b"", whole.text) == _ID.sub(b"", by_wsgi.text)
        assert whole.headers["content-length"] == str(len(whole.body)) or method == "HEAD"


def test_whole_answer_is_sent_at_once(site: DoorSite, sends: list[bytes]) -> None:
    answer = site.get("/pages/open")
    assert answer.status == 200
    assert sends == [answer.raw]


def test_whole_answer_beyond_the_room_of_its_connection_is_sent_in_full(site: DoorSite) -> None:
    answer = site.get("/pages/open")
    assert len(answer.body) == int(answer.headers["content-length"]) > DoorSocket.room


@pytest.mark.parametrize(
    "make",
    [
        lambda: Response(iter([b"one", b"two"])),
        lambda: redirect("/elsewhere ä"),
        lambda: Response(status=204),
        lambda: Response("words", headers={"Connection": "close", "X-Own": "1"}),
        lambda: Response("words", headers={"Content-Length": "3"}),
    ],
    ids=["stream", "redirect", "no content", "connection", "length"],
)
def test_answer_that_a_server_has_to_look_at_is_left_to_gunicorn(
    app: Flask, site: DoorSite, make: Callable[[], Response], monkeypatch: pytest.MonkeyPatch
) -> None:
    add_view(app, "/made", make)
    answer = site.get("/made")
    monkeypatch.setattr(SiteResponse, "_is_whole", lambda _: False)
    assert site.get("/made").shape == answer.shape


@pytest.mark.parametrize("value", ["a\0b", "a\x1bb", "a\x7fb"])
def test_header_with_a_control_character_is_refused(app: Flask, site: DoorSite, value: str) -> None:
    add_view(app, "/made", lambda: Response("words", headers={"X-Own": value}))
    with pytest.raises(InvalidResponseHeader):
        site.get("/made")


class Silent(Response):
    """As flask-sock makes one once a WebSocket has ended."""

    def __call__(self, *_args: Any) -> Any:
        raise StopIteration


def test_response_with_a_way_of_its_own_to_answer_keeps_it(app: Flask, site: DoorSite, sends: list[bytes]) -> None:
    add_view(app, "/made", Silent)
    with pytest.raises(StopIteration):
        app.test_client().get("/made")
    site.get("/made")
    assert sends == []


def test_answer_closes_once_it_is_sent(app: Flask, site: DoorSite, sends: list[bytes]) -> None:
    def answer() -> Response:
        response = Response("words")
        response.call_on_close(lambda: sends.append(b"closed"))
        return response

    add_view(app, "/made", answer)
    sent = site.get("/made")
    assert sends == [sent.raw, b"closed"]


def test_error_after_an_answer_ends_its_connection_without_another(app: Flask, site: DoorSite) -> None:
    def answer() -> Response:
        response = Response("words")
        response.call_on_close(lambda: 1 / 0)
        return response

    add_view(app, "/made", answer)
    sent = site.get("/made")
    assert (sent.status, sent.body, sent.closed) == (200, b"words", True)


def test_answer_of_a_worker_that_stops_ends_its_connection(site: DoorSite) -> None:
    site.worker.alive = False
    sent = site.get("/pages/open")
    assert (sent.headers["connection"], sent.closed) == ("close", True)
