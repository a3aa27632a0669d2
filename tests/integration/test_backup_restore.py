"""Backup and restore of real sites on both databases, and backups that were tampered with."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select, text

from church import create_app
from church.backup import BackupError, backup, restore
from church.config import Settings
from church.database import migrations
from church.database.engines import is_sqlite, make_upkeep_engine, sqlite_path
from church.database.maintenance import (
    Announcement,
    copy_file,
    host_file,
    keep_copy,
    read_file,
    read_row,
    write_file,
    write_row,
)
from church.database.member_index import SearchKind, find_kind
from church.extensions import db
from church.lib.secrets import load_instance_secret
from church.models import PageText, User
from church.models.accounts import Purpose
from church.models.base import utc_now
from church.services import email_links, sessions
from tests.support.helpers import with_settings
from tests.support.people import add_user, sign_in
from tests.support.services_fixture import site_settings, wait_until

pytestmark = pytest.mark.services

# Two rows in each transaction: a snapshot in the middle of one would show an odd number.
_WRITER = """
import sys
from flask import Flask
from church.config import load_settings
from church.extensions import db
from church.models import PageText
app = Flask("writer")
app.config["CHURCH"] = load_settings()
db.init_app(app)
with app.app_context():
    for n in range(100_000):
        with db.write() as session:
            for scope in ("open", "full"):
                text = dict(slug=f"w{n}", scope=scope, title="t", summary="", tags="", body="b" * 500, access="public")
                session.add(PageText(**text))
        print(n, flush=True)
"""


@contextmanager
def in_site(site: Settings) -> Iterator[None]:
    app = Flask("test")
    app.config["CHURCH"] = site
    db.init_app(app)
    with app.app_context():
        yield
        db.dispose()


def add_page(site: Settings, slug: str) -> None:
    with in_site(site), db.write() as session:
        session.add(PageText(slug=slug, scope="full", title=slug, summary="", tags="", body="", access="public"))


def slugs(site: Settings) -> list[str]:
    with in_site(site), db.read() as session:
        return list(session.scalars(select(PageText.slug).order_by(PageText.slug, PageText.scope)))


@pytest.fixture
def site(migrated_site: Settings) -> Settings:
    (migrated_site.content / "deep").mkdir()
    (migrated_site.content / "deep" / "page.md").write_text("# Kept")
    os.utime(migrated_site.content / "deep" / "page.md", (1_700_000_000, 1_700_000_000))
    load_instance_secret(migrated_site.instance, "SECRET_KEY")
    add_page(migrated_site, "first")
    return migrated_site


@pytest.fixture
def another(site: Settings, tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    """A new, empty site with the same kind of database."""
    folder = tmp_path / "another"
    folder.mkdir()
    url = None if is_sqlite(site) else request.getfixturevalue("postgres").new_database()
    return site_settings(folder, url)


def test_backup_of_a_busy_site_is_consistent_and_restores_elsewhere(
    site: Settings, another: Settings, tmp_path: Path
) -> None:
    url = site.database_url.get_secret_value() if site.database_url else ""
    environment = {**os.environ, "CHURCH_INSTANCE": str(site.instance), "DATABASE_URL": url}
    writer = subprocess.Popen([sys.executable, "-c", _WRITER], env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert writer.stdout is not None
        for _ in range(50):
            writer.stdout.readline()
        manifest = backup(site, tmp_path / "site.tar.gz")
        before = int(writer.stdout.readline())
        assert writer.poll() is None
        wait_until(lambda: int(writer.stdout.readline()) > before, "the writer continued")  # type: ignore[union-attr]
    finally:
        writer.kill()
        writer.communicate()

    restored = restore(another, tmp_path / "site.tar.gz")
    assert restored.manifest == manifest
    with in_site(another), db.read() as session:
        assert find_kind(session) is not SearchKind.BEGINNINGS  # its index is made again
    assert manifest.revision == migrations.head_revision()
    found = slugs(another)
    assert "first" in found
    written = [slug for slug in found if slug != "first"]
    assert len(written) >= 100
    assert sorted(set(written)) == written[::2] == written[1::2], "half a transaction was restored"
    page = another.content / "deep" / "page.md"
    assert (page.read_text(), page.stat().st_mtime) == ("# Kept", 1_700_000_000)
    if is_sqlite(another):
        with in_site(another), db.write() as session:
            assert session.scalar(text("PRAGMA integrity_check")) == "ok"
            session.execute(text("INSERT INTO page_texts_fts(page_texts_fts) VALUES ('integrity-check')"))


def test_backup_has_no_secrets_or_links_and_is_private(site: Settings, tmp_path: Path) -> None:
    (site.content / "leak.md").symlink_to(site.instance / "secrets.json")
    (site.content / "leak").symlink_to(site.instance)
    file = tmp_path / "site.tar.gz"
    backup(site, file)
    with tarfile.open(file) as archive:
        names = archive.getnames()
    assert sorted(names) == sorted(["manifest.json", _database(site), "content/deep/page.md"])
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir() if "church-backup" in path.name or ".part" in path.name] == []
    secret = json.loads((site.instance / "secrets.json").read_text())["SECRET_KEY"].encode()
    assert secret not in gzip.decompress(file.read_bytes())


def test_restore_over_existing_data_needs_force_and_keeps_it(site: Settings, tmp_path: Path) -> None:
    file = tmp_path / "site.tar.gz"
    backup(site, file)
    add_page(site, "later")
    (site.content / "new.md").write_text("new")
    with pytest.raises(BackupError, match="use --force"):
        restore(site, file)
    assert slugs(site) == ["first", "later"]
    assert (site.content / "new.md").exists()

    kept = restore(site, file, force=True).kept
    assert slugs(site) == ["first"]
    assert not (site.content / "new.md").exists()
    assert len(kept) == 2
    assert all(path.exists() for path in kept)
    assert (kept[1] / "new.md").read_text() == "new"


def test_restore_ends_sign_ins_and_links(site: Settings, another: Settings, tmp_path: Path) -> None:
    app = create_app(site)
    ada = add_user(app, password_hash="x")
    tokens = [sign_in(app, ada) for _ in range(2)]
    with app.app_context():
        with db.write() as session:
            link = email_links.link_token(email_links.make(session, Purpose.RESET, user=ada), site.secret_keys)
        assert email_links.peek(link, Purpose.RESET) is not None
        db.dispose()
    backup(site, tmp_path / "site.tar.gz")
    assert restore(another, tmp_path / "site.tar.gz").ended == 2
    restored = create_app(with_settings(another, secret_key=site.secret_key))
    with restored.app_context():
        assert [sessions.load(token) for token in tokens] == [None, None]
        assert email_links.peek(link, Purpose.RESET) is None
        with db.read() as session:
            assert session.scalars(select(User.ref)).all() == [ada.ref]
        db.dispose()


def announce(site: Settings, announcement: Announcement | None) -> None:
    with in_site(site), db.write() as session:
        write_row(session, announcement)


def find_announcement(site: Settings) -> Announcement | None:
    with in_site(site), db.read() as session:
        return read_row(session)


def test_restore_keeps_the_site_in_maintenance(site: Settings, tmp_path: Path) -> None:
    file, announcement = tmp_path / "site.tar.gz", Announcement("New disks", until=utc_now())
    backup(site, file)
    announce(site, announcement)
    assert restore(site, file, force=True).closed
    assert find_announcement(site) == announcement == read_file(copy_file(site))


def test_restore_of_a_backup_from_before_maintenance_existed_keeps_it(site: Settings, tmp_path: Path) -> None:
    file, announcement = tmp_path / "site.tar.gz", Announcement("New disks")
    migrations.downgrade(site, "0006")
    backup(site, file)
    migrations.migrate(site)
    announce(site, announcement)
    restore(site, file, force=True)
    assert find_announcement(site) == announcement
    migrations.migrate(site)
    assert find_announcement(site) == announcement


def test_restore_after_one_that_was_broken_off_keeps_the_site_in_maintenance(
    site: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_arguments: object) -> None:
        raise KeyboardInterrupt

    file, announcement = tmp_path / "site.tar.gz", Announcement("New disks")
    backup(site, file)
    announce(site, announcement)
    with monkeypatch.context() as patch:
        patch.setattr("church.backup.closure._keep", die)
        with pytest.raises(KeyboardInterrupt):
            restore(site, file, force=True)
    restore(site, file, force=True)
    assert find_announcement(site) == announcement


def test_restore_over_a_lost_database_keeps_what_the_host_remembers(site: Settings, tmp_path: Path) -> None:
    file, announcement = tmp_path / "site.tar.gz", Announcement("New disks")
    backup(site, file)
    keep_copy(site, announcement)
    if is_sqlite(site):
        sqlite_path(site).unlink()
    else:
        migrations.downgrade(site, "base")
    restore(site, file, force=True)
    assert find_announcement(site) == announcement


def test_restore_of_a_backup_made_in_maintenance_stays_closed(
    site: Settings, another: Settings, tmp_path: Path
) -> None:
    announce(site, Announcement("New disks"))
    backup(site, tmp_path / "site.tar.gz")
    assert restore(another, tmp_path / "site.tar.gz").closed
    announce(another, None)
    backup(another, tmp_path / "open.tar.gz")
    assert not restore(another, tmp_path / "open.tar.gz", force=True).closed


def test_restore_leaves_the_file_of_this_host(site: Settings, tmp_path: Path) -> None:
    backup(site, tmp_path / "site.tar.gz")
    write_file(host_file(site), Announcement())
    restore(site, tmp_path / "site.tar.gz", force=True)
    assert read_file(host_file(site)) is not None


def test_restores_within_one_second_keep_what_each_replaces(
    site: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = utc_now()
    monkeypatch.setattr("church.backup.utc_now", lambda: now)
    backup(site, tmp_path / "site.tar.gz")
    kept = [path for _ in range(3) for path in restore(site, tmp_path / "site.tar.gz", force=True).kept]
    assert len(set(kept)) == 6
    assert all(path.exists() for path in kept)


def test_restore_while_the_site_runs_is_refused_and_changes_nothing(site: Settings, tmp_path: Path) -> None:
    file = tmp_path / "site.tar.gz"
    backup(site, file)
    (site.content / "new.md").write_text("new")
    with in_site(site), db.read() as session:
        session.scalars(select(PageText.slug)).all()
        with pytest.raises(BackupError, match="stop"):
            restore(site, file, force=True)
    assert slugs(site) == ["first"]
    assert (site.content / "new.md").exists()


def test_restore_of_an_older_revision_removes_newer_tables(
    site: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "old.tar.gz"
    migrations.downgrade(site, "base")
    backup(site, file)
    migrations.migrate(site)
    restore(site, file, force=True)
    migrations.migrate(site)
    assert slugs(site) == []


def test_restore_into_another_kind_of_database_is_refused(site: Settings, tmp_path: Path) -> None:
    file = tmp_path / "site.tar.gz"
    backup(site, file)
    folder = tmp_path / "other"
    folder.mkdir()
    other = site_settings(folder, "postgresql://nobody@127.0.0.1:1/none" if is_sqlite(site) else None)
    with pytest.raises(BackupError, match="check DATABASE_URL"):
        restore(other, file)


def test_backup_into_a_missing_folder_is_refused(site: Settings, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="create it first"):
        backup(site, tmp_path / "nowhere" / "site.tar.gz")


def test_backup_without_a_database_fails(another: Settings, tmp_path: Path) -> None:
    if not is_sqlite(another):
        url = "postgresql://postgres@127.0.0.1:1/none"
        folder = tmp_path / "down"
        folder.mkdir()
        another = site_settings(folder, url)
    with pytest.raises(BackupError):
        backup(another, tmp_path / "site.tar.gz")
    assert not (tmp_path / "site.tar.gz").exists()


def test_restore_keeps_the_old_pages_if_the_database_cannot_be_replaced(
    site: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise BackupError("full")

    file = tmp_path / "site.tar.gz"
    backup(site, file)
    (site.content / "new.md").write_text("new")
    module = "sqlite" if is_sqlite(site) else "postgresql"
    monkeypatch.setattr(f"church.backup.{module}.replace", refuse)
    with pytest.raises(BackupError, match="full"):
        restore(site, file, force=True)
    assert (site.content / "new.md").read_text() == "new"
    assert [path.name for path in site.content.parent.glob("content.*")] == []


def _database(site: Settings) -> str:
    return "database.sqlite" if is_sqlite(site) else "database.pgdump"


def _flip(data: bytes) -> bytes:
    return data[:-100] + bytes(255 - byte for byte in data[-100:-50]) + data[-50:]


Tamper = Callable[[dict[str, bytes], dict[str, object]], None]


def _change_page(members: dict[str, bytes], _manifest: dict[str, object]) -> None:
    members["content/deep/page.md"] = b"# Changed"


def _change_database(members: dict[str, bytes], _manifest: dict[str, object]) -> None:
    name = next(name for name in members if name.startswith("database"))
    members[name] = _flip(members[name])


def _add_file(members: dict[str, bytes], _manifest: dict[str, object]) -> None:
    members["content/extra.md"] = b"not in the manifest"


def _lose_file(members: dict[str, bytes], _manifest: dict[str, object]) -> None:
    del members["content/deep/page.md"]


def _climb(members: dict[str, bytes], manifest: dict[str, object]) -> None:
    _smuggle("content/../../../escaped.md", members, manifest)


def _absolute(members: dict[str, bytes], manifest: dict[str, object]) -> None:
    _smuggle("/tmp/church-escaped.md", members, manifest)


def _instance_file(members: dict[str, bytes], manifest: dict[str, object]) -> None:
    _smuggle("secrets.json", members, manifest)


def _smuggle(name: str, members: dict[str, bytes], manifest: dict[str, object]) -> None:
    import hashlib

    members[name] = b"out"
    manifest["members"][name] = hashlib.sha256(b"out").hexdigest()  # type: ignore[index]


def _newer(_members: dict[str, bytes], manifest: dict[str, object]) -> None:
    manifest["revision"] = "9999"


def _format(_members: dict[str, bytes], manifest: dict[str, object]) -> None:
    manifest["format"] = 2


def _field(_members: dict[str, bytes], manifest: dict[str, object]) -> None:
    manifest["surprise"] = True


@pytest.mark.parametrize(
    "tamper",
    [
        _change_page,
        _change_database,
        _add_file,
        _lose_file,
        _climb,
        _absolute,
        _instance_file,
        _newer,
        _format,
        _field,
    ],
)
def test_restore_of_a_tampered_backup_is_refused_and_changes_nothing(tmp_path: Path, tamper: Tamper) -> None:
    site = site_settings(tmp_path)
    migrations.migrate(site)
    (site.content / "deep").mkdir()
    (site.content / "deep" / "page.md").write_text("# Kept")
    add_page(site, "first")
    file = tmp_path / "site.tar.gz"
    backup(site, file)
    with tarfile.open(file) as archive:
        members = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    manifest = json.loads(members.pop("manifest.json"))
    tamper(members, manifest)
    with tarfile.open(file, "w:gz") as archive:
        for name, data in {"manifest.json": json.dumps(manifest).encode(), **members}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    with pytest.raises(BackupError):
        restore(site, file, force=True)
    assert slugs(site) == ["first"]
    assert (site.content / "deep" / "page.md").read_text() == "# Kept"
    assert not (tmp_path.parent / "escaped.md").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["content", "instance", "site.tar.gz"]


@pytest.mark.parametrize("data", [b"", b"no archive", gzip.compress(b"no tar in it" * 1000)])
def test_restore_of_another_file_is_refused(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "other.tar.gz"
    file.write_bytes(data)
    with pytest.raises(BackupError):
        restore(site_settings(tmp_path), file)


def test_restore_of_a_link_in_a_backup_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "link.tar.gz"
    facts = {"format": 1, "version": "1", "revision": None, "created": "", "database": "sqlite"}
    manifest = json.dumps({**facts, "members": {"content/link": "0" * 64}}).encode()
    with tarfile.open(file, "w:gz") as archive:
        info = tarfile.TarInfo("manifest.json")
        info.size = len(manifest)
        archive.addfile(info, io.BytesIO(manifest))
        link = tarfile.TarInfo("content/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(BackupError, match="does not allow"):
        restore(site_settings(tmp_path), file)


def test_backup_without_pg_dump_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from church.backup import postgresql

    monkeypatch.setattr(postgresql.glob, "glob", lambda _pattern: [])
    monkeypatch.setenv("PATH", str(tmp_path))
    site = site_settings(tmp_path, "postgresql://postgres@127.0.0.1:1/none")
    with pytest.raises(BackupError, match="postgresql-client"):
        postgresql.write_snapshot(site, tmp_path / "dump")


def test_restore_removes_the_old_write_ahead_log(tmp_path: Path) -> None:
    """A write-ahead log of the old database would ruin the new one."""
    site = site_settings(tmp_path)
    migrations.migrate(site)
    backup(site, tmp_path / "site.tar.gz")
    engine = make_upkeep_engine(site)
    child = os.fork()
    if child == 0:  # dies without merging its log, as a killed site does
        try:
            with engine.connect() as connection:
                connection.execute(text("INSERT INTO schedules (kind, every_seconds, next_at) VALUES ('x', 1, 'x')"))
                connection.commit()
                os._exit(0)
        finally:  # or two processes would continue with the tests
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    log = Path(f"{sqlite_path(site)}-wal")
    assert log.stat().st_size > 0
    restore(site, tmp_path / "site.tar.gz", force=True)
    assert not log.exists()
    with in_site(site), db.read() as session:
        assert session.scalar(text("SELECT count(*) FROM schedules")) == 0
        assert session.scalar(text("PRAGMA integrity_check")) == "ok"
