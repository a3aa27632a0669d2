"""Real servers for the tests: PostgreSQL and Redis, started in a folder of their own, stopped with the tests.

A server that is not installed skips its tests and says how to install it; with CHURCH_REQUIRE_SERVICES=1 it fails them.
"""

from __future__ import annotations

import glob
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
import redis

from church.config import Settings, load_settings
from church.engines import sqlite_path
from church.migrations import migrate
from tests.databases import copy_database


def require(name: str, found: str | None, install: str) -> str:
    """The path of a server's program; without it the test is skipped, or fails where every server has to be there."""
    if found:
        return found
    message = f"{name} is not installed: {install}"
    if os.environ.get("CHURCH_REQUIRE_SERVICES") == "1":
        pytest.fail(message)
    pytest.skip(message)


def wait_until(condition: Callable[[], object], what: str, seconds: float = 20.0) -> None:
    """Wait for ``condition`` to be true; fail with ``what`` if it is not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds} s: {what}")
        time.sleep(0.02)


def free_port() -> int:
    """A port of loopback that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _postgresql_program(name: str) -> str:
    folders = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: float(path.split("/")[4]))
    found = shutil.which(name, path=":".join([*reversed(folders), os.environ["PATH"]]))
    return require("PostgreSQL", found, "apt-get install postgresql")


class Postgres:
    """A PostgreSQL of the tests' own: a Unix socket and a port of loopback, no password, no fsync."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        # PostgreSQL refuses to run as root.
        self._as = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] if os.geteuid() == 0 else []
        if self._as:
            shutil.chown(folder, "postgres", "postgres")
        initdb = [_postgresql_program("initdb"), "-D", str(self.data), "-U", "postgres", "-A", "trust", "--no-sync"]
        encoding = ["--encoding=UTF8", "--locale=C.UTF-8"]
        subprocess.run([*self._as, *initdb, *encoding], check=True, capture_output=True, cwd="/")

    def start(self) -> None:
        """Start, or do nothing when it runs; returns when it answers."""
        if self.running:
            return
        options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": str(self.folder), "fsync": "off"}
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        dies_with_us = ["--pdeathsig", "INT"] if self._as else []
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *self._as,
                    *dies_with_us,
                    _postgresql_program("postgres"),
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
        """Whether the server's process lives."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """A fast shutdown: sessions are ended, nothing is lost."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(timeout=30)
            self._process = None

    def admin(self) -> psycopg.Connection:
        """A connection of the superuser, in autocommit."""
        return psycopg.connect(
            host=str(self.folder), port=self.port, user="postgres", dbname="postgres", autocommit=True
        )

    def new_database(self, template: str = "template1") -> str:
        """Make a database, empty unless ``template`` is not; gives its ``postgresql://`` address."""
        name = f"church_{uuid4().hex[:12]}"
        with self.admin() as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def end_sessions(self) -> int:
        """Terminate every session but ours, as an administrator would; how many there were."""
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' "
        with self.admin() as connection:
            return len(connection.execute(query + "AND pid <> pg_backend_pid()").fetchall())

    def _answers(self) -> bool:
        try:
            self.admin().close()
        except psycopg.OperationalError:
            return False
        return True


class RedisServer:
    """A redis-server of the tests' own, on a port of loopback, that keeps nothing on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, or do nothing when it runs; returns when it answers."""
        if self._process is not None and self._process.poll() is None:
            return
        program = require("Redis", shutil.which("redis-server"), "apt-get install redis-server")
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)]
        self._process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self._answers, "Redis answers")

    def stop(self) -> None:
        """Stop it, paused or not."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=10)
            self._process = None

    def pause(self) -> None:
        """Make it hang: it takes connections and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """End ``pause``."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def client(self) -> redis.Redis:
        """A client that is not the site's."""
        return redis.Redis(port=self.port, socket_timeout=2)

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


@pytest.fixture(scope="session")
def _postgres() -> Iterator[Postgres]:
    _postgresql_program("postgres")
    # Not in pytest's folder: the user postgres may not enter it, and a socket's path has room for 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="church-pg-"))
    server = Postgres(folder)
    yield server
    server.stop()
    shutil.rmtree(folder)


@pytest.fixture
def postgres(_postgres: Postgres) -> Postgres:
    """The PostgreSQL of this run, running; a test may stop it."""
    _postgres.start()
    return _postgres


@pytest.fixture
def postgres_url(postgres: Postgres) -> str:
    """A new empty database on PostgreSQL."""
    return postgres.new_database()


@pytest.fixture(scope="session")
def _redis() -> Iterator[RedisServer]:
    folder = Path(tempfile.mkdtemp(prefix="church-redis-"))
    server = RedisServer(folder)
    yield server
    server.stop()
    shutil.rmtree(folder)


@pytest.fixture
def redis_server(_redis: RedisServer) -> RedisServer:
    """The Redis of this run, running and empty; a test may stop it."""
    _redis.start()
    with _redis.client() as client:
        client.flushall()
    return _redis


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_site(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of a site whose database is not migrated yet, once on SQLite and once on PostgreSQL."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    return site_settings(tmp_path, url)


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database at the head of the migrations, to be copied."""
    site = site_settings(tmp_path_factory.mktemp("migrated"))
    migrate(site)
    return sqlite_path(site)


@pytest.fixture(scope="session")
def _migrated_template(_postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a PostgreSQL database at the head of the migrations, to be copied."""
    _postgres.start()
    url = _postgres.new_database()
    migrate(site_settings(tmp_path_factory.mktemp("migrated"), url))
    return url.rpartition("/")[2]


@pytest.fixture(params=["sqlite", "postgresql"])
def migrated_site(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of a site whose database is at the head, once on SQLite and once on PostgreSQL."""
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        return site_settings(tmp_path, server.new_database(request.getfixturevalue("_migrated_template")))
    site = site_settings(tmp_path)
    copy_database(request.getfixturevalue("migrated_file"), site)
    return site


def site_settings(folder: Path, database_url: str | None = None, **overrides: object) -> Settings:
    """Settings of a site in ``folder``; nothing is taken from the developer's own ``.env``."""
    content = folder / "content"
    content.mkdir(exist_ok=True)
    places = {"CHURCH_INSTANCE": folder / "instance", "CHURCH_LOG_DIR": folder / "logs", "CHURCH_CONTENT": content}
    return load_settings(_env_file=None, DATABASE_URL=database_url, **places, **overrides)
