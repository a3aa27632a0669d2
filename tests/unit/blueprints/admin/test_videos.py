"""Videos in the admin area: list them with the state of their import, edit, retry, delete."""

from __future__ import annotations

import pytest
from flask import Flask

from tests.support.browsing import JSON, Browser, follow_redirect, list_audit_actions
from tests.support.video_fixture import add_ready

DRAFT = {"title": "Our evening", "access": "members", "description": "By the *lake*."}


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


def test_video_is_edited_and_deleted(app: Flask, admin: Browser) -> None:
    with app.app_context():
        path = f"/admin/videos/{add_ready('harbour').ref}"
    assert "Video saved." in follow_redirect(admin, admin.submit(path, {**DRAFT, "access": "public"}))
    assert "<h1>Our evening</h1>" in Browser(app).get("/video/harbour").text
    assert "Video deleted." in follow_redirect(admin, admin.submit(f"{path}/delete"))
    assert Browser(app).get("/video/harbour").status_code == 404
    assert list_audit_actions(app) == ["video.edited", "video.deleted"]


def test_invalid_video_is_shown_with_its_errors(app: Flask, admin: Browser) -> None:
    with app.app_context():
        path = f"/admin/videos/{add_ready('harbour').ref}"
    answer = admin.submit(path, {"title": "", "access": "public"})
    assert answer.status_code == 422
    assert "Enter a title." in answer.text
    assert list_audit_actions(app) == []


def test_list_of_many_videos_is_paged(app: Flask, admin: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("church.blueprints.admin.list_filters.PAGE_SIZE", 2)
    with app.app_context():
        for number in range(3):
            add_ready(f"film-{number}")
    first = admin.get("/admin/videos", headers=JSON).get_json()
    assert [one["slug"] for one in first["videos"]] == ["film-2", "film-1"]
    rest = admin.get(f"/admin/videos?before={first['older']}", headers=JSON).get_json()
    assert ([one["slug"] for one in rest["videos"]], rest["older"]) == (["film-0"], None)
    assert admin.get(f"/admin/videos?after={rest['newer']}", headers=JSON).get_json() == first


def test_unknown_video_is_not_found(admin: Browser) -> None:
    for ref in ("0" * 16, "..%2f..", "nothing"):
        assert admin.get(f"/admin/videos/{ref}").status_code == 404
