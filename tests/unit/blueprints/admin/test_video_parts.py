"""Captions and chapters of a video in the admin area."""

from __future__ import annotations

import io
from typing import Any

import pytest
from flask import Flask

from tests.support.browsing import Browser, follow_redirect, list_audit_actions
from tests.support.video_fixture import add_ready

VTT = b"WEBVTT\n\n00:01.000 --> 00:02.000\nHello\n"


def test_captions_and_chapters_are_added_and_captions_removed(app: Flask, admin: Browser) -> None:
    with app.app_context():
        path = f"/admin/videos/{add_ready('harbour', access_level='public').ref}"
    captions = {"language": "en", "label": "English", "is_default": "1", "file": (io.BytesIO(VTT), "en.vtt")}
    assert "Captions added." in follow_redirect(admin, admin.submit(f"{path}/captions", captions))
    assert 'label="English" default' in Browser(app).get("/video/harbour").text
    assert "Chapters saved." in follow_redirect(admin, admin.submit(f"{path}/chapters", {"chapters": "0:00 The door"}))
    assert "The door" in Browser(app).get("/video/harbour").text
    follow_redirect(admin, admin.submit(f"{path}/captions/en/delete"))
    assert "<track" not in Browser(app).get("/video/harbour").text
    assert list_audit_actions(app) == ["video.captioned", "video.chaptered", "video.uncaptioned"]


@pytest.mark.parametrize(
    ("part", "form", "words"),
    [("/chapters", {"chapters": "the door"}, "is not a chapter"),
     ("/captions", {"language": "Welsh", "label": "W"}, "Enter a language such as en"),
     ("/captions", {"language": "en", "file": (io.BytesIO(b"1\n00:00:01,000"), "a.srt")}, "not a WebVTT or SRT file")],
)  # fmt: skip
def test_invalid_part_is_shown_with_its_errors(
    app: Flask, admin: Browser, part: str, form: dict[str, Any], words: str
) -> None:
    with app.app_context():
        path = f"/admin/videos/{add_ready('harbour').ref}"
    answer = admin.submit(path + part, form)
    assert answer.status_code == 422
    assert words in answer.text
    assert list_audit_actions(app) == []
