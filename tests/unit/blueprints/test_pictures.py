"""Pictures beside the pages over HTTP: who may see them, how they are cached, and what else is not sent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, g
from flask.testing import FlaskClient

from church import telemetry
from church.database.errors import DatabaseDownError
from church.extensions import db
from church.services.access import Reader
from church.services.sessions import SignedIn
from tests.support.pages_fixture import make_site, write_page
from tests.support.pictures import make_png


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    app = make_site(tmp_path, CHURCH_SITE_URL="https://church.example")
    content = tmp_path / "content"
    for name in ("open.png", "gold.png", "unused.png"):
        (content / name).write_bytes(make_png(30, 20))
    (content / "drawing.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>')
    write_page(
        content,
        "open",
        "![An open picture](open.png)\n\n![A drawing](drawing.svg) [own](/pages/gold) [other](//b.example)",
    )
    write_page(content, "gold", "The [opening](open).\n\n## Part\n\n![x](gold.png)", access="premium")
    yield app
    with app.app_context():
        db.dispose()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def as_reader(app: Flask, reader: Reader) -> FlaskClient:
    """Make a client whose requests have the access of ``reader``."""
    role = "admin" if reader.admin else "member"
    member = SignedIn(1, "ab12", "Ada", "ada@church.example", role, reader.member, 1, "cd34", reader.premium)

    def know() -> None:
        g.viewer, g.unknown_viewer = member, None

    app.before_request_funcs.setdefault(None, []).append(know)
    return app.test_client()


def address_of(client: FlaskClient, page: str, name: str) -> str:
    found = re.search(rf'src="(/pictures/{name}\?v=\w+)"', client.get(page).text)
    assert found is not None
    return found[1]


def test_picture_of_a_public_page_is_sent_and_kept_for_as_long_as_its_version(client: FlaskClient) -> None:
    address = address_of(client, "/pages/open", "open.png")
    answer = client.get(address, buffered=True)
    assert (answer.status_code, answer.data) == (200, make_png(30, 20))
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert "Set-Cookie" not in answer.headers
    for other in (address.partition("?")[0], address[:-1]):
        assert client.get(other, buffered=True).headers["Cache-Control"] == "public, max-age=60"


def test_picture_is_revalidated_by_etag_and_date_and_sent_in_ranges(client: FlaskClient) -> None:
    first = client.get("/pictures/open.png", buffered=True)
    for header in ({"If-None-Match": first.headers["ETag"]}, {"If-Modified-Since": first.headers["Last-Modified"]}):
        again = client.get("/pictures/open.png", headers=header, buffered=True)
        assert (again.status_code, again.data) == (304, b"")
    part = client.get("/pictures/open.png", headers={"Range": "bytes=0-3"}, buffered=True)
    assert (part.status_code, part.data) == (206, b"\x89PNG")
    head = client.head("/pictures/open.png", buffered=True)
    assert (head.status_code, head.data, head.content_length) == (200, b"", len(make_png(30, 20)))


def test_picture_of_a_premium_page_is_for_subscribers_and_not_for_shared_caches(app: Flask) -> None:
    stranger = app.test_client()
    assert stranger.get("/pictures/gold.png", buffered=True).status_code == 404
    assert "gold.png" not in stranger.get("/pages/gold").text
    answer = as_reader(app, Reader(member=True, premium=True)).get("/pictures/gold.png", buffered=True)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert "Cookie" in answer.headers["Vary"]
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize(
    "path",
    ["unused.png", "none.png", "open.md", "../church.db", "..%2f..%2fetc/passwd", "%2e%2e/open.png", "/open.png",
     "open.png/", "x/../open.png", ".git/open.png", "open.png%00", "OPEN.PNG"],
)  # fmt: skip
def test_anything_but_a_picture_of_a_page_is_404(client: FlaskClient, path: str) -> None:
    assert client.get(f"/pictures/{path}", buffered=True).status_code == 404


def test_picture_address_that_tries_to_leave_the_folder_is_a_security_event(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracked: list[tuple[Any, ...]] = []
    monkeypatch.setattr(telemetry, "track_security_event", lambda *facts, **fields: tracked.append(facts))
    client.get("/pictures/..%2f..%2fetc%2fpasswd", buffered=True)
    assert tracked == [("path_traversal", "medium")]


def test_admin_sees_every_picture(app: Flask) -> None:
    admin = as_reader(app, Reader(member=True, admin=True))
    assert [admin.get(f"/pictures/{name}.png", buffered=True).status_code for name in ("gold", "unused")] == [200, 200]


def test_closed_picture_while_the_account_is_unknown_is_503(app: Flask) -> None:
    def forget() -> None:
        g.viewer, g.unknown_viewer = None, DatabaseDownError()

    app.before_request_funcs.setdefault(None, []).append(forget)
    assert app.test_client().get("/pictures/gold.png", buffered=True).status_code == 503
    assert app.test_client().get("/pictures/open.png", buffered=True).status_code == 200


def test_drawing_cannot_run_scripts_as_a_document(client: FlaskClient) -> None:
    answer = client.get("/pictures/drawing.svg", buffered=True)
    assert answer.headers["Content-Type"].startswith("image/svg+xml")
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; style-src 'unsafe-inline'; sandbox"


def test_feed_has_pictures_and_links_in_full_and_none_of_closed_pages(client: FlaskClient) -> None:
    feed = client.get("/feed.xml").text
    assert 'src="https://church.example/pictures/open.png?v=' in feed.replace("&quot;", '"')
    assert ">own" in feed.replace("&gt;", ">")
    assert 'href="https://church.example/pages/gold"' in feed.replace("&quot;", '"')
    assert 'href="//b.example"' in feed.replace("&quot;", '"')
    assert "gold.png" not in feed
