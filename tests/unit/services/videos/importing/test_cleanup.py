"""The hourly clean-up of uploads, imports and leftover files."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import delete, select, update

from church.config import current_settings
from church.extensions import db
from church.models import Job, VideoUpload
from church.models.base import utc_now
from church.services import videos
from church.services.audit import Actor
from church.services.videos import VideoDraft
from church.services.videos.importing import cleanup
from church.services.videos.storage import local
from tests.support.people import add_user

CLI = Actor(via="cli")
DRAFT = VideoDraft("The Harbour", "premium")


@pytest.fixture
def age() -> Callable[[Path], None]:
    """Return a function that makes a file look one day old."""

    def change(path: Path) -> None:
        before = path.stat().st_mtime - 86_400
        os.utime(path, (before, before))

    return change


def test_cleanup_fails_imports_without_a_job_and_deletes_leftover_files(
    at_work: Flask, tmp_path: Path, age: Callable[[Path], None]
) -> None:
    (tmp_path / "a").write_bytes(b"x")
    lost, queued = (videos.add_file(tmp_path / "a", DRAFT, CLI) for _ in range(2))
    with db.write() as session:
        session.execute(delete(Job).where(Job.unique_key == videos.make_import_key(lost)))
    folder = local.incoming_folder(current_settings())
    for name in ("0123456789abcdef", f"{lost}.00000000.work", f"{queued}.00000000.work"):
        (folder / name).mkdir() if name.endswith(".work") else (folder / name).touch()
    finished = current_settings().video_dir / "fedcba9876543210"
    finished.mkdir()
    for path in (*folder.iterdir(), finished):
        age(path)
    (folder / "aaaaaaaaaaaaaaaa").touch()
    cleanup.clean_up({})
    assert videos.load_for_admin(lost).state == "failed"
    assert videos.load_for_admin(queued).state == "queued"
    left = {path.name for path in folder.iterdir()}
    assert left == {lost, queued, f"{queued}.00000000.work", "aaaaaaaaaaaaaaaa"}
    assert finished.exists()


def test_cleanup_deletes_expired_uploads_and_keeps_the_others(at_work: Flask) -> None:
    ada = add_user(at_work)
    expired, running = (videos.start_upload(ada.id, "a.mp4", 10, DRAFT).ref for _ in range(2))
    with db.write() as session:
        past = update(VideoUpload).where(VideoUpload.ref == expired)
        session.execute(past.values(expires_at=utc_now() - timedelta(seconds=1)))
    cleanup.clean_up({})
    with db.read() as session:
        assert session.scalars(select(VideoUpload.ref)).all() == [running]
