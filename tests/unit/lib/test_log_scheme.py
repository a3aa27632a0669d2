"""A new site logs by OpenTelemetry's names; one with a past keeps its plain ones. Neither ever changes by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from church.lib.log_scheme import FILE, find_scheme, keep_scheme


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """The folders of a site, not yet created."""
    return tmp_path / "instance", tmp_path / "logs"


def test_new_site_logs_by_otel_and_stays_so_when_it_has_logs(folders: tuple[Path, Path]) -> None:
    instance, logs = folders
    assert keep_scheme(instance, logs) == "otel"
    logs.mkdir()
    (logs / "combined.log").write_text("{}\n")
    (instance / "church.db").touch()
    assert keep_scheme(instance, logs) == "otel"
    assert [path.name for path in instance.iterdir() if path.name != "church.db"] == [FILE]


@pytest.mark.parametrize(
    "past", ["logs/combined.log", "logs/combined.log.3.gz", "logs/error.log.1", "instance/church.db"]
)
def test_site_with_a_past_logs_plainly_and_stays_so_when_its_logs_are_gone(
    folders: tuple[Path, Path], past: str
) -> None:
    instance, logs = folders
    for folder in folders:
        folder.mkdir()
    left = logs.parent / past
    left.touch()
    assert keep_scheme(instance, logs) == "plain"
    left.unlink()
    assert keep_scheme(instance, logs) == "plain"


def test_looking_keeps_nothing(folders: tuple[Path, Path]) -> None:
    assert find_scheme(*folders) == "otel"
    assert not folders[0].exists()


def test_choice_that_cannot_be_read_is_made_again(folders: tuple[Path, Path]) -> None:
    folders[0].mkdir()
    (folders[0] / FILE).write_text("nonsense\xe9")
    assert keep_scheme(*folders) == "otel"


def test_choice_of_a_process_that_was_faster_counts(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    instance, logs = folders

    def choose(*_: Path) -> str:
        instance.mkdir()
        (instance / FILE).write_text("plain\n")
        return "otel"

    monkeypatch.setattr("church.lib.log_scheme.find_scheme", choose)
    assert keep_scheme(instance, logs) == "plain"


def test_folder_that_cannot_be_written_still_has_a_scheme(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert keep_scheme(tmp_path / "file" / "instance", tmp_path / "logs") == "otel"
