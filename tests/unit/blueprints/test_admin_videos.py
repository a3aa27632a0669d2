"""Videos in the admin area over HTTP: uploads in pieces and in one form, progress, editing, captions, chapters."""

from __future__ import annotations

import io
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from church.config import current_settings
from church.extensions import db
from church.models import Job
from church.models.accounts import Role
from church.services.videos.storage import local
from tests.support.browsing import JSON, Browser, follow_redirect, list_audit_actions
from tests.support.people import add_user
from tests.support.video_fixture import add_ready

PIECE = "application/offset+octet-stream"
DRAFT = {"title": "Our evening", "access": "members", "description": "By the *lake*."}
VTT = b"WEBVTT\n\n00:01.000 --> 00:02.000\nHello\n"


@pytest.fixture
def admin(app: Flask) -> Browser:
    return Browser(app, add_user(app, role=Role.ADMIN.value))


def token_of(browser: Browser) -> str:
    shown = browser.get("/admin/videos/new").text
    return shown.partition('name="csrf_token" value="')[2].partition('"')[0]


def begin(admin: Browser, size: int, **changes: Any) -> TestResponse:
    return admin.post_json(
        "/admin/video-uploads", {**DRAFT, "name": "evening.mov", "size": size, **changes}, headers=JSON
    )


def send(
    admin: Browser, ref: str, offset: object, data: bytes, kind: str = PIECE, token: str | None = None
) -> TestResponse:
    headers = {**JSON, "Upload-Offset": str(offset), "X-CSRFToken": token_of(admin) if token is None else token}
    return admin.client.patch(f"/admin/video-uploads/{ref}", data=data, content_type=kind, headers=headers)


def test_upload_resumes_after_an_interruption_and_becomes_a_video(app: Flask, admin: Browser) -> None:
    begun = begin(admin, size=3_000_000)
    assert (begun.status_code, begun.headers["Upload-Offset"]) == (201, "0")
    ref = begun.get_json()["upload"]["ref"]
    first = send(admin, ref, 0, b"a" * 2_000_000)  # larger than any other body that the site accepts
    assert (first.status_code, first.headers["Upload-Offset"]) == (200, "2000000")
    state = admin.client.head(f"/admin/video-uploads/{ref}", headers=JSON)
    assert (state.headers["Upload-Offset"], state.headers["Upload-Length"]) == ("2000000", "3000000")
    assert "evening.mov, 1.9 MiB of 2.9 MiB" in admin.get("/admin/videos/new").text
    assert send(admin, ref, 0, b"a").status_code == 409
    done = send(admin, ref, 2_000_000, b"b" * 1_000_000).get_json()
    assert (done["url"], done["video"]["state"]) == (f"/admin/videos/{ref}", "queued")
    with app.app_context(), db.read() as session:
        assert local.source_path(current_settings(), ref).read_bytes() == b"a" * 2_000_000 + b"b" * 1_000_000
        assert [job.kind for job in session.query(Job).filter(Job.kind == "videos.import")] == ["videos.import"]


@pytest.mark.parametrize(
    ("offset", "size", "kind", "status"),
    [("x", 5, PIECE, 400), ("", 5, PIECE, 400), ("-1", 5, PIECE, 400), ("0", 5, "application/json", 415),
     ("0", 5, "text/plain", 415), ("0", 4 * 1024 * 1024 + 1, PIECE, 413), ("0", 0, PIECE, 400), ("0", 101, PIECE, 400)],
)  # fmt: skip
def test_invalid_piece_is_refused(admin: Browser, offset: str, size: int, kind: str, status: int) -> None:
    ref = begin(admin, size=100).get_json()["upload"]["ref"]
    assert send(admin, ref, offset, b"x" * size, kind).status_code == status
    assert admin.get(f"/admin/video-uploads/{ref}", headers=JSON).headers["Upload-Offset"] == "0"


def test_piece_without_csrf_token_is_refused_unread(admin: Browser) -> None:
    ref = begin(admin, size=100).get_json()["upload"]["ref"]
    for token in ("", "forged"):
        assert send(admin, ref, 0, b"x" * 10, token=token).status_code == 400
    assert admin.get(f"/admin/video-uploads/{ref}", headers=JSON).headers["Upload-Offset"] == "0"


def test_upload_belongs_to_its_admin_and_can_be_cancelled(app: Flask, admin: Browser) -> None:
    ref = begin(admin, size=100).get_json()["upload"]["ref"]
    other = Browser(app, add_user(app, "eve@church.example", role=Role.ADMIN.value))
    assert other.get(f"/admin/video-uploads/{ref}", headers=JSON).status_code == 404
    assert send(other, ref, 0, b"x").status_code == 404
    assert "Upload cancelled" in follow_redirect(admin, admin.submit(f"/admin/video-uploads/{ref}/give-up"))
    assert admin.get(f"/admin/video-uploads/{ref}", headers=JSON).status_code == 404


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"title": ""}, "title"), ({"access": "everyone"}, "access"), ({"size": "much"}, "size"), ({"name": ""}, "name")],
)
def test_invalid_upload_names_the_field(admin: Browser, changes: dict[str, Any], field: str) -> None:
    answer = begin(admin, **{"size": 100, **changes})
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, [field])


def test_upload_above_the_size_limit_is_refused_at_once(admin: Browser) -> None:
    assert begin(admin, size=2**53 - 1).status_code == 413


def test_small_video_is_uploaded_by_a_plain_form(app: Flask, admin: Browser) -> None:
    answer = admin.submit("/admin/videos/new", {**DRAFT, "file": (io.BytesIO(b"film"), "evening.mov")})
    page = follow_redirect(admin, answer)
    assert "Waiting for import." in page
    assert "evening.mov" in page
    assert list_audit_actions(app) == ["video.added"]


@pytest.mark.parametrize(
    ("form", "words"),
    [({}, "Choose a file."), ({"title": " "}, "Enter a title."), ({"file": b""}, "The file is empty.")],
)
def test_invalid_plain_form_is_shown_with_its_errors(admin: Browser, form: dict[str, Any], words: str) -> None:
    sent = {**DRAFT, **({} if form == {} else {"file": (io.BytesIO(form.get("file", b"x")), "a.mov")})}
    answer = admin.submit("/admin/videos/new", {**sent, **{k: v for k, v in form.items() if k != "file"}})
    assert answer.status_code in {400, 422}
    assert words in answer.text
    assert "By the *lake*." in answer.text


def test_states_are_in_the_page_and_in_the_json(app: Flask, admin: Browser) -> None:
    with app.app_context():
        for state in ("queued", "working", "failed"):
            values = {"state": state, "progress": 40, "reason": "no picture" if state == "failed" else None}
            add_ready(state, published_at=None, **values)
        add_ready("harbour", plain=True)
    page = admin.get("/admin/videos").text
    assert page.count("data-unsettled=") == 2
    assert 'value="40"' in page
    assert "no picture" in page
    assert "without ffmpeg" in page
    by_slug = {one["slug"]: one for one in admin.get("/admin/videos", headers=JSON).get_json()["videos"]}
    assert {slug: one["state"] for slug, one in by_slug.items()} == {
        "queued": "queued", "working": "working", "failed": "failed", "harbour": "ready"
    }  # fmt: skip
    assert str(app.config["CHURCH"].instance) not in admin.get("/admin/videos", headers=JSON).text
    assert [v["slug"] for v in admin.get("/admin/videos?state=failed", headers=JSON).get_json()["videos"]] == ["failed"]
    failed = by_slug["failed"]["ref"]
    assert "Waiting for import." in follow_redirect(admin, admin.submit(f"/admin/videos/{failed}/retry"))
    assert "ffmpeg is not installed" in admin.get(f"/admin/videos/{by_slug['harbour']['ref']}").text


def test_video_is_edited_captioned_chaptered_and_deleted(app: Flask, admin: Browser) -> None:
    with app.app_context():
        path = f"/admin/videos/{add_ready('harbour').ref}"
    assert "Video saved." in follow_redirect(admin, admin.submit(path, {**DRAFT, "access": "public"}))
    assert "<h1>Our evening</h1>" in Browser(app).get("/video/harbour").text
    captions = {"language": "en", "label": "English", "is_default": "1", "file": (io.BytesIO(VTT), "en.vtt")}
    assert "Captions added." in follow_redirect(admin, admin.submit(f"{path}/captions", captions))
    assert 'label="English" default' in Browser(app).get("/video/harbour").text
    assert "Chapters saved." in follow_redirect(admin, admin.submit(f"{path}/chapters", {"chapters": "0:00 The door"}))
    assert "The door" in Browser(app).get("/video/harbour").text
    follow_redirect(admin, admin.submit(f"{path}/captions/en/delete"))
    assert "<track" not in Browser(app).get("/video/harbour").text
    assert "Video deleted." in follow_redirect(admin, admin.submit(f"{path}/delete"))
    assert Browser(app).get("/video/harbour").status_code == 404
    assert list_audit_actions(app) == [
        "video.edited", "video.captioned", "video.chaptered", "video.uncaptioned", "video.deleted",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("part", "form", "words"),
    [("", {"title": "", "access": "public"}, "Enter a title."),
     ("/chapters", {"chapters": "the door"}, "is not a chapter"),
     ("/captions", {"language": "Welsh", "label": "W"}, "Enter a language such as en"),
     ("/captions", {"language": "en", "file": (io.BytesIO(b"1\n00:00:01,000"), "a.srt")}, "This is not a WebVTT file")],
)  # fmt: skip
def test_invalid_video_form_is_shown_with_its_errors(
    app: Flask, admin: Browser, part: str, form: dict[str, Any], words: str
) -> None:
    with app.app_context():
        path = f"/admin/videos/{add_ready('harbour').ref}"
    answer = admin.submit(path + part, form)
    assert answer.status_code == 422
    assert words in answer.text
    assert list_audit_actions(app) == []


def test_list_of_many_videos_is_paged(app: Flask, admin: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("church.blueprints.admin.videos.PAGE_SIZE", 2)
    with app.app_context():
        for number in range(3):
            add_ready(f"film-{number}")
    first = admin.get("/admin/videos", headers=JSON).get_json()
    assert [one["slug"] for one in first["videos"]] == ["film-2", "film-1"]
    rest = admin.get(f"/admin/videos?before={first['older']}", headers=JSON).get_json()
    assert ([one["slug"] for one in rest["videos"]], rest["older"]) == (["film-0"], None)


def test_unknown_video_is_not_found(admin: Browser) -> None:
    for ref in ("0" * 16, "..%2f..", "nothing"):
        assert admin.get(f"/admin/videos/{ref}").status_code == 404
