"""The library's part of a data export, and what is left of it after the account is deleted."""

from __future__ import annotations

from flask import Flask

from church.extensions import db
from church.models import User, VideoUpload, WatchPosition, WatchSetting
from church.services import videos
from church.services.access import Reader
from church.services.accounts import data_registry
from church.services.videos import VideoDraft
from tests.support.people import add_user
from tests.support.video_fixture import add_ready


def fill(user: User) -> None:
    """Save a position and a setting, and start an upload."""
    videos.set_resume(user.id, True)
    videos.save_position("harbour", user.id, Reader(member=True, premium=True), 30_000)
    videos.start_upload(user.id, "evening.mov", 10, VideoDraft("Our evening", "members"))


def test_export_has_positions_and_unfinished_uploads(at_work: Flask) -> None:
    add_ready()
    ada = add_user(at_work)
    fill(ada)
    with db.read() as session:
        parts = data_registry.collect_data(session, session.get_one(User, ada.id))
    assert parts["watching"]["remembered"] is True
    assert [(one["video"], one["position_ms"]) for one in parts["watching"]["videos"]] == [("harbour", 30_000)]
    assert [(one["file"], one["size"], one["received"]) for one in parts["uploads"]] == [("evening.mov", 10, 0)]


def test_deletion_removes_the_rows_of_that_account_only(at_work: Flask) -> None:
    add_ready()
    ada, eve = add_user(at_work), add_user(at_work, "eve@church.example")
    fill(ada)
    fill(eve)
    with db.write() as session:
        data_registry.delete_data(session, session.get_one(User, ada.id))
    with db.read() as session:
        for model in (WatchPosition, WatchSetting, VideoUpload):
            assert [row.user_id for row in session.query(model)] == [eve.id]
