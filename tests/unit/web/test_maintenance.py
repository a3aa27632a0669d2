"""Maintenance mode, and requests that are refused before any view."""

from __future__ import annotations

import errno
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from church import create_app
from church.config import Settings
from church.database import migrations
from church.database.maintenance import Announcement, keep_copy, write_row
from church.extensions import db
from church.lib.files import make_private
from church.models.accounts import Role
from church.models.base import utc_now
from church.services import maintenance as service
from church.services.audit import Actor
from church.services.maintenance import make_announcement
from church.web import maintenance
from tests.support.forks import in_child
from tests.support.helpers import add_view
from tests.support.people import add_user, client_of
from tests.support.services_fixture import site_settings


@pytest.fixture
def site(tmp_path: Path) -> Settings:
    return site_settings(tmp_path)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(maintenance.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let requests wait for the row however slow the machine is."""
    monkeypatch.setattr(maintenance, "_PATIENCE", 60)


def begin(app: Flask, reason: str = "", minutes: int | None = None) -> None:
    """Close all hosts, from this process."""
    with app.app_context():
        maintenance.begin_for_all(make_announcement(reason, minutes), Actor(via="cli"))


def change_elsewhere(app: Flask, announcement: Announcement | None) -> None:
    """Change the row as another host does, and let a second pass."""
    with app.app_context(), db.write() as session:
        write_row(session, announcement)
    app.extensions["maintenance"]().read_again()


def restart(app: Flask) -> Flask:
    """The app in a new process."""
    return create_app(app.config["CHURCH"])


@contextmanager
def database_gone(settings: Settings) -> Iterator[None]:
    """Move the database away."""
    away = settings.instance / "away"
    (settings.instance / "church.db").rename(away)
    yield
    away.rename(settings.instance / "church.db")


# -- this host -------------------------------------------------------------------------------------------------------


def test_host_is_open_until_maintenance_is_turned_on(site: Settings) -> None:
    assert maintenance.find_on_host(site) is None
    maintenance.turn_on(site)
    assert maintenance.find_on_host(site) is not None
    assert maintenance.turn_off(site)
    assert maintenance.find_on_host(site) is None
    assert not maintenance.turn_off(site)


def test_host_closed_by_another_process_is_seen_within_a_second(site: Settings, clock: list[float]) -> None:
    assert maintenance.find_on_host(site) is None
    (site.instance / "maintenance").write_text("{}")
    clock[0] += 0.9
    assert maintenance.find_on_host(site) is None, "the file system is asked once a second at most"
    clock[0] += 0.2
    assert maintenance.find_on_host(site) is not None
    (site.instance / "maintenance").unlink()
    clock[0] += 1.1
    assert maintenance.find_on_host(site) is None


@pytest.mark.parametrize("content", ["", "{}", "[", "[]", "[" * 100_000, '{"until": "x"}', '{"until": 1e300}', "\x00"])
def test_host_file_with_any_content_closes_the_host(site: Settings, content: str) -> None:
    maintenance.turn_on(site)
    (site.instance / "maintenance").write_text(content)
    found = maintenance.find_on_host(site)
    assert found is not None
    assert maintenance.retry_after(found) == 300


def test_host_file_of_an_older_version_keeps_its_end(site: Settings) -> None:
    make_private(site.instance)
    (site.instance / "maintenance").write_text(json.dumps({"until": time.time() + 1800}))
    found = maintenance.find_on_host(site)
    assert found is not None
    assert 1790 <= maintenance.retry_after(found) <= 1800
    assert "It should be back by" in maintenance.describe(found)


def test_maintenance_of_one_host_leaves_another_open(tmp_path: Path) -> None:
    sites = []
    for name in "ab":
        (tmp_path / name).mkdir()
        sites.append(site_settings(tmp_path / name))
    maintenance.turn_on(sites[0])
    assert [maintenance.find_on_host(site) is not None for site in sites] == [True, False]


def test_maintenance_of_this_host_fails_ready_so_that_balancers_avoid_it(app: Flask, settings: Settings) -> None:
    maintenance.turn_on(settings)
    client = app.test_client()
    assert client.get("/").status_code == 503
    answer = client.get("/ready")
    assert (answer.status_code, answer.get_json()["status"]) == (503, "draining")
    assert answer.get_json()["reason"] == "this host is in maintenance"
    assert client.get("/health").status_code == 200
    maintenance.turn_off(settings)
    assert client.get("/ready").status_code == 200


def test_process_that_stops_fails_ready_and_serves_its_open_connections(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "_is_stopping", False)  # restores it
    maintenance.start_stopping()
    client = app.test_client()
    assert client.get("/ready").get_json()["reason"] == "this process is stopping"
    assert client.get("/").status_code == 200


# -- all hosts -------------------------------------------------------------------------------------------------------


def test_maintenance_closes_pages_but_not_machine_endpoints(app: Flask) -> None:
    called = []
    add_view(app, "/other", lambda: called.append(1) or "in")
    client = app.test_client()
    begin(app, minutes=2)
    answers = {path: client.get(path) for path in ("/", "/other", "/nowhere", "/health", "/ready", "/metrics")}
    statuses = {path: answer.status_code for path, answer in answers.items()}
    assert statuses == {"/": 503, "/other": 503, "/nowhere": 503, "/health": 200, "/ready": 200, "/metrics": 200}
    assert 60 <= int(answers["/"].headers["Retry-After"]) <= 120
    assert "under maintenance" in answers["/"].text
    assert answers["/ready"].get_json()["maintenance"] is True
    assert client.get("/static/css/site.css", buffered=True).status_code == 200
    assert called == []
    with app.app_context():
        assert maintenance.end_for_all(Actor(via="cli"))
    assert client.get("/other").text == "in"


def test_maintenance_begun_and_ended_by_another_host_is_seen(app: Flask) -> None:
    client = app.test_client()
    assert client.get("/").status_code == 200
    change_elsewhere(app, make_announcement("", None))
    assert client.get("/").status_code == 503
    change_elsewhere(app, None)
    assert client.get("/").status_code == 200


def test_row_is_read_once_a_second_and_not_for_each_request(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    load = service.load_announcement
    monkeypatch.setattr(service, "load_announcement", lambda: reads.append(1) or load())
    watch = app.extensions["maintenance"]()
    watch.find()
    monkeypatch.setattr(watch, "_checked", time.monotonic() + 3600)  # it stays fresh on a slow machine
    client = app.test_client()
    for _ in range(20):
        client.get("/")
    assert reads == [1]
    watch.read_again()
    client.get("/")
    assert reads == [1, 1]


def test_reading_that_began_before_a_change_of_this_process_does_not_undo_it(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = app.extensions["maintenance"]()
    watch.find()
    answered = threading.Event()
    monkeypatch.setattr(service, "load_announcement", lambda: answered.wait(60) and None)
    reading = watch._start()
    watch.set(Announcement("New disks"))
    answered.set()
    assert reading.wait(60)
    monkeypatch.setattr(watch, "_checked", time.monotonic() + 3600)
    assert watch.find() == watch._announcement
    assert watch.find() is not None


def test_database_that_hangs_holds_up_only_the_first_request(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(app)
    watch = app.extensions["maintenance"]()
    assert watch.find() is not None
    answered, waits = threading.Event(), []
    wait = threading.Event.wait

    def record(event: threading.Event, seconds: float | None = None) -> bool:
        waits.append(seconds)
        return wait(event, seconds)

    monkeypatch.setattr(service, "load_announcement", lambda: answered.wait(60) and None)
    monkeypatch.setattr(maintenance, "_PATIENCE", 0.01)
    watch.read_again()
    reading = watch._start()
    monkeypatch.setattr(threading.Event, "wait", record)
    try:
        found = [watch.find() is not None for _ in range(5)]
    finally:
        answered.set()
    assert found == [True] * 5, "what was known last stays"
    assert waits.count(0.01) == 1
    wait(reading, 60)
    assert watch.find() is None


def test_site_closed_stays_closed_while_its_database_is_down(app: Flask, settings: Settings) -> None:
    begin(app, "Moving house", 30)
    with database_gone(settings):
        for process in (app, restart(app)):
            process.extensions["maintenance"]().read_again()
            answer = process.test_client().get("/")
            assert (answer.status_code, "Moving house" in answer.text) == (503, True)
            assert maintenance.find_state(process).remembered
    assert restart(app).test_client().get("/").status_code == 503


def test_site_closed_by_another_process_of_the_host_stays_closed_without_database(
    app: Flask, settings: Settings
) -> None:
    client = app.test_client()
    assert client.get("/").status_code == 200
    keep_copy(settings, make_announcement("Moving house", None))
    with database_gone(settings):
        app.extensions["database"]().engines.dispose()
        app.extensions["maintenance"]().read_again()
        assert "Moving house" in client.get("/").text


@pytest.mark.parametrize(("at_start", "now", "status"), [("Moving house", None, 200), (None, "Moving house", 503)])
def test_worker_forked_without_database_goes_by_what_the_host_heard_last(
    app: Flask, settings: Settings, at_start: str | None, now: str | None, status: int
) -> None:
    def announce(reason: str | None) -> None:
        keep_copy(settings, make_announcement(reason, None) if reason else None)

    announce(at_start)
    parent = restart(app)
    with maintenance.unwatched(parent):  # as gunicorn's master asks for pages before it forks
        parent.test_client().get("/")
    announce(now)
    with database_gone(settings):
        assert in_child(lambda: parent.test_client().get("/").status_code) == status


def test_site_opened_meanwhile_is_open_after_a_restart_without_database(app: Flask, settings: Settings) -> None:
    begin(app)
    change_elsewhere(app, None)
    client = app.test_client()
    assert client.get("/").status_code == 200
    with database_gone(settings):
        assert restart(app).test_client().get("/").status_code == 200


def test_site_closed_stays_closed_before_its_migration(app: Flask, settings: Settings) -> None:
    begin(app)
    migrations.downgrade(settings, "0006")
    assert restart(app).test_client().get("/").status_code == 503


def test_copy_on_a_full_disk_leaves_the_row_in_force(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(maintenance, "keep_copy", refuse)
    begin(app)
    assert app.test_client().get("/").status_code == 503


@pytest.mark.parametrize(
    ("reason", "minutes", "words"),
    [
        ("", None, "The site is under maintenance. It is not known yet when it will be back."),
        ("New disks.", 30, "The site is under maintenance: New disks. It should be back by "),
        ("New <b>disks</b>", None, "The site is under maintenance: New &lt;b&gt;disks&lt;/b&gt;. "),
    ],
)
def test_visitors_see_reason_and_announced_end(app: Flask, reason: str, minutes: int | None, words: str) -> None:
    begin(app, reason, minutes)
    assert words in app.test_client().get("/").text


def test_site_past_its_announced_end_stays_closed_and_says_so(app: Flask) -> None:
    change_elsewhere(app, Announcement(until=utc_now() - timedelta(minutes=5)))
    answer = app.test_client().get("/")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "60")
    assert "It takes longer than announced." in answer.text
    assert "It should be back" not in answer.text


def test_admins_get_in_during_maintenance_and_others_do_not(app: Flask) -> None:
    admin, member = add_user(app, role=Role.ADMIN.value), add_user(app, "eve@church.example")
    begin(app)
    assert client_of(app, admin).get("/admin/").status_code == 200
    assert client_of(app, admin).get("/").status_code == 503
    assert client_of(app, member).get("/admin/").status_code == 403
    stranger = app.test_client()
    assert stranger.get("/admin/maintenance").headers["Location"] == "/auth/login?next=%2Fadmin%2Fmaintenance"
    assert stranger.get("/auth/login").status_code == 200
    assert stranger.get("/auth/register").status_code == 503


# -- malformed requests ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["gzip", "identity", ""])
def test_body_compressed_is_refused(client: FlaskClient, encoding: str) -> None:
    answer = client.post("/pages/", data=b"x", headers={"Content-Encoding": encoding})
    assert answer.status_code == 415


def test_request_without_a_valid_host_is_refused(app: Flask) -> None:
    def call(**environ: str) -> int:
        base: dict[str, Any] = {
            "PATH_INFO": "/health",
            "REQUEST_METHOD": "GET",
            "SERVER_NAME": "x",
            "SERVER_PORT": "80",
        }
        base |= {"wsgi.url_scheme": "http", "SERVER_PROTOCOL": "HTTP/1.1", **environ}
        seen = []
        list(app.wsgi_app(base, lambda status, _headers, _exc=None: seen.append(status)))
        return int(seen[0][:3])

    assert call() == 400
    assert call(HTTP_HOST="church.example") == 200
    assert call(SERVER_PROTOCOL="HTTP/1.0") == 200
