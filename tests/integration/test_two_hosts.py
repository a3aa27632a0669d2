"""Two hosts of one site with two workers each: no old answer is kept anywhere, and members meet across all workers."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from flask import Flask

from church import create_app
from church.extensions import db
from church.models.base import utc_now
from church.services import sessions, videos
from church.services.audit import Actor
from tests.support.environment import forget_the_shell
from tests.support.live_fixture import Line, token_of
from tests.support.pages_fixture import write_page
from tests.support.people import add_user, sign_in, with_cookie
from tests.support.services_fixture import Postgres, RedisServer, share_servers, wait_until
from tests.support.site_fixture import Site
from tests.support.video_fixture import add_ready

pytestmark = pytest.mark.services

_OF_BOTH_WORKERS = 12  # requests on connections of their own, enough to reach both
_LINES = 6  # connections, as many


class Host(NamedTuple):
    """One of the hosts, and its own copy of the content."""

    site: Site
    content: Path

    def answers(self, path: str, **headers: str) -> list[tuple[int, bytes]]:
        """Answers of both workers."""
        return [self.site.get(path, **headers) for _ in range(_OF_BOTH_WORKERS)]


class Hosts(NamedTuple):
    """Both hosts, and the same site in this process."""

    first: Host
    second: Host
    app: Flask

    @property
    def both(self) -> tuple[Host, Host]:
        return self.first, self.second


@pytest.fixture(scope="module")
def hosts(_postgres: Postgres, _redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    shared = {
        **share_servers(_postgres, _redis),
        "WEB_CONCURRENCY": "2",
        "CHURCH_LIVE_PER_ADDRESS": "1000",
    }
    with pytest.MonkeyPatch.context() as patch:
        forget_the_shell(patch)
        made = []
        for name in ("one", "two"):
            folder = tmp_path_factory.mktemp(name)
            (folder / "content").mkdir()
            made.append(Host(Site(folder, CHURCH_CONTENT=str(folder / "content"), **shared), folder / "content"))
    try:
        for host in made:
            host.site.start(store=False, work=True)
        app = create_app(made[0].site.settings)
        yield Hosts(made[0], made[1], app)
        with app.app_context():
            db.dispose()
    finally:
        for host in made:
            host.site.stop()


def shown(host: Host, path: str, text: bytes) -> set[bool]:
    """Whether the workers of a host show ``text``: both values if only some do."""
    return {text in body for _, body in host.answers(path)}


def await_text(host: Host, text: bytes, *paths: str, there: bool = True) -> None:
    """Wait until both workers show ``text``, or until neither does."""
    for path in paths:
        wait_until(lambda path=path: shown(host, path, text) == {there}, f"{path}: {text!r} is there: {there}")


def test_page_that_is_closed_on_one_host_and_then_on_the_other_is_kept_by_no_worker(hosts: Hosts) -> None:
    for host in hosts.both:
        write_page(host.content, "harbour", "Boats at dawn.", access="public")
    for host in hosts.both:
        await_text(host, b"dawn", "/pages/harbour", "/feed.xml")
    write_page(hosts.first.content, "harbour", "Boats at dawn.", access="members")
    await_text(hosts.first, b"dawn", "/pages/harbour", "/feed.xml", there=False)
    assert shown(hosts.second, "/pages/harbour", b"dawn") == {True}  # its own copy is as it was
    write_page(hosts.second.content, "harbour", "Boats at dawn.", access="members")
    for host in hosts.both:
        await_text(host, b"dawn", "/pages/harbour", "/feed.xml", there=False)


def test_page_with_a_date_to_come_appears_on_both_hosts_by_itself(hosts: Hosts) -> None:
    date = (utc_now() + timedelta(seconds=3)).isoformat()
    for host in hosts.both:
        write_page(host.content, "soon", "Later.", title="A page to come", date=date)
    for host in hosts.both:
        await_text(host, b"A page to come", "/", "/pages/", "/pages/soon")


def test_video_that_is_changed_on_one_host_is_changed_on_both(hosts: Hosts) -> None:
    places = ("/video/", "/", "/feed.xml")
    with hosts.app.app_context():
        video = add_ready("film", title="Tides", access_level="public")
    for host in hosts.both:
        await_text(host, b"Tides", *places)
    with hosts.app.app_context():
        videos.edit_video(video.ref, "Currents", "public", "", Actor(via="cli"))
    for host in hosts.both:
        await_text(host, b"Tides", *places, there=False)
        await_text(host, b"Currents", *places)
    with hosts.app.app_context():
        videos.delete_video(video.ref, Actor(via="cli"))
    for host in hosts.both:
        await_text(host, b"Currents", *places, there=False)


def test_session_that_is_ended_on_one_host_is_ended_on_both(hosts: Hosts) -> None:
    token = sign_in(hosts.app, add_user(hosts.app, "eve@church.example"))
    cookie = with_cookie(hosts.app.test_client(), token).get_cookie("church")
    assert cookie is not None
    headers = {"Cookie": f"church={cookie.value}", "Accept": "application/json"}

    def statuses(host: Host) -> set[int]:
        return {status for status, _ in host.answers("/auth/sessions", **headers)}

    assert [statuses(host) for host in hosts.both] == [{200}, {200}]
    with hosts.app.app_context():
        found = sessions.load(token)
        assert found is not None
        with db.write() as session:
            sessions.end(session, found.session_ref)
    assert statuses(hosts.first) == {401}  # at once: the host's other processes are told
    wait_until(lambda: statuses(hosts.second) == {401}, "the other host reads it again")


def enter(hosts: Hosts, host: Host) -> Line:
    line = Line(host.site.port)
    line.hear("welcome")
    line.sign_in(token_of(hosts.app, add_user(hosts.app, f"{secrets.token_hex(4)}@church.example")))
    line.enter("public")
    return line


def test_members_on_all_workers_of_both_hosts_see_each_other_and_all_messages_in_one_order(hosts: Hosts) -> None:
    with ExitStack() as stack:
        lines = [stack.enter_context(enter(hosts, host)) for _ in range(_LINES) for host in hosts.both]
        for line in lines:
            line.say("presence", room="public")
        for line in lines:
            line.hear("presence", lambda frame: frame["count"] == len(lines))
        for number, line in enumerate(lines):
            line.say("chat", room="public", message="Good morning", client_id=f"m{number}")
        for line in lines:
            while len(line.chats()) < len(lines):
                line.hear("chat")
        orders = [[frame["id"] for frame in line.chats()] for line in lines]
        assert orders == [sorted(set(orders[0]))] * len(lines)
