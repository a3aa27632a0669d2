"""The backup file: complete or not there, and nothing in it is trusted."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import shutil
import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from church.backup import archive as archive_module
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
    with pytest.raises(BackupError, match="'a' does not match its checksum"):
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


# -- archives that are made to break the reader ----------------------------------------------------------------------


def crafted(file: Path, *headers: tarfile.TarInfo, data: bytes = b"", members: dict[str, str] | None = None) -> Path:
    """Write an archive with these raw headers after the manifest; the last one has ``data``."""
    names = {header.name: sha(data) for header in headers} if members is None else members
    manifest = json.dumps({"format": 1, **dataclasses.asdict(MANIFEST), "members": names}).encode()
    first = tarfile.TarInfo("manifest.json")
    first.size = len(manifest)
    blocks = [first.tobuf(), padded(manifest), *(raw(header) for header in headers), padded(data), bytes(1024)]
    file.write_bytes(gzip.compress(b"".join(blocks)))
    return file


def raw(header: tarfile.TarInfo) -> bytes:
    return header.tobuf(tarfile.PAX_FORMAT if header.pax_headers else tarfile.GNU_FORMAT)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def member(
    name: str = "content/a", size: int = 1, kind: bytes = tarfile.REGTYPE, pax: dict[str, str] | None = None
) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.size, header.type, header.pax_headers = size, kind, pax or {}
    return header


def refused(file: Path, stage: Path) -> str:
    """The reason why an archive is refused. Nothing but BackupError may leave, and nothing is left behind."""
    stage.mkdir(exist_ok=True)
    with pytest.raises(BackupError) as error:
        unpack_archive(file, stage)
    return str(error.value)


@pytest.mark.parametrize("field", ["mtime", "size", "uid", "gid"])
@pytest.mark.parametrize("number", ["1e30", "1e400", "-1e400", "nan", "-9" * 20, "9" * 5000, "x"])
def test_member_with_an_impossible_number_is_a_backup_error_or_harmless(
    tmp_path: Path, field: str, number: str
) -> None:
    file = crafted(tmp_path / "b", member(pax={field: number}), data=b"x")
    with suppress(BackupError):
        unpack_archive(file, tmp_path / "out")
    written = tmp_path / "out/content/a"
    assert not written.exists() or written.stat().st_size <= 1


@pytest.mark.parametrize("mtime", ["1e30", "1e400"])
def test_member_with_an_impossible_time_is_refused(tmp_path: Path, mtime: str) -> None:
    assert "as a backup" in refused(crafted(tmp_path / "b", member(pax={"mtime": mtime}), data=b"x"), tmp_path / "out")


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", "1", '{"format": 1}', "", "{", '{"format": 1e400}'])
def test_manifest_of_any_json_is_a_backup_error(tmp_path: Path, text: str) -> None:
    info = member("manifest.json", len(text))
    (tmp_path / "b").write_bytes(gzip.compress(info.tobuf() + padded(text.encode()) + bytes(1024)))
    refused(tmp_path / "b", tmp_path / "out")


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 1},
        {"revision": ["0001"]},
        {"created": {}},
        {"database": None},
        {"members": []},
        {"members": {"a": 1}},
    ],
)
def test_manifest_with_fields_of_other_types_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    manifest = {"format": 1, **dataclasses.asdict(MANIFEST), **changes}
    data = json.dumps(manifest).encode()
    info = member("manifest.json", len(data))
    (tmp_path / "b").write_bytes(gzip.compress(info.tobuf() + padded(data) + bytes(1024)))
    assert "manifest is damaged" in refused(tmp_path / "b", tmp_path / "out")


def test_sparse_member_writes_nothing(tmp_path: Path) -> None:
    huge = str(2**40)
    sparse = member(size=512, pax={"GNU.sparse.map": f"0,0,{huge},0", "GNU.sparse.size": huge})
    old = member(size=0, kind=tarfile.GNUTYPE_SPARSE)
    for number, header in enumerate((sparse, old)):
        assert "no backup has" in refused(crafted(tmp_path / f"b{number}", header), tmp_path / "out")
        assert (tmp_path / f"b{number}").stat().st_size < 1024
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    "kind", [tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE]
)
def test_member_that_is_no_plain_file_is_refused(tmp_path: Path, kind: bytes) -> None:
    header = member(size=0, kind=kind)
    header.linkname = "/etc/passwd"
    assert "does not allow" in refused(crafted(tmp_path / "b", header), tmp_path / "out")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_header_of_gigabytes_is_refused_before_it_is_read(tmp_path: Path, kind: bytes) -> None:
    assert "too long" in refused(crafted(tmp_path / "b", member(size=8 * 1024**3 - 1, kind=kind)), tmp_path / "out")


def test_header_with_a_negative_size_is_refused(tmp_path: Path) -> None:
    for kind in (tarfile.REGTYPE, tarfile.XHDTYPE):
        refused(crafted(tmp_path / "b", member(size=-1024, kind=kind)), tmp_path / "out")


def test_headers_nested_a_thousand_deep_are_refused(tmp_path: Path) -> None:
    refused(crafted(tmp_path / "b", *[member(size=0, kind=tarfile.XHDTYPE)] * 2000), tmp_path / "out")


def test_members_beyond_the_free_disk_are_refused_before_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(free=64 * 1024 * 1024 + 10)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    file = crafted(tmp_path / "b", member("database.sqlite", 11), data=b"x" * 11)
    assert "no room for 'database.sqlite': 11 bytes" in refused(file, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_pages_beyond_their_maximum_are_refused_before_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_module, "MAX_PAGES_BYTES", 10)
    pages = [("content/a", b"x" * 6), ("content/b", b"x" * 6)]
    file = archive(tmp_path / "b", {name: sha(data) for name, data in pages}, pages)
    assert "pages in the backup are larger" in refused(file, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out/content").iterdir()] == ["a"]


@pytest.mark.parametrize("cut", [0, 5, 20, 100, -1, -10])
def test_archive_cut_short_is_refused(tmp_path: Path, cut: int) -> None:
    whole = archive(tmp_path / "b", {"a": sha(b"x")}, [("a", b"x")]).read_bytes()
    (tmp_path / "b").write_bytes(whole[:cut])
    refused(tmp_path / "b", tmp_path / "out")


@given(
    at=st.integers(0, 3 * 512 - 1),
    piece=st.one_of(st.binary(min_size=1, max_size=24), st.sampled_from([b"\xff" * 12, b"\x80" + bytes(10) + b"\1"])),
    mend=st.booleans(),
)
def test_archive_with_any_bytes_changed_unpacks_or_is_a_backup_error(at: int, piece: bytes, mend: bool) -> None:
    """With ``mend`` the checksum of the changed header is right, so that its fields are believed."""
    page, manifest = b"x" * 100, {"content/a": sha(b"x" * 100)}
    with tempfile.TemporaryDirectory() as folder:
        file = archive(Path(folder) / "b", manifest, [("content/a", page)])
        data = bytearray(gzip.decompress(file.read_bytes()))
        data[at : at + len(piece)] = piece
        if mend:
            header = at // 512 * 512
            data[header + 148 : header + 156] = b" " * 8
            data[header + 148 : header + 156] = b"%06o\0 " % sum(data[header : header + 512])
        file.write_bytes(gzip.compress(bytes(data)))
        with suppress(BackupError):
            unpack_archive(file, Path(folder) / "out")


_NUMBERS = st.one_of(st.floats().map(str), st.integers().map(str), st.text(max_size=8))
_KEYS = (
    "mtime",
    "size",
    "uid",
    "path",
    "linkpath",
    "GNU.sparse.map",
    "GNU.sparse.size",
    "GNU.sparse.major",
    "hdrcharset",
)


@given(
    pax=st.dictionaries(st.sampled_from(_KEYS), _NUMBERS, max_size=4),
    kind=st.sampled_from([bytes([byte]) for byte in b"01234567LKSxgXDVA"]),
    size=st.integers(-(2**40), 2**40),
)
def test_member_with_any_header_unpacks_or_is_a_backup_error(pax: dict[str, str], kind: bytes, size: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = crafted(Path(folder) / "b", member(size=size, kind=kind, pax=pax), data=b"x" * 700)
        with suppress(BackupError):
            unpack_archive(file, Path(folder) / "out")
