"""Write and read the backup file: a .tar.gz that begins with manifest.json, the list of its files and checksums."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import IO

_FORMAT = 1
_MANIFEST = "manifest.json"
_MAX_MANIFEST = 64 * 1024 * 1024  # bytes
_CHUNK = 1024 * 1024


class BackupError(Exception):
    """A backup or restore failed and nothing was changed. The message says why and what to do."""


@dataclass(frozen=True)
class Manifest:
    """Contents of a backup; ``members`` maps the names of its files to their SHA-256."""

    version: str
    revision: str | None
    created: str
    database: str
    members: dict[str, str]


def compute_checksum(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_archive(stage: Path, manifest: Manifest, file: Path) -> None:
    """Pack the members from ``stage`` into ``file``, readable by its owner only; it is complete or not created."""
    (stage / _MANIFEST).write_text(json.dumps({"format": _FORMAT, **asdict(manifest)}, indent=1))
    part = file.with_name(f"{file.name}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as raw:
            with tarfile.open(fileobj=raw, mode="w:gz", compresslevel=6) as archive:
                for name in (_MANIFEST, *manifest.members):
                    archive.add(stage / name, arcname=name, recursive=False)
            raw.flush()
            os.fsync(raw.fileno())
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def unpack_archive(file: Path, stage: Path) -> Manifest:
    """Unpack the members into ``stage`` and check their checksums. Raises BackupError if anything is wrong.

    Only files that the manifest names are written, and only inside ``stage``.
    """
    try:
        with tarfile.open(file, "r:*") as archive:
            manifest = _read_manifest(archive)
            missing = dict(manifest.members)
            while (member := archive.next()) is not None:
                _unpack_one(archive, member, missing, stage)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise BackupError(f"can't read {file} as a backup: {error}") from error
    if missing:
        raise BackupError(f"{file} is incomplete: {', '.join(sorted(missing)[:3])} is missing")
    return manifest


def _read_manifest(archive: tarfile.TarFile) -> Manifest:
    member = archive.next()
    if member is None or member.name != _MANIFEST or not member.isreg() or member.size > _MAX_MANIFEST:
        raise BackupError("not a backup of the site: it does not begin with manifest.json")
    try:
        fields = json.load(_open_member(archive, member))
        if fields.pop("format") != _FORMAT:
            raise BackupError("this version can't read the backup's format: use the version that made it")
        return Manifest(**fields)
    except (KeyError, TypeError, AttributeError) as error:
        raise BackupError(f"the backup's manifest is damaged: {error}") from error


def _unpack_one(archive: tarfile.TarFile, member: tarfile.TarInfo, missing: dict[str, str], stage: Path) -> None:
    expected = missing.pop(member.name, None)
    if expected is None or not member.isreg() or not _is_safe(member.name):
        raise BackupError(f"the backup contains {member.name!r}, which its manifest does not allow")
    target = stage / member.name
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with target.open("xb") as out, _open_member(archive, member) as data:
        while chunk := data.read(_CHUNK):
            digest.update(chunk)
            out.write(chunk)
    if digest.hexdigest() != expected:
        raise BackupError(f"the backup is damaged: {member.name} does not match its checksum")
    os.utime(target, (member.mtime, member.mtime))


def _is_safe(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\\" not in name and name == str(path)


def _open_member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    data = archive.extractfile(member)
    if data is None:
        raise BackupError(f"{member.name!r} in the backup is not a file")
    return data
