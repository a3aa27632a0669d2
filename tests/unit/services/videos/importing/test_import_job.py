"""Imports: what ffmpeg makes, what is rejected, and what an interrupted attempt leaves."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select

from church.config import current_settings
from church.errors import ConflictError
from church.extensions import db
from church.models import Video
from church.models.videos import VideoState
from church.services import audit, videos
from church.services.audit import Actor
from church.services.videos import VideoDraft
from church.services.videos.errors import DiskFullError
from church.services.videos.importing import encode, import_job, probe
from church.services.videos.importing.encode import Target
from church.services.videos.importing.probe import VideoFacts
from church.services.videos.storage import local
from tests.support.accounts_fixture import audited, do_jobs
from tests.support.helpers import with_settings
from tests.support.video_fixture import FFMPEG, import_file, make_broadcast, make_clip, make_growing_film

CLI = Actor(via="cli")
DRAFT = VideoDraft("The Harbour", "premium")


@pytest.fixture(autouse=True)
def _context(at_work: Flask) -> None:
    """In an app context."""


def files() -> set[str]:
    """Names of everything in the video folder, without the refs."""
    folder = current_settings().video_dir
    return {str(path.relative_to(folder)).partition("/")[2] or path.name for path in folder.rglob("*")}


def streams(file: Path) -> list[dict[str, object]]:
    command = ["ffprobe", "-v", "error", "-show_streams", "-of", "json", str(file)]
    found: list[dict[str, object]] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)[
        "streams"
    ]
    return found


def test_import_makes_playable_files_and_deletes_the_source(clip: Path) -> None:
    found = import_file(clip)
    assert (found.state, found.reason, found.progress) == ("ready", None, 100)
    assert (found.slug, found.width, found.height, found.plain) == ("the-harbour", 128, 72, False)
    assert abs((found.duration_ms or 0) - 5000) < 200
    [rendition] = found.renditions
    assert rendition.quality == "72p"
    assert rendition.bytes == rendition.path.stat().st_size
    assert rendition.etag == local.hash_file(rendition.path)
    made = rendition.path.read_bytes()
    assert 0 < made.index(b"moov") < made.index(b"mdat")
    kinds = {(one["codec_name"], one.get("pix_fmt")) for one in streams(rendition.path)}
    assert kinds == {("h264", "yuv420p"), ("aac", None)}
    assert streams(rendition.path.with_name("poster.jpg"))[0]["width"] == 128
    cues = rendition.path.with_name("thumbs.vtt").read_text().split("\n\n")
    assert cues[0] == "WEBVTT"
    assert cues[2] == "00:00:02.000 --> 00:00:04.000\nthumbs.jpg#xywh=160,0,160,90"
    assert len(cues) == 4
    assert streams(rendition.path.with_name("thumbs.jpg"))[0]["width"] == 1600
    assert files() == {"incoming", found.ref, rendition.file, "poster.jpg", "thumbs.jpg", "thumbs.vtt"}
    assert audited() == ["video.added"]
    assert clip.exists()


@pytest.mark.needs(*FFMPEG)
def test_import_large_source_gets_1080p_and_720p_and_reports_progress(tmp_path: Path) -> None:
    ref = videos.add_file(make_clip(tmp_path / "large.mov", size="1936x1090", seconds=0.5), DRAFT, CLI)
    percents: list[int] = []
    videos.import_video(ref, percents.append)
    found = videos.load_for_admin(ref)
    assert [(one.quality, one.width, one.height) for one in found.renditions] == [
        ("1080p", 1918, 1080),
        ("720p", 1278, 720),
    ]
    assert percents == sorted(percents)
    assert {48, 96, 99, 100} <= set(percents)


def test_import_text_file_fails_with_a_reason_and_can_be_retried(tmp_path: Path, plain: Path) -> None:
    (tmp_path / "notes.mp4").write_text("no video")
    found = import_file(tmp_path / "notes.mp4")
    assert (found.state, found.settled) == ("failed", True)
    assert found.reason is not None
    assert "only MP4 files with H.264 are accepted" in found.reason
    shutil.copy(plain, local.source_path(current_settings(), found.ref))
    videos.retry_import(found.ref, CLI)
    assert (videos.load_for_admin(found.ref).state, videos.load_for_admin(found.ref).reason) == ("queued", None)
    do_jobs("videos.import")
    assert videos.load_for_admin(found.ref).state == "ready"
    with pytest.raises(ConflictError):
        videos.retry_import(found.ref, CLI)


def test_import_killed_attempt_leaves_nothing_to_the_next(plain: Path) -> None:
    ref = videos.add_file(plain, DRAFT, CLI)
    assert import_job.mark_started(ref)
    half = local.incoming_folder(current_settings()) / f"{ref}.0badf00d.work"
    half.mkdir()
    (half / "source.mp4").write_bytes(b"half")
    do_jobs("videos.import")
    assert videos.load_for_admin(ref).state == "ready"
    assert not half.exists()


def test_import_two_finished_attempts_leave_the_files_of_the_first(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = videos.add_file(clip, DRAFT, CLI)
    render = encode.encode_rendition

    def finish_another_attempt(*arguments: object) -> None:
        monkeypatch.setattr(encode, "encode_rendition", render)
        source = local.source_path(current_settings(), ref)
        data = source.read_bytes()
        videos.import_video(ref)
        source.write_bytes(data)
        Path(str(arguments[3])).parent.mkdir(exist_ok=True)
        render(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(encode, "encode_rendition", finish_another_attempt)
    videos.import_video(ref)
    found = videos.load_for_admin(ref)
    assert found.state == "ready"
    assert [one.path.exists() for one in found.renditions] == [True]
    assert found.renditions[0].etag == local.hash_file(found.renditions[0].path)


def test_import_replaced_attempt_does_not_fail_the_video(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = videos.add_file(clip, DRAFT, CLI)
    render = encode.encode_rendition

    def render_after_replacement(
        source: Path, found: VideoFacts, target: Target, output: Path, tell: encode.OnProgress
    ) -> None:
        shutil.rmtree(output.parent)
        render(source, found, target, output, tell)

    monkeypatch.setattr(encode, "encode_rendition", render_after_replacement)
    videos.import_video(ref)
    assert videos.load_for_admin(ref).state == "working"


@pytest.mark.needs(*FFMPEG)
@pytest.mark.parametrize("flags", ["+faststart", "0"])
def test_import_film_cut_short_fails_with_that_reason(tmp_path: Path, flags: str) -> None:
    film = make_clip(tmp_path / "film.mp4", "-movflags", flags)
    os.truncate(film, film.stat().st_size // 2)
    found = import_file(film)
    assert (found.state, found.reason is not None and "cut short" in found.reason) == ("failed", True)
    assert (flags == "0") != ("of its 5 seconds only" in (found.reason or ""))


def test_import_film_cut_short_fails_on_a_host_without_ffmpeg(plain: Path, tmp_path: Path) -> None:
    data = plain.read_bytes()
    half = data[:32] + data[data.index(b"moov") - 4 :] + data[32 : data.index(b"moov") - 4][:2000]  # the index first
    (tmp_path / "half.mp4").write_bytes(half)
    found = import_file(tmp_path / "half.mp4")
    assert (found.state, "cut short" in (found.reason or "")) == ("failed", True)


@pytest.mark.needs(*FFMPEG)
def test_import_film_whose_later_frames_are_huge_fails_with_that_reason(tmp_path: Path) -> None:
    film = make_growing_film(tmp_path, *["128x72"] * 20, "6400x6400")
    assert probe.probe_file(film).width == 128, "its header looks harmless"
    video = import_file(film)
    assert (video.state, video.reason) == (
        VideoState.FAILED,
        "A frame of it has more than 40 million pixels, which is the maximum.",
    )


def read_pixels(file: Path, *options: str) -> bytes:
    """Return the first frame of a video in RGB, after ``options``."""
    command = ["ffmpeg", "-loglevel", "error", "-i", str(file), *options, "-frames:v", "1"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    return subprocess.run(command, check=True, capture_output=True).stdout


def test_import_film_among_other_tracks_plays_what_a_player_would_play(odd_film: Path) -> None:
    found = import_file(odd_film)
    assert (found.state, found.width, found.height) == ("ready", 96, 64)
    assert abs((found.duration_ms or 0) - 3000) < 200
    file = found.renditions[0].path
    red, _, blue = read_pixels(file, "-vf", "scale=1:1")
    assert (red < 50, blue > 200) == (True, True)
    tone = ["ffmpeg", "-loglevel", "error", "-i", str(file), "-ac", "1", "-ar", "8000", "-f", "u8", "-"]
    samples = subprocess.run(tone, check=True, capture_output=True).stdout[8000:16000]  # a second
    rising = sum(before < 128 <= after for before, after in pairwise(samples))
    assert abs(rising - 440) < 10


def test_import_film_among_other_tracks_that_was_cut_short_fails(odd_film: Path, tmp_path: Path) -> None:
    film = tmp_path / "half.mkv"
    film.write_bytes(odd_film.read_bytes()[: odd_film.stat().st_size * 6 // 10])
    found = import_file(film)
    assert found.state == "failed"
    assert "cut short: of its 3 seconds only" in (found.reason or "")


@pytest.mark.needs(*FFMPEG)
def test_import_interlaced_film_that_changes_its_shape_gets_smooth_edges_and_bars(tmp_path: Path) -> None:
    film = make_broadcast(tmp_path / "broadcast.ts")
    found = import_file(film)
    assert (found.width, found.height) == (96, 72)
    file = found.renditions[0].path
    command = ["ffmpeg", "-hide_banner", "-i", str(file), "-vf", "idet", "-f", "null", "-"]
    report = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    assert re.search(r"Multi frame detection: TFF: +0 BFF: +0 Progressive: +3\d ", report)
    first, *others = (read_pixels(file, "-ss", at, "-vf", "scale=1:72:flags=area")[::3] for at in ("0.2", "0.7", "1.2"))
    assert min(first) > 60, "it fills the picture"
    for rows in others:
        assert (max(rows[:7] + rows[-7:]) < 30, min(rows[11:-11]) > 60) == (True, True), "it has bars"


@pytest.mark.needs(*FFMPEG)
def test_import_high_dynamic_range_film_is_mapped_for_every_screen(tmp_path: Path) -> None:
    film = make_clip(tmp_path / "hdr.mp4", "-pix_fmt", "yuv420p10le", "-color_trc", "smpte2084", seconds=0.5)
    probed = probe.probe_file(film)
    assert (probed.hdr, probed.matrix, probed.primaries) == ("smpte2084", "bt2020nc", "bt2020")  # it names only one
    [rendition] = import_file(film).renditions
    picture = streams(rendition.path)[0]
    assert (picture["pix_fmt"], picture["color_transfer"], picture["color_space"]) == ("yuv420p", "bt709", "bt709")


def test_import_video_deleted_meanwhile_leaves_no_file(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = videos.add_file(plain, DRAFT, CLI)
    sync = local.sync_folder

    def delete_video(folder: Path) -> None:
        videos.delete_video(ref, CLI)
        do_jobs("videos.remove")
        folder.mkdir(exist_ok=True)
        (folder / "late.mp4").touch()
        sync(folder)

    monkeypatch.setattr(local, "sync_folder", delete_video)
    videos.import_video(ref)
    assert files() == {"incoming"}
    with db.read() as session:
        assert session.scalars(select(Video)).all() == []


def test_delete_removes_the_files(plain: Path) -> None:
    found = import_file(plain)
    videos.delete_video(found.ref, CLI)
    do_jobs("videos.remove")
    assert files() == {"incoming"}
    assert [entry.action for entry in audit.list_entries()] == ["video.deleted", "video.added"]


def test_import_full_disk_fails_with_that_reason(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = videos.add_file(clip, DRAFT, CLI)
    monkeypatch.setattr(local, "_SPARE", 2**62)
    with pytest.raises(DiskFullError):
        videos.add_file(clip, DRAFT, CLI)
    videos.import_video(ref)
    assert videos.load_for_admin(ref).reason == DiskFullError().detail


def test_import_filling_the_disk_stops_before_it_is_full(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = videos.add_file(clip, DRAFT, CLI)
    checks: list[int] = []

    def fill_up(_settings: object, wanted: int) -> None:
        checks.append(wanted)
        if len(checks) > 1:  # the first check is at the start
            raise DiskFullError

    monkeypatch.setattr(local, "check_free_space", fill_up)
    videos.import_video(ref)
    found = videos.load_for_admin(ref)
    assert (found.state, found.reason) == ("failed", DiskFullError().detail)
    assert files() == {"incoming", ref}  # the source is kept for a retry


def test_import_without_ffmpeg_keeps_an_mp4_as_it_is(plain: Path, clip: Path) -> None:
    assert videos.find_missing_tools() == ("ffmpeg", "ffprobe")
    found = import_file(plain)
    assert (found.state, found.plain, found.width, found.height) == ("ready", True, 128, 72)
    assert abs((found.duration_ms or 0) - 1000) < 200
    assert len(found.missing) == 3
    assert [one.quality for one in found.renditions] == ["source"]
    assert found.renditions[0].path.read_bytes() == plain.read_bytes()
    assert not local.source_path(current_settings(), found.ref).exists()
    rejected = import_file(clip)
    assert (rejected.state, rejected.missing) == ("failed", ())
    assert "Without ffmpeg" in str(rejected.reason)


def test_import_for_nginx_lets_its_group_read_the_renditions_only(plain: Path, app: Flask) -> None:
    app.config["CHURCH"] = with_settings(app.config["CHURCH"], video_offload="x-accel")
    found = import_file(plain)
    file = found.renditions[0].path
    assert [oct(path.stat().st_mode)[-4:] for path in (file.parent, file)] == ["2750", "0640"]
