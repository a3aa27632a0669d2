"""Signed stream addresses: who gets one, what its token opens, and what the stream sends and counts."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import EnvironBuilder, TestResponse
from werkzeug.wsgi import FileWrapper

from church import create_app
from church.config import Settings, load_settings
from church.extensions import db
from church.models import Grant, Rendition, User, Video
from church.models.base import utc_now
from church.observability.metrics import definitions
from church.services import sessions
from church.services.videos.storage.bucket import presign
from church.services.videos.streaming import playback_tokens
from tests.support.databases import copy_database
from tests.support.helpers import captured_log, grows, value, with_settings
from tests.support.people import add_user, client_of
from tests.support.video_fixture import add_ready

FILM = bytes(range(256)) * 400


class Viewer(FlaskClient):
    """Reads the whole response and closes it, as a browser does."""

    def open(self, *args: Any, **options: Any) -> TestResponse:
        return super().open(*args, **{"buffered": True, **options})


@pytest.fixture
def app(app: Flask) -> Flask:
    app.test_client_class = Viewer
    return app


@pytest.fixture
def member(app: Flask) -> User:
    return add_user(app)


@pytest.fixture
def film(app: Flask) -> Video:
    """A members' video at /video/harbour."""
    with app.app_context():
        return add_ready(data=FILM, access_level="members")


def address(client: FlaskClient, slug: str = "harbour", **query: str) -> dict[str, Any]:
    response = client.get(f"/video/access/{slug}", query_string=query, headers={"Accept": "application/json"})
    assert response.status_code == 200, response.text
    return dict(response.json)


def token_of(url: str) -> str:
    return parse_qs(urlsplit(url).query)["token"][0]


def reason(response: TestResponse) -> str:
    assert response.status_code == 403
    return str(response.json["detail"])


def rejection(client: FlaskClient, url: str) -> str:
    return reason(client.get(url, headers={"Accept": "application/json"}))


# -- who gets an address --------------------------------------------------------------------------------------------


def test_address_needs_access(app: Flask, member: User, film: Video) -> None:
    unconfirmed = add_user(app, "eve@church.example", verified=False)
    json_ = {"Accept": "application/json"}
    denied = definitions.content_access.labels("video", "members", "denied")
    with grows(denied, 2):
        assert app.test_client().get("/video/access/harbour", headers=json_).status_code == 401
        assert client_of(app, unconfirmed).get("/video/access/harbour", headers=json_).status_code == 403
    client = client_of(app, member)
    assert client.get("/video/access/none").status_code == 404
    with grows(definitions.content_access.labels("video", "members", "granted")):
        found = address(client, quality="9000p")
        again = address(client, playback=found["playback"])
    assert again["playback"] == found["playback"]
    assert found["quality"] == "720p"
    assert [one["quality"] for one in found["qualities"]] == ["720p"]
    assert 590 <= found["expires_at"] - utc_now().timestamp() <= 600
    response = client.get("/video/access/harbour")
    assert response.headers["Cache-Control"] == "private, no-store"


def test_address_of_premium_video_works_until_the_grant_is_revoked(app: Flask, member: User) -> None:
    with app.app_context():
        add_ready("deep", access_level="premium")
    client = client_of(app, member)
    assert client.get("/video/access/deep").status_code == 403
    with app.app_context(), db.write() as session:
        now = utc_now()
        grant = Grant(user_id=member.id, reason="", created_at=now, until=now + timedelta(days=1))
        session.add(grant)
    with app.app_context():
        sessions.forget_cached()
    url = address(client, "deep")["url"]
    assert client.get(url).data == b"0123456789"
    with app.app_context(), db.write() as session:
        session.query(Grant).update({"revoked_at": utc_now()})
    with app.app_context():
        sessions.forget_cached()
    assert "no longer have access" in rejection(client, url)
    assert "no longer have access" in rejection(app.test_client(), url)


def test_address_without_a_quality_is_the_best_up_to_720p(app: Flask, member: User, film: Video) -> None:
    with app.app_context(), db.write() as session:
        for quality, height in (("1080p", 1080), ("360p", 360)):
            facts = {"file": f"{quality}.mp4", "bytes": 1, "width": 1, "bitrate": 1, "etag": "x"}
            session.add(Rendition(video_id=film.id, quality=quality, height=height, **facts))
    client = client_of(app, member)
    assert address(client)["quality"] == "720p"
    assert address(client, quality="360p")["quality"] == "360p"
    assert client.get(address(client, quality="1080p")["url"]).status_code == 404  # its file is not there


# -- what a token opens ---------------------------------------------------------------------------------------------


def test_token_opens_only_for_its_member_and_video_until_it_expires(
    app: Flask, member: User, film: Video, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = add_user(app, "bob@church.example")
    with app.app_context():
        add_ready("second", access_level="members")
    client = client_of(app, member)
    url = address(client)["url"]
    assert client.get(url).data == FILM
    assert app.test_client().get(url).data == FILM  # the address is enough: a television has no cookie
    assert "another member" in rejection(client_of(app, other), url)
    assert "another video" in rejection(client, url.replace("harbour", "second"))
    monkeypatch.setattr(playback_tokens.time, "time", lambda: utc_now().timestamp() + 700)
    with grows(definitions.video_streams.labels("harbour", "other", "expired")):
        assert "expired" in rejection(client, url)


def test_token_ends_with_its_session(app: Flask, member: User, film: Video) -> None:
    client = client_of(app, member)
    url = address(client)["url"]
    with app.app_context(), db.write() as session:
        sessions.end_all(session, member.id)
    assert "no longer have access" in rejection(client, url)
    assert "no longer have access" in rejection(client_of(app, member), url)


def test_token_altered_is_rejected_and_recorded(app: Flask, member: User, film: Video) -> None:
    client = client_of(app, member)
    token = token_of(address(client)["url"])
    parts = token.split(".")
    forged = [token[:-1] + ("A" if token[-1] != "A" else "B"), token[:-1], token + "x", ".", "...", "x" * 4000]
    forged += [".".join((*parts[:n], "zz", *parts[n + 1 :])) for n in range(len(parts))]
    forged += [token.replace(parts[2], str(int(parts[2]) + 1)), token + "\ud800", "é" * 8]
    with grows(definitions.security_events.labels("video_token_forged", "medium"), len(forged)):
        for one in forged:
            response = client.get("/video/stream/harbour", query_string={"token": one.encode("utf-8", "replace")})
            assert response.status_code == 403
    assert client.get("/video/stream/none", query_string={"token": token}).status_code == 404


def test_stream_without_a_token_is_rejected_but_not_as_forged(app: Flask, film: Video) -> None:
    forged = definitions.security_events.labels("video_token_forged", "medium")
    before, stranger = value(forged), app.test_client()
    with grows(definitions.video_streams.labels("harbour", "other", "forbidden"), 2):
        for url in ("/video/stream/harbour", "/video/stream/harbour?token="):
            assert "stream address is incomplete" in rejection(stranger, url)
    assert value(forged) == before


def test_token_of_public_video_ends_when_the_video_is_not_public(app: Flask) -> None:
    with app.app_context():
        add_ready("open", access_level="public")
    stranger = app.test_client()
    url = address(stranger, "open")["url"]
    assert stranger.get(url).status_code == 200
    with app.app_context(), db.write() as session:
        session.query(Video).update({"access_level": "members"})
    assert "no longer have access" in rejection(stranger, url)


def test_token_of_previous_key_works_while_that_key_is_configured(settings: Settings, migrated_file: Any) -> None:
    keys = {name: (name * 48)[:48] for name in ("first-1", "second-2", "third-3")}
    copy_database(migrated_file, settings)
    folders = {"CHURCH_INSTANCE": settings.instance, "CHURCH_LOG_DIR": settings.log_dir}

    def site(key: str, previous: str | None = None) -> Flask:
        made = create_app(load_settings(SECRET_KEY=keys[key], SECRET_KEY_PREVIOUS=keys.get(previous or ""), **folders))
        made.testing, made.test_client_class = True, Viewer
        return made

    before = site("first-1")
    with before.app_context():
        add_ready("open", access_level="public")
    url = address(before.test_client(), "open")["url"]
    assert site("second-2", "first-1").test_client().get(url).status_code == 200
    assert site("third-3", "second-2").test_client().get(url).status_code == 403


# -- what is sent ---------------------------------------------------------------------------------------------------


def test_stream_answers_ranges_and_conditions(app: Flask, member: User, film: Video) -> None:
    client = client_of(app, member)
    url = address(client)["url"]
    whole = client.get(url)
    assert (whole.status_code, whole.data) == (200, FILM)
    head = client.head(url, headers={"Range": "bytes=0-1"})
    assert (head.status_code, head.data, head.headers["Content-Length"]) == (200, b"", str(len(FILM)))
    for response in (whole, head):
        assert response.headers["Accept-Ranges"] == "bytes"
        assert response.headers["Content-Type"] == "video/mp4"
        assert response.headers["Cache-Control"] == "private, no-store"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    etag = whole.headers["ETag"]
    piece = client.get(url, headers={"Range": "bytes=1000-1999", "If-Range": etag})
    assert (piece.status_code, piece.data) == (206, FILM[1000:2000])
    assert piece.headers["Content-Range"] == f"bytes 1000-1999/{len(FILM)}"
    assert piece.headers["Content-Length"] == "1000"
    beyond = client.get(url, headers={"Range": f"bytes={len(FILM)}-"})
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{len(FILM)}")
    unchanged = client.get(url, headers={"If-None-Match": etag})
    assert (unchanged.status_code, unchanged.data, unchanged.headers["ETag"]) == (304, b"", etag)
    assert client.get(url, headers={"If-Match": '"x"'}).status_code == 412


def test_stream_range_of_replaced_file_gets_the_whole_new_file(app: Flask, member: User, film: Video) -> None:
    client = client_of(app, member)
    url = address(client)["url"]
    etag = client.head(url).headers["ETag"]
    path = app.config["CHURCH"].video_dir / film.ref / "720p.mp4"
    aside = path.with_name("aside")
    aside.write_bytes(b"n" * len(FILM))
    aside.rename(path)
    response = client.get(url, headers={"Range": "bytes=5-9", "If-Range": etag})
    assert (response.status_code, response.data) == (200, b"n" * len(FILM))
    path.unlink()
    before = value(definitions.video_streams.labels("harbour", "720p", "started"))
    assert client.get(address(client)["url"]).status_code == 404
    assert value(definitions.video_streams.labels("harbour", "720p", "started")) == before  # nothing was sent


def test_stream_gives_the_server_an_open_file_at_the_start_of_the_range(app: Flask, member: User, film: Video) -> None:
    """The server can use sendfile only for its own wrapper."""
    client = client_of(app, member)
    request = EnvironBuilder(path=address(client)["url"], headers={"Range": "bytes=7-99"}).get_environ()
    environ = {**request, "wsgi.file_wrapper": FileWrapper}
    answer = app.wsgi_app(environ, lambda *_: lambda _data: None)
    assert type(answer) is FileWrapper
    assert os.lseek(answer.file.fileno(), 0, os.SEEK_CUR) == 7
    assert b"".join(answer) == FILM[7:100]
    answer.close()


# -- metrics and logs -----------------------------------------------------------------------------------------------


def test_playback_counts_once_and_each_connection_by_bytes_and_time(app: Flask, member: User, film: Video) -> None:
    client = client_of(app, member)
    granted = address(client)
    started = definitions.video_streams.labels("harbour", "720p", "started")
    octets = definitions.http_response_bytes.labels("/video/stream/<slug>")
    client.head(granted["url"])  # these two send no bytes, so the playback has not started
    client.get(granted["url"], headers={"Range": f"bytes={len(FILM)}-"})
    before = (value(definitions.video_bytes), value(octets), connections())
    with grows(started):
        client.get(granted["url"], headers={"Range": "bytes=0-99"})
        client.get(granted["url"], headers={"Range": "bytes=100-299"})
        client.head(granted["url"])
        client.get(address(client, playback=granted["playback"])["url"], headers={"Range": "bytes=300-300"})
    with grows(started):
        gone = client.get(address(client)["url"], buffered=False)
        next(gone.iter_encoded())
        gone.close()
    taken = 301 + 64 * 1024
    after = (value(definitions.video_bytes), value(octets), connections())
    assert after == (before[0] + taken, before[1] + taken, before[2] + 4)


def connections() -> float:
    return sum(bucket.get() for bucket in definitions.video_stream_duration._buckets)


def test_metrics_name_only_the_first_videos(
    app: Flask, film: Video, member: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("church.services.videos.streaming.playbacks.MAX_NAMED", 1)
    with app.app_context():
        add_ready("second", access_level="public")
    with grows(definitions.video_streams.labels("other", "720p", "started")):
        client = app.test_client()
        client.get(address(client, "second")["url"])


def test_token_is_in_no_log(app: Flask, member: User, film: Video) -> None:
    client = client_of(app, member)
    token = token_of(address(client)["url"])
    attack = {"q": "' union select password from users --"}
    with captured_log() as sink:
        client.get("/video/stream/harbour", query_string={"token": token})
        client.get("/video/stream/harbour", query_string={"token": token, **attack})
        client.get("/video/stream/harbour", query_string={"t": token, **attack})
        client.get("/", headers={"Referer": f"https://church.example/video/stream/harbour?token={token}&q=<script>"})
        client.get("/pages/", query_string={"q": f"{token}<script>alert(1)</script>"})
        app.logger.error("failed at /video/stream/harbour?token=%s and %s", token, token)
    lines = b"".join(sink.lines).decode()
    assert lines.count("threat_detected") >= 4
    signature, member_ref = token.rpartition(".")[2], token.split(".")[3]
    assert token not in lines
    assert signature[:20] not in lines
    assert signature[-12:] not in lines
    assert f"{member_ref}." not in lines


# -- nginx and a bucket ---------------------------------------------------------------------------------------------


def offloaded(settings: Settings, migrated_file: Any, **changes: Any) -> FlaskClient:
    copy_database(migrated_file, settings)
    app = create_app(with_settings(settings, **changes))
    app.testing, app.test_client_class = True, Viewer
    with app.app_context():
        video = add_ready("open", access_level="public")
        with db.write() as session:
            session.query(Rendition).update({"in_bucket": True})
    client = app.test_client()
    client.ref = video.ref  # type: ignore[attr-defined]
    return client


def test_stream_with_nginx_names_the_file(settings: Settings, migrated_file: Any) -> None:
    client = offloaded(settings, migrated_file, video_offload="x-accel")
    before = connections()
    response = client.get(address(client, "open")["url"], headers={"Range": "bytes=0-1"})
    assert (response.status_code, response.data) == (200, b"")
    assert response.headers["X-Accel-Redirect"] == f"/_videos/{client.ref}/720p.mp4"
    assert response.headers["Content-Type"] == "video/mp4"
    assert connections() == before  # nginx sends the bytes, so they are not counted here


def test_stream_with_bucket_redirects_until_the_token_expires(settings: Settings, migrated_file: Any) -> None:
    changes = {"video_offload": "s3", "video_s3_bucket": "films", "video_s3_key": "AKIAEXAMPLE", "video_ttl": 90}
    client = offloaded(settings, migrated_file, **changes)
    response = client.get(address(client, "open")["url"])
    assert (response.status_code, response.headers["Cache-Control"]) == (302, "private, no-store")
    found = urlsplit(response.headers["Location"])
    assert (found.netloc, found.path) == ("films.s3.us-east-1.amazonaws.com", f"/{client.ref}/720p.mp4")
    assert 85 <= int(parse_qs(found.query)["X-Amz-Expires"][0]) <= 90
    probed = client.head(address(client, "open")["url"]).headers["Location"]
    facts = {name: values[0] for name, values in parse_qs(urlsplit(probed).query).items()}
    signed_at = datetime.strptime(facts["X-Amz-Date"], "%Y%m%dT%H%M%S%z")
    site = client.application.config["CHURCH"]
    again = presign(site, found.path[1:], int(facts["X-Amz-Expires"]), signed_at, method="HEAD")
    assert probed == again  # a signature is valid for one method
    with client.application.app_context(), db.write() as session:
        session.query(Rendition).update({"in_bucket": False})
    assert client.get(address(client, "open")["url"]).data == b"0123456789"  # not uploaded yet, so the site sends it
