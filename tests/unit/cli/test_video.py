"""Video commands: add, list, edit, retry and remove, and one line for an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from flask import Flask
from flask.cli import ScriptInfo
from sqlalchemy import select

from church import jobs
from church.cli import church
from church.extensions import db
from church.models import Job
from church.services import audit, videos
from tests.support.accounts_fixture import do_jobs

Run = Callable[..., Result]
NEW = ("--title", "The Harbour", "--access", "premium")


@pytest.fixture
def run(app: Flask) -> Iterator[Run]:
    def invoke(*words: object) -> Result:
        return CliRunner().invoke(church, ["video", *map(str, words)], obj=ScriptInfo(create_app=lambda: app))

    with app.app_context():
        yield invoke
        db.dispose()


@pytest.fixture
def texts(tmp_path: Path) -> tuple[Path, Path]:
    """Return a captions file and a chapters file."""
    captions, chapters = tmp_path / "en.vtt", tmp_path / "chapters.txt"
    captions.write_text("WEBVTT\n\n00:01.000 --> 00:02.000\nAhoy\n")
    chapters.write_text("0:00 The mole\n0:02 The light\n", encoding="utf-16")  # as Notepad saves "Unicode"
    return captions, chapters


def states() -> list[str]:
    with db.read() as session:
        return list(session.scalars(select(Job.state).where(Job.kind == "videos.import")))


def refused(result: Result) -> str:
    """Return the error's last line."""
    assert result.exit_code == 1, result.output
    line: str = result.output.splitlines()[-1]
    return line


def test_add_imports_at_once_with_all_details(run: Run, clip: Path, texts: tuple[Path, Path]) -> None:
    captions, chapters = texts
    more = ("--slug", "pier", "--description", "Boats.", "--captions", f"en={captions}", "--chapters", chapters)
    result = run("add", clip, *NEW, *more)
    assert result.exit_code == 0, result.output
    assert result.output.endswith("pier is ready in 72p.\n")
    [found] = videos.list_for_admin()
    assert (found.state, found.title, found.access, found.description) == (
        "ready", "The Harbour", "premium", "Boats.",
    )  # fmt: skip
    assert [one.language for one in found.captions] == ["en"]
    assert [one.title for one in found.chapters] == ["The mole", "The light"]
    assert states() == ["done"]
    assert {entry.via for entry in audit.list_entries()} == {"cli"}
    assert run("list").output.split() == [found.ref, "ready", "premium", "0:05", "pier", "72p"]


def test_add_with_queue_leaves_the_import_to_the_worker(run: Run, clip: Path) -> None:
    result = run("add", clip, *NEW, "--queue")
    assert "the-harbour is queued: the worker process" in result.output
    assert states() == ["pending"]
    assert "queued" in run("list").output


def test_add_import_taken_by_a_worker_is_left_to_it(run: Run, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hold_job = jobs.hold_job
    monkeypatch.setattr(jobs, "hold_job", lambda _key: hold_job("taken by another"))
    assert "is queued" in run("add", clip, *NEW).output


def test_failed_import_is_one_line_and_can_be_retried(run: Run, tmp_path: Path, clip: Path) -> None:
    (tmp_path / "notes.mp4").write_text("no video")
    assert refused(run("add", tmp_path / "notes.mp4", *NEW)).startswith("Error: the-harbour: This video cannot be read")
    assert refused(run("retry", "the-harbour")).startswith("Error: the-harbour: This video cannot be read")
    assert "the-harbour is queued" in run("retry", "the-harbour", "--queue").output


def test_edit_changes_only_given_fields(run: Run, tmp_path: Path, texts: tuple[Path, Path]) -> None:
    (tmp_path / "a").write_bytes(b"x")
    run("add", tmp_path / "a", *NEW, "--description", "Boats.", "--queue")
    captions, chapters = texts
    result = run("edit", "the-harbour", "--access", "public", "--captions", f"de={captions}", "--chapters", chapters)
    assert result.output == "Updated the-harbour.\n"
    [found] = videos.list_for_admin()
    assert (found.title, found.access, found.description) == ("The Harbour", "public", "Boats.")
    assert [one.language for one in found.captions] == ["de"]
    assert len(found.chapters) == 2
    run("edit", found.ref, "--title", "The Pier", "--description", "")
    [found] = videos.list_for_admin()
    assert (found.title, found.description) == ("The Pier", "")


def test_remove_asks_first_and_deletes_the_files(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    run("add", tmp_path / "a", *NEW, "--queue")
    assert run("remove", "the-harbour").exit_code == 1
    assert len(videos.list_for_admin()) == 1
    assert run("remove", "the-harbour", "--yes").exit_code == 0
    do_jobs("videos.remove")
    assert videos.list_for_admin() == []


def test_invalid_input_is_one_line_and_adds_nothing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    assert refused(run("add", tmp_path / "a", "--title", "x" * 201, "--access", "public")) == (
        "Error: Use at most 200 characters."
    )
    (tmp_path / "empty").touch()
    assert refused(run("add", tmp_path / "empty", *NEW)) == "Error: The file is empty."
    assert refused(run("retry", "nowhere")) == "Error: There is no video nowhere."
    assert refused(run("push")) == "Error: CHURCH_VIDEO_OFFLOAD is not s3."
    no_captions = refused(run("add", tmp_path / "a", *NEW, "--captions", f"en={tmp_path / 'a'}"))
    assert no_captions.startswith("Error: This is not a WebVTT or SRT file")
    (tmp_path / "latin").write_bytes("0:00 Früh".encode("latin-1"))
    assert refused(run("add", tmp_path / "a", *NEW, "--chapters", tmp_path / "latin")).endswith("Save it as UTF-8.")
    assert "LANGUAGE=FILE" in run("add", tmp_path / "a", *NEW, "--captions", "en").output
    assert videos.list_for_admin() == []
