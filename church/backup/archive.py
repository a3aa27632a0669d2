"""Write and read the backup file: a .tar.gz that begins with manifest.json, the list of its files and checksums."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

_FORMAT = 1
_MANIFEST = "manifest.json"
_MAX_MANIFEST = 64 * 1024 * 1024  # bytes
_MAX_HEADER = 1024 * 1024  # bytes, with its extensions
_CHUNK = 1024 * 1024
_RESERVE = 64 * 1024 * 1024  # bytes that stay free on the disk
_MAX_SHOWN = 200  # characters of a name or an error in a message

PAGES = "content/"
"""Begin of the names of the pages in a backup."""
MAX_PAGES_BYTES = 8 * 1024**3
"""Most bytes of all pages together. The database may have as many as the disk."""


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

    Only files that the manifest names are written, only inside ``stage``, and only while the disk has room for all
    that they announce.
    """
    try:
        stage.mkdir(parents=True, exist_ok=True)
        with gzip.open(file) as raw:
            manifest = _unpack_all(_MeteredFile(raw), stage)
    except BackupError:
        raise
    except Exception as error:  # tarfile, zlib and json raise nearly anything for input that is made to break them
        detail = str(error).partition("\n")[0][:_MAX_SHOWN] or type(error).__name__
        raise BackupError(f"can't read {file} as a backup: {detail}") from error
    return manifest


class _MeteredFile:
    """The uncompressed archive, read once from its beginning to its end, and at most ``allowance`` bytes of it at once.

    tarfile reads a header of any length into memory, and a compressed one of gigabytes takes little room in a file.
    """

    def __init__(self, raw: gzip.GzipFile) -> None:
        self._raw = raw
        self.allowance = 0

    def read(self, size: int) -> bytes:
        """Read ``size`` bytes. Raises tarfile.ReadError beyond the allowance."""
        if not 0 <= size <= self.allowance:
            raise tarfile.ReadError("a header is too long")
        self.allowance -= size
        return self._raw.read(size)

    def seek(self, position: int) -> int:
        """Go forward to ``position``. Raises tarfile.ReadError for a way back, which could be an endless one."""
        if position < self._raw.tell():
            raise tarfile.ReadError("a header has an impossible size")
        return self._raw.seek(position)

    def tell(self) -> int:
        """Return the position."""
        return self._raw.tell()

    def check_end(self) -> None:
        """Read the empty blocks at the end, and with them gzip's checksum. Raises tarfile.ReadError for more."""
        if len(self._raw.read(_MAX_HEADER)) == _MAX_HEADER:
            raise tarfile.ReadError("it goes on after its end")


def _unpack_all(source: _MeteredFile, stage: Path) -> Manifest:
    source.allowance = _MAX_HEADER
    with tarfile.TarFile(fileobj=source, mode="r") as archive:  # type: ignore[arg-type]  # it needs these methods only
        manifest = _read_manifest(archive, source)
        missing, pages = dict(manifest.members), 0
        while (member := _next_member(archive, source)) is not None:
            expected = missing.pop(member.name, None)
            if expected is None or not member.isreg() or not _is_safe(member.name):
                raise BackupError(f"the backup contains {_shown(member)}, which its manifest does not allow")
            pages += member.size if member.name.startswith(PAGES) else 0
            _check_size(member, pages, stage)
            _unpack_one(archive, member, expected, stage)
    source.check_end()
    if missing:
        raise BackupError(f"the backup is incomplete: {', '.join(sorted(missing)[:3])[:_MAX_SHOWN]} is missing")
    return manifest


def _next_member(archive: tarfile.TarFile, source: _MeteredFile) -> tarfile.TarInfo | None:
    """Read the next header. Raises BackupError for a member whose size on the disk is not what it announces."""
    source.allowance = _MAX_HEADER
    member = archive.next()
    if member is not None and (member.issparse() or member.size < 0):
        raise BackupError(f"the backup contains {_shown(member)} in a form that no backup has")
    source.allowance = member.size if member is not None else 0
    return member


def _check_size(member: tarfile.TarInfo, pages: int, stage: Path) -> None:
    """Check the size that a member announces, before anything of it is written. Raises BackupError."""
    if pages > MAX_PAGES_BYTES:
        raise BackupError(f"the pages in the backup are larger than {MAX_PAGES_BYTES // 1024**3} GiB")
    if member.size > shutil.disk_usage(stage).free - _RESERVE:
        raise BackupError(f"{stage.parent} has no room for {_shown(member)}: {member.size:,} bytes")


def _read_manifest(archive: tarfile.TarFile, source: _MeteredFile) -> Manifest:
    member = _next_member(archive, source)
    if member is None or member.name != _MANIFEST or not member.isreg() or member.size > _MAX_MANIFEST:
        raise BackupError("not a backup of the site: it does not begin with manifest.json")
    fields = json.loads(b"".join(_read_chunks(archive, member)))
    if not isinstance(fields, dict):
        raise BackupError("the backup's manifest is damaged: it is not an object")
    if fields.pop("format", None) != _FORMAT:
        raise BackupError("this version can't read the backup's format: use the version that made it")
    try:
        manifest = Manifest(**fields)
    except TypeError as error:
        raise BackupError(f"the backup's manifest is damaged: {str(error)[:_MAX_SHOWN]}") from error
    texts = (manifest.version, manifest.created, manifest.database, manifest.revision or "")
    members = manifest.members if isinstance(manifest.members, dict) else {"": None}
    if not all(isinstance(text, str) for text in (*texts, *members.values())):
        raise BackupError("the backup's manifest is damaged: a field is not text")
    return manifest


def _unpack_one(archive: tarfile.TarFile, member: tarfile.TarInfo, expected: str, stage: Path) -> None:
    target = stage / member.name
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with target.open("xb") as out:
        for chunk in _read_chunks(archive, member):
            digest.update(chunk)
            out.write(chunk)
    if digest.hexdigest() != expected:
        raise BackupError(f"the backup is damaged: {_shown(member)} does not match its checksum")
    os.utime(target, (member.mtime, member.mtime))


def _is_safe(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\\" not in name and name == str(path)


def _read_chunks(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    data = archive.extractfile(member)
    if data is None:
        raise BackupError(f"{_shown(member)} in the backup is not a file")
    with data:
        while chunk := data.read(_CHUNK):
            yield chunk


def _shown(member: tarfile.TarInfo) -> str:
    """The name of a member, quoted and short enough for a message."""
    return repr(member.name[:_MAX_SHOWN])
