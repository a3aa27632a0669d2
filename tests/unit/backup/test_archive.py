"""The backup file: complete or not there, and nothing in it is trusted."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from church.backup.archive import BackupError, Manifest, compute_checksum, unpack_archive, write_archive

MANIFEST = Manifest("1.0", "0001", "2026-01-01T00:00:00+00:00", "sqlite", {})


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    """A folder with one file to pack."""
    (tmp_path / "stage/content").mkdir(parents=True)
    (tmp_path / "stage/content/page.md").write_text("# Page")
    return tmp_path / "stage"


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def archive(file: Path, members: dict[str, str], files: list[tuple[str, bytes]], **changes: Any) -> Path:
    """Write an archive as an attacker would: ``members`` in the manifest, ``files`` inside."""
    manifest = {"format": 1, **dataclasses.asdict(MANIFEST), "members": members, **changes}
    with tarfile.open(file, "w:gz") as out:
        for name, data in [("manifest.json", json.dumps(manifest).encode()), *files]:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    return file


def test_archive_unpacks_to_what_was_packed(stage: Path, tmp_path: Path) -> None:
    name = "content/page.md"
    manifest = dataclasses.replace(MANIFEST, members={name: compute_checksum(stage / name)})
    write_archive(stage, manifest, tmp_path / "b.tar.gz")
    assert (tmp_path / "b.tar.gz").stat().st_mode & 0o777 == 0o600
    assert unpack_archive(tmp_path / "b.tar.gz", tmp_path / "out") == manifest
    assert (tmp_path / "out" / name).read_text() == "# Page"


def test_archive_that_fails_leaves_no_file(stage: Path, tmp_path: Path) -> None:
    manifest = dataclasses.replace(MANIFEST, members={"missing": "0"})
    with pytest.raises(FileNotFoundError):
        write_archive(stage, manifest, tmp_path / "b.tar.gz")
    assert list(tmp_path.glob("b.tar.gz*")) == []


def test_file_with_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    file = archive(tmp_path / "b", {"a": sha(b"good")}, [("a", b"evil")])
    with pytest.raises(BackupError, match="a does not match its checksum"):
        unpack_archive(file, tmp_path / "out")


@pytest.mark.parametrize("name", ["../a", "/a", "x/../../a", "x//a"])
def test_file_outside_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    file = archive(tmp_path / "b", {name: sha(b"x")}, [(name, b"x")])
    with pytest.raises(BackupError, match="which its manifest does not allow"):
        unpack_archive(file, tmp_path / "out" / "deep")
    assert not (tmp_path / "a").exists()


def test_file_that_is_not_in_the_manifest_or_comes_twice_is_refused(tmp_path: Path) -> None:
    for files in ([("b", b"x")], [("a", b"x"), ("a", b"x")]):
        file = archive(tmp_path / "b", {"a": sha(b"x")}, files)
        with pytest.raises(BackupError, match="does not allow"):
            unpack_archive(file, tmp_path / f"out{len(files)}")


def test_archive_without_a_file_of_its_manifest_is_incomplete(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="incomplete: a is missing"):
        unpack_archive(archive(tmp_path / "b", {"a": sha(b"x")}, []), tmp_path / "out")


@pytest.mark.parametrize(("changes", "why"), [({"format": 2}, "format"), ({"more": 1}, "manifest is damaged")])
def test_manifest_of_another_form_is_refused(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    with pytest.raises(BackupError, match=why):
        unpack_archive(archive(tmp_path / "b", {}, [], **changes), tmp_path / "out")


def test_any_other_file_is_not_a_backup(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("no archive at all")
    with pytest.raises(BackupError, match="as a backup"):
        unpack_archive(tmp_path / "b", tmp_path / "out")
