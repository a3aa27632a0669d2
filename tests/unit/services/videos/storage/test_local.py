"""Paths of the video folder, and files that are written whole or not at all."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from church.config import Settings
from church.services.videos.errors import DiskFullError
from church.services.videos.storage import local

REF = "0123456789abcdef"


@pytest.mark.parametrize("ref", ["", "../../etc", REF.upper(), REF + "0", REF[:-1] + "/"])
def test_path_of_anything_but_a_ref_is_refused(settings: Settings, ref: str) -> None:
    for path in (local.video_folder, local.source_path):
        with pytest.raises(ValueError, match="not the ref of a video"):
            path(settings, ref)


def test_incoming_folder_is_created_for_this_user_only(settings: Settings) -> None:
    source = local.source_path(settings, REF)
    assert source == settings.video_dir / "incoming" / REF
    assert source.parent.stat().st_mode & 0o777 == 0o700


def test_delete_work_folders_leaves_other_videos_and_sources(settings: Settings) -> None:
    folder = local.incoming_folder(settings)
    for name in (f"{REF}.1.work", f"{REF}.2.work", "fedcba9876543210.1.work"):
        (folder / name).mkdir()
    (folder / REF).touch()
    local.delete_work_folders(settings, REF)
    assert sorted(path.name for path in folder.iterdir()) == [REF, "fedcba9876543210.1.work"]


def test_check_free_space_keeps_a_reserve(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    local.check_free_space(settings, 0)
    monkeypatch.setattr(local, "_SPARE", 2**62)
    with pytest.raises(DiskFullError):
        local.check_free_space(settings, 0)


@pytest.mark.parametrize(("size", "most", "stored"), [(0, 10, 0), (10, 10, 10), (12, 10, 11)])
def test_store_stream_stops_one_byte_after_the_limit(tmp_path: Path, size: int, most: int, stored: int) -> None:
    target = tmp_path / "source"
    assert local.store_stream(io.BytesIO(b"x" * size), target, most) == stored
    assert target.stat().st_size == stored


def test_replace_file_leaves_no_other_file(tmp_path: Path) -> None:
    target = tmp_path / "captions-en.vtt"
    local.replace_file(target, b"old")
    local.replace_file(target, b"new")
    assert target.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [target]


def test_replace_file_that_fails_keeps_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "captions-en.vtt"
    local.replace_file(target, b"old")

    def fail(_file: object) -> None:
        raise OSError

    monkeypatch.setattr(local, "sync_file", fail)
    with pytest.raises(OSError):  # noqa: PT011 - any error of the disk
        local.replace_file(target, b"new")
    assert target.read_bytes() == b"old"


def test_hash_depends_on_the_contents_only(tmp_path: Path) -> None:
    for name, data in (("a", b"x" * 2_000_000), ("b", b"x" * 2_000_000), ("c", b"x" * 1_999_999 + b"y")):
        (tmp_path / name).write_bytes(data)
    first, same, other = (local.hash_file(tmp_path / name) for name in "abc")
    assert first == same != other
    assert len(first) == 32
