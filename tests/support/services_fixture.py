"""Fixtures with real PostgreSQL, PgBouncer and Redis servers, each in its own folder, and sites with databases on them.

Tests of a server that is not installed are skipped: ``tests/support/programs.py``.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from typing import Any, LiteralString
from uuid import uuid4

import psycopg
import pytest
import redis

from church import database
from church.config import Settings, load_settings
from church.database import engines
from church.database.migrations import migrate
from ops.processes import list_children
from tests.support import databases
from tests.support.databases import copy_database
from tests.support.programs import needing, program


def wait_until(condition: Callable[[], object], what: str, seconds: float = 60.0, pause: float = 0.02) -> None:
    """Wait until ``condition`` is true; fail with ``what`` if that takes too long.

    The limit allows for a badly overloaded machine. The wait ends as soon as the condition is true.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds} s: {what}")
        time.sleep(pause)


class _Ports:
    """A range of loopback ports reserved for this process, by keeping its first port bound.

    Other test runs reserve other ranges, and all ranges lie below the ephemeral ports, so that nothing else takes a
    port between the moment it is chosen and the moment its server listens.
    """

    _FIRST, _END, _SIZE = 11_000, 32_000, 500

    def __init__(self) -> None:
        self._kept = socket.socket()
        atexit.register(self._kept.close)
        starts = [*range(self._FIRST, self._END, self._SIZE)]
        first = next(start for start in starts if self._bound(self._kept, start))
        self._next = cycle(range(first + 1, first + self._SIZE))

    def take(self) -> int:
        """The free port that was not used for the longest time."""
        for port in islice(self._next, self._SIZE):
            with socket.socket() as probe:
                if self._bound(probe, port):
                    return port
        pytest.fail("no port is free")

    @staticmethod
    def _bound(probe: socket.socket, port: int) -> bool:
        with suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return True
        return False


_ports = cache(_Ports)


def free_port() -> int:
    """A free port on loopback, reserved for the caller."""
    return _ports().take()


# Data of tests need not survive a crash.
_NOT_DURABLE = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "2GB",
    "jit": "off",
}
_MIN_FREE = 2 * 1024**3  # bytes that a folder in memory needs for a server's data


def _folder_in_memory() -> str | None:
    """A folder in memory with enough space for a server's data; None for the usual temporary folder."""
    memory = Path("/dev/shm")
    if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _MIN_FREE:
        return str(memory)
    return None


def _unprivileged(folder: Path) -> list[str]:
    """The beginning of a command that runs in ``folder`` as postgres: its servers refuse to run as root."""
    if os.geteuid() != 0:
        return []
    shutil.chown(folder, "postgres", "postgres")
    return [program("setpriv"), "--reuid=postgres", "--regid=postgres", "--init-groups"]


class Postgres:
    """A PostgreSQL server for the tests, on a Unix socket and a loopback port, without password or durability."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._as = _unprivileged(folder)
        initdb = [program("initdb"), "-D", str(self.data), "-U", "postgres", "-A", "trust", "--no-sync"]
        encoding = ["--encoding=UTF8", "--locale=C.UTF-8"]
        subprocess.run([*self._as, *initdb, *encoding], check=True, capture_output=True, cwd="/")

    def start(self) -> None:
        """Start the server unless it runs, and wait until it answers."""
        if self.running:
            return
        options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": str(self.folder), **_NOT_DURABLE}
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        die_with_parent = ["--pdeathsig", "INT"] if self._as else []
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *self._as,
                    *die_with_parent,
                    program("postgres"),
                    *("-D", str(self.data), "-p", str(self.port)),
                    *arguments,
                ],
                stdout=log,
                stderr=log,
                cwd="/",
            )
        wait_until(self._answers, f"PostgreSQL answers; see {self.folder / 'log'}")

    @property
    def running(self) -> bool:
        """Whether the server's process runs."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Shut down fast: sessions end, no data is lost."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(timeout=60)
            self._process = None

    def pause(self) -> None:
        """Make the server hang: it accepts connections and answers nothing, on open ones either."""
        self._signal_all(signal.SIGSTOP)

    def go_on(self) -> None:
        """Continue after ``pause``."""
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> None:
        """Send a signal to the server and, once it starts no more of them, to the processes of its sessions."""
        assert self._process is not None
        self._process.send_signal(number)
        for pid in list_children(self._process.pid):
            with suppress(ProcessLookupError):  # the session has ended meanwhile
                os.kill(pid, number)

    def admin(self) -> psycopg.Connection:
        """Connect as superuser, in autocommit mode."""
        return psycopg.connect(
            host=str(self.folder), port=self.port, user="postgres", dbname="postgres", autocommit=True
        )

    def new_database(self, template: str = "template1") -> str:
        """Create a database as a copy of ``template`` and return its ``postgresql://`` URL."""
        name = f"church_{uuid4().hex[:12]}"
        with self.admin() as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def database(self, url: str) -> psycopg.Connection:
        """Connect to the database at ``url`` as superuser, in autocommit mode."""
        name = url.rpartition("/")[2]
        return psycopg.connect(host=str(self.folder), port=self.port, user="postgres", dbname=name, autocommit=True)

    def end_sessions(self) -> int:
        """Terminate all other sessions, like an administrator. Returns how many there were."""
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' "
        with self.admin() as connection:
            return len(connection.execute(query + "AND pid <> pg_backend_pid()").fetchall())

    def _answers(self) -> bool:
        try:
            self.admin().close()
        except psycopg.OperationalError:
            return False
        return True


class PgBouncer:
    """A PgBouncer in transaction mode in front of ``server``, with ``size`` connections to each of its databases."""

    def __init__(self, folder: Path, server: Postgres, size: int) -> None:
        self.folder, self.port = folder, free_port()
        self._as = _unprivileged(folder)
        self._file = folder / "pgbouncer.ini"
        self._file.write_text(
            f"""[databases]
* = host=127.0.0.1 port={server.port} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self.port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {size}
max_client_conn = 500
query_wait_timeout = 60
"""
        )

    def start(self) -> None:
        """Start it, and wait until it accepts connections."""
        die_with_parent = ["--pdeathsig", "KILL"] if self._as else []
        with (self.folder / "log").open("ab") as log:
            command = [*self._as, *die_with_parent, program("pgbouncer"), str(self._file)]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/")
        wait_until(self._answers, f"PgBouncer answers; see {self.folder / 'log'}")

    def stop(self) -> None:
        """Stop it at once, with all its connections."""
        self._process.kill()
        self._process.wait(timeout=60)

    def pooled(self, url: str) -> str:
        """The address of the database at ``url`` through this pooler."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{url.rpartition('/')[2]}"

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False


class MigratedDatabases:
    """Migrated databases that tests use one after another.

    Emptying one takes a few milliseconds, creating one a tenth of a second.
    """

    _SCHEMA = (
        "SELECT string_agg(concat_ws('/', oid, xmin), ' ' ORDER BY oid) FROM pg_class "
        "WHERE relnamespace = 'public'::regnamespace"
    )
    _OTHERS = (
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    _EMPTY = (
        "SELECT string_agg(CASE WHEN relkind = 'S' THEN format('SELECT setval(%L, 1, false)', oid::regclass) "
        "WHEN relname = 'chat_rooms' THEN 'UPDATE chat_rooms SET last_number = 0' "  # rows created by a migration
        "ELSE format('DELETE FROM %s', oid::regclass) END, ';') FROM pg_class "
        "WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'S') AND relname <> 'alembic_version'"
    )

    def __init__(self, server: Postgres, template: str) -> None:
        self._server, self._template = server, template
        self._free: list[tuple[str, str]] = []

    @contextmanager
    def lent(self) -> Iterator[str]:
        """Lend a database to a test, by URL. It is not reused if the test has changed its schema."""
        url, schema = self._free.pop() if self._free else self._new()
        yield url
        with suppress(psycopg.Error):
            if self._server.running and self._empty(url, schema):
                self._free.append((url, schema))

    def _new(self) -> tuple[str, str]:
        url = self._server.new_database(self._template)
        with self._server.database(url) as connection:
            return url, self._scalar(connection, self._SCHEMA)

    def _empty(self, url: str, schema: str) -> bool:
        with self._server.database(url) as connection:
            connection.execute(self._OTHERS)
            if self._scalar(connection, self._SCHEMA) != schema:
                return False
            connection.execute("SET session_replication_role = replica")  # no foreign keys, no triggers
            connection.execute(self._scalar(connection, self._EMPTY))
        return True

    @staticmethod
    def _scalar(connection: psycopg.Connection, query: LiteralString) -> Any:
        row = connection.execute(query).fetchone()
        assert row is not None
        return row[0]


class RedisServer:
    """A redis-server for the tests, on a loopback port, with nothing on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server unless it runs, and wait until it answers."""
        if self._process is not None and self._process.poll() is None:
            return
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)]
        self._process = subprocess.Popen(
            [program("redis-server"), *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(self._answers, "Redis answers")

    def stop(self) -> None:
        """Stop the server, even a paused one."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=60)
            self._process = None

    def pause(self) -> None:
        """Make the server hang: it accepts connections and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Continue after ``pause``."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def client(self) -> redis.Redis:
        """A plain client of redis-py, not the site's."""
        return redis.Redis(port=self.port, socket_timeout=30)

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


_POSTGRESQL = ("initdb", "postgres", *(["setpriv"] if os.geteuid() == 0 else []))
on_postgresql = pytest.param("postgresql", marks=pytest.mark.needs(*_POSTGRESQL))
"""PostgreSQL as a parameter of a fixture that starts it by name."""


@pytest.fixture(scope="session")
@needing(*_POSTGRESQL)
def _postgres() -> Iterator[Postgres]:
    # Not in pytest's folder: the user postgres can't enter it, and a socket's path is limited to 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="church-pg-", dir=_folder_in_memory()))
    server = Postgres(folder)
    yield server
    server.stop()
    shutil.rmtree(folder)


@pytest.fixture
def postgres(_postgres: Postgres) -> Postgres:
    """The running PostgreSQL server of this test run. A test may stop it."""
    _postgres.start()
    return _postgres


@pytest.fixture
def postgres_url(postgres: Postgres) -> str:
    """A new empty database on PostgreSQL."""
    return postgres.new_database()


@pytest.fixture(scope="session")
@needing("pgbouncer")
def pgbouncer(_postgres: Postgres) -> Iterator[PgBouncer]:
    """A running PgBouncer in transaction mode, with two connections to each database."""
    _postgres.start()
    folder = Path(tempfile.mkdtemp(prefix="church-pgbouncer-"))
    pooler = PgBouncer(folder, _postgres, size=2)
    pooler.start()
    yield pooler
    pooler.stop()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
@needing("redis-server")
def _redis() -> Iterator[RedisServer]:
    folder = Path(tempfile.mkdtemp(prefix="church-redis-"))
    server = RedisServer(folder)
    yield server
    server.stop()
    shutil.rmtree(folder)


@pytest.fixture
def redis_server(_redis: RedisServer) -> RedisServer:
    """The running, empty Redis server of this test run. A test may stop it."""
    _redis.start()
    with _redis.client() as client:
        client.flushall()
    return _redis


@pytest.fixture(params=["sqlite", on_postgresql])
def empty_site(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of a site whose database is not migrated yet, once on SQLite and once on PostgreSQL."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    return site_settings(tmp_path, url)


@pytest.fixture(scope="session")
def migrated_file() -> Path:
    """A migrated SQLite database to copy."""
    return databases.migrated_file()


@pytest.fixture(scope="session")
def _migrated_databases(_postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> MigratedDatabases:
    _postgres.start()
    template = _postgres.new_database()
    migrate(site_settings(tmp_path_factory.mktemp("migrated"), template))
    return MigratedDatabases(_postgres, template.rpartition("/")[2])


@pytest.fixture
def migrated_url(postgres: Postgres, _migrated_databases: MigratedDatabases) -> Iterator[str]:
    """An empty, migrated database on PostgreSQL."""
    with _migrated_databases.lent() as url:
        yield url


def pytest_configure(config: pytest.Config) -> None:
    """Register marks that choose the databases of a test. A test's own mark wins over its module's."""
    config.addinivalue_line("markers", "sqlite_alone: only on SQLite: plain SQL, or tested on both databases elsewhere")
    config.addinivalue_line(
        "markers", "both_databases: on both databases, in a module of sqlite_alone: locks, upserts, order or time"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests with ``migrated_site`` once on SQLite and once on PostgreSQL, unless a mark chooses one."""
    if "migrated_site" in metafunc.fixturenames:
        marks = [mark.name for mark in metafunc.definition.iter_markers()]  # the closest first
        chosen = [mark for mark in marks if mark in {"sqlite_alone", "both_databases"}]
        backends = ["sqlite"] if chosen[:1] == ["sqlite_alone"] else ["sqlite", on_postgresql]
        metafunc.parametrize("migrated_site", backends, indirect=True)


@pytest.fixture
def patient_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise the time-outs of the database, for tests with many writers at once on a slow machine.

    Request this fixture before the site's.
    """
    for module, name in (
        (database, "WRITE_WAIT"),
        (database, "READ_WAIT"),
        (engines, "CONNECT_WAIT"),
        (engines, "_LOCK_WAIT"),
    ):
        monkeypatch.setattr(module, name, 60)
    monkeypatch.setenv("CHURCH_DATABASE_TIMEOUT", "60")


@pytest.fixture
def migrated_site(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of a site whose database is migrated, once on SQLite and once on PostgreSQL."""
    if request.param == "postgresql":
        return site_settings(tmp_path, request.getfixturevalue("migrated_url"))
    return sqlite_site(tmp_path, request.getfixturevalue("migrated_file"))


def sqlite_site(folder: Path, migrated: Path) -> Settings:
    """Settings of a site in ``folder`` with a copy of the database ``migrated``."""
    site = site_settings(folder)
    copy_database(migrated, site)
    return site


def share_servers(postgres: Postgres, redis: RedisServer) -> dict[str, str]:
    """Start both servers; return what the hosts of one site have in common, with a new database."""
    postgres.start()
    redis.start()
    return {
        "DATABASE_URL": postgres.new_database(),
        "REDIS_URL": redis.url,
        "SECRET_KEY": "a key that both of the hosts know, long enough",
        "CHURCH_SITE_URL": "http://church.example",
    }


def site_settings(folder: Path, database_url: str | None = None, **overrides: object) -> Settings:
    """Settings of a site in ``folder``, without the developer's ``.env``."""
    content = folder / "content"
    content.mkdir(exist_ok=True)
    places = {"CHURCH_INSTANCE": folder / "instance", "CHURCH_LOG_DIR": folder / "logs", "CHURCH_CONTENT": content}
    return load_settings(_env_file=None, DATABASE_URL=database_url, **places, **overrides)
