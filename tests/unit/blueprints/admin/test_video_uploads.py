"""Video uploads over HTTP: in pieces that resume, and in one plain form."""

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

PIECE = "application/offset+octet-stream"
DRAFT = {"title": "Our evening", "access": "members", "description": "By the *lake*."}


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


def test_upload_by_access_token_goes_from_start_to_end(app: Flask, admin: Browser) -> None:
    token = admin.post_json("/auth/token", headers=JSON).get_json()["token"]
    program, headers = app.test_client(), {**JSON, "Authorization": f"Bearer {token}"}

    def start() -> str:
        begun = program.post("/admin/video-uploads", json={**DRAFT, "name": "a.mov", "size": 6}, headers=headers)
        assert begun.status_code == 201
        return str(begun.get_json()["upload"]["ref"])

    def send_piece(ref: str, offset: int, data: bytes) -> TestResponse:
        here = {**headers, "Upload-Offset": str(offset)}
        return program.patch(f"/admin/video-uploads/{ref}", data=data, content_type=PIECE, headers=here)

    ref = start()
    assert send_piece(ref, 0, b"abc").headers["Upload-Offset"] == "3"
    assert program.get(f"/admin/video-uploads/{ref}", headers=headers).get_json()["upload"]["received"] == 3
    assert send_piece(ref, 3, b"def").get_json()["video"]["state"] == "queued"
    assert program.get(f"/admin/videos/{ref}", headers=headers).status_code == 200
    given_up = start()
    assert program.post(f"/admin/video-uploads/{given_up}/give-up", headers=headers).status_code == 200
    assert program.get(f"/admin/video-uploads/{given_up}", headers=headers).status_code == 404
    whole = {**DRAFT, "file": (io.BytesIO(b"abcdef"), "b.mov")}
    assert program.post("/admin/videos/new", data=whole, headers=headers).status_code == 200


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
