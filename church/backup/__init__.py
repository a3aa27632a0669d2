"""Back up and restore a site: its database and its pages, in one file without secrets."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from church.backup import closure, postgresql, sign_ins, sqlite
from church.backup.archive import (
    PAGES,
    BackupError,
    Manifest,
    compute_checksum,
    unpack_archive,
    write_archive,
)
from church.backup.pages import LeftOut, copy_pages
from church.config import Settings
from church.database import migrations
from church.database.engines import is_sqlite
from church.database.maintenance import Announcement
from church.lib.files import make_private
from church.lib.version import VERSION
from church.models.base import utc_now

__all__ = ["BackupError", "LeftOut", "Manifest", "RestoreResult", "backup", "restore"]

_STAGE_PREFIX = ".church-backup-"


@dataclass(frozen=True)
class RestoreResult:
    """Result of a restore: the manifest, the number of sign-ins that were ended, and where replaced data is kept.

    ``closed`` means that the site is in maintenance.
    """

    manifest: Manifest
    ended: int
    kept: tuple[Path, ...]
    closed: bool


def backup(settings: Settings, file: Path, report: Callable[[LeftOut], None] = lambda _: None) -> Manifest:
    """Write database and pages to ``file`` (.tar.gz) while the site runs. Raises BackupError.

    ``report`` is called with everything in the content folder that is left out, such as links that lead out of it.
    """
    file = file.absolute()
    if not file.parent.is_dir():
        raise BackupError(f"{file.parent} is not a folder: create it first")
    with _stage(file.parent) as stage:
        if is_sqlite(settings):
            database, kind = stage / sqlite.MEMBER_NAME, "sqlite"
            sqlite.write_snapshot(settings, database)
            revision = sqlite.read_revision(database)
        else:
            database, kind = stage / postgresql.MEMBER_NAME, "postgresql"
            revision = postgresql.read_revision(settings)
            postgresql.write_snapshot(settings, database)
        pages = copy_pages(settings.content, stage, (settings.instance,))
        names = [database.name, *pages.names]
        members = {name: compute_checksum(stage / name) for name in names}
        manifest = Manifest(VERSION, revision, utc_now().isoformat(timespec="seconds"), kind, members)
        try:
            write_archive(stage, manifest, file)
        except OSError as error:
            raise BackupError(f"can't write {file}: {error.strerror}") from error
    for left_out in pages.left_out:
        report(left_out)
    return manifest


def restore(settings: Settings, file: Path, *, force: bool = False) -> RestoreResult:
    """Replace the site's database and pages with those of a backup. The site must be stopped.

    Everything is checked before anything is changed, and replaced data is kept. ``force`` allows to replace a database
    that is not empty. All sign-ins are ended and all emailed links revoked, since some of them may have been ended or
    used after the backup. A site in maintenance stays closed. Raises BackupError.
    """
    make_private(settings.instance)
    with _stage(settings.instance) as stage:
        manifest = unpack_archive(file, stage)
        _check(settings, manifest)
        _check_database(settings, manifest, stage, force=force)
        stamp = _make_stamp(stage)
        announcement = closure.find(settings)
        pages = _place_pages(settings, stage, stamp)
        try:
            result = _replace_database(settings, manifest, stage, announcement, force=force, stamp=stamp)
        except BaseException:
            _restore_old_pages(settings.content, pages)
            raise
    return replace(result, kept=tuple(path for path in (*result.kept, pages) if path))


def _make_stamp(stage: Path) -> str:
    """Part of the names that replaced data is kept under: the time, and the random part of the stage's own name."""
    return f"{utc_now():%Y%m%dT%H%M%SZ}-{stage.name.removeprefix(_STAGE_PREFIX)}"


def _check(settings: Settings, manifest: Manifest) -> None:
    kind = "sqlite" if is_sqlite(settings) else "postgresql"
    if manifest.database != kind:
        raise BackupError(f"the backup is from {manifest.database}, this site uses {kind}: check DATABASE_URL")
    if manifest.revision is not None and manifest.revision not in migrations.known_revisions():
        raise BackupError(f"the backup is from version {manifest.version}, newer than this code: upgrade first")
    member = sqlite.MEMBER_NAME if kind == "sqlite" else postgresql.MEMBER_NAME
    unexpected = [name for name in manifest.members if name != member and not name.startswith(PAGES)]
    if member not in manifest.members or unexpected:
        raise BackupError("the backup's manifest lists files other than a database and pages")


def _check_database(settings: Settings, manifest: Manifest, stage: Path, *, force: bool) -> None:
    if manifest.database == "sqlite":
        sqlite.check_integrity(stage / sqlite.MEMBER_NAME)
        sqlite.check_target(settings, force=force)
    else:
        postgresql.check_target(settings, force=force)


def _replace_database(
    settings: Settings, manifest: Manifest, stage: Path, announcement: Announcement | None, *, force: bool, stamp: str
) -> RestoreResult:
    """Replace the database. The result lacks the pages."""
    if manifest.database == "sqlite":
        file = stage / sqlite.MEMBER_NAME
        ended = sign_ins.end_in_file(file)
        closed = closure.keep_in_file(file, announcement)
        kept = sqlite.replace(settings, file, force=force, stamp=stamp)
    else:
        kept = postgresql.replace(settings, stage / postgresql.MEMBER_NAME, manifest.revision, stamp=stamp)
        closed = closure.keep_in_site(settings, announcement)
        ended = sign_ins.end_in_site(settings)
    return RestoreResult(manifest, ended, (kept,) if kept else (), closed)


@contextmanager
def _stage(parent: Path) -> Iterator[Path]:
    try:
        stage = Path(tempfile.mkdtemp(prefix=_STAGE_PREFIX, dir=parent))
    except OSError as error:
        raise BackupError(f"can't write to {parent}: {error.strerror}") from error
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _place_pages(settings: Settings, stage: Path, stamp: str) -> Path | None:
    """Replace the content folder with the restored one. Return where the old one is kept, if there was one."""
    content = settings.content
    fresh = content.with_name(f"{content.name}.restoring-{stamp}")
    kept = content.with_name(f"{content.name}.before-restore-{stamp}")
    try:
        (stage / "content").mkdir(exist_ok=True)
        shutil.copytree(stage / "content", fresh)
        if not content.exists():
            fresh.rename(content)
            return None
        content.rename(kept)
        fresh.rename(content)
    except OSError as error:
        shutil.rmtree(fresh, ignore_errors=True)
        if kept.exists() and not content.exists():
            kept.rename(content)
        raise BackupError(f"can't replace {content} ({error.strerror}): is it a mount, or another user's?") from error
    return kept


def _restore_old_pages(content: Path, kept: Path | None) -> None:
    """Undo ``_place_pages``."""
    shutil.rmtree(content, ignore_errors=True)
    if kept is not None:
        kept.rename(content)
