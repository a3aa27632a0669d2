"""The resolver does not answer: what needs a name fails in time, and other requests do not wait for it."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.programs import program
from tests.support.services_fixture import Postgres, wait_until
from tests.support.site_fixture import Site

pytestmark = [
    pytest.mark.services,
    pytest.mark.needs("mount", "unshare"),
    pytest.mark.skipif(os.geteuid() != 0, reason="root gives the site its own resolver: run as root"),
]

RESOLVER = "127.0.0.77"
# In a mount namespace of its own the site has these files in place of the machine's.
START = """
mount --bind "$1/hosts" /etc/hosts && mount --bind "$1/resolv.conf" /etc/resolv.conf || exit 1
shift
exec "$@"
"""


class SiteWithNames(Site):
    """A site that finds its database by a name of its own hosts file."""

    def __init__(self, folder: Path, database_url: str) -> None:
        super().__init__(folder, WEB_CONCURRENCY="1", DATABASE_URL=database_url)
        self.folder = folder
        self.hosts = folder / "hosts"
        self.hosts.write_text("127.0.0.1 localhost database.test\n")
        (folder / "resolv.conf").write_text(f"nameserver {RESOLVER}\noptions timeout:30 attempts:1\n")
        self.environment["DATABASE_URL"] = database_url.replace("127.0.0.1", "database.test")

    def command(self, *module: str) -> list[str]:
        """Enter the namespace, then start."""
        enter = [program("unshare"), "--mount", "/bin/sh", "-c", START, "sh", str(self.folder)]
        return [*enter, *super().command(*module)]


@pytest.fixture
def resolver() -> Iterator[socket.socket]:
    """A name server that hears and never answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((RESOLVER, 53))
        silent.settimeout(60)
        yield silent


@pytest.fixture
def site(tmp_path: Path, postgres: Postgres, migrated_url: str) -> Iterator[SiteWithNames]:
    one = SiteWithNames(tmp_path, migrated_url)
    try:
        one.start()
        yield one
    finally:
        one.stop()


def test_requests_without_a_name_are_answered_while_look_ups_hang(
    site: SiteWithNames, resolver: socket.socket, postgres: Postgres
) -> None:
    assert site.get("/pages/?q=writing")[0] == 200
    site.hosts.write_text("127.0.0.1 localhost\n")
    postgres.end_sessions()
    answers: list[int] = []
    searches = [threading.Thread(target=lambda: answers.append(site.get("/pages/?q=writing")[0])) for _ in range(12)]
    for one in searches:  # more than the worker has threads that render pages
        one.start()
    assert b"database" in resolver.recv(512)
    assert site.get("/health")[0] == 200
    assert site.get("/pages/privacy")[0] == 200
    for one in searches:
        one.join(timeout=60)
    assert answers == [503] * 12  # though the resolver would wait for 30 s
    site.hosts.write_text("127.0.0.1 localhost database.test\n")
    wait_until(lambda: site.get("/pages/?q=writing")[0] == 200, "the database is found again")
