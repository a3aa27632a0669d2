"""The command that closes and opens the site."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest
from click.testing import CliRunner, Result
from flask import Flask
from flask.cli import ScriptInfo
from flask.testing import FlaskClient

from church.cli import church
from church.config import Settings
from church.database.engines import sqlite_path
from church.web import maintenance
from tests.support.browsing import list_audit_actions

Run = Callable[..., Result]


@pytest.fixture
def run(app: Flask, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``flask church maintenance …``."""
    monkeypatch.setenv("CHURCH_INSTANCE", str(settings.instance))
    monkeypatch.setattr(maintenance, "_PATIENCE", 60)

    def invoke(*words: str) -> Result:
        info = ScriptInfo(create_app=lambda: app)
        return CliRunner().invoke(church, ["maintenance", *words], obj=info)

    return invoke


def lose_database(settings: Settings) -> None:
    for file in settings.instance.glob("church.db*"):
        file.unlink()


def test_maintenance_on_closes_pages_but_not_health(run: Run, app: Flask, client: FlaskClient) -> None:
    done = run("on", "--minutes", "7", "--reason", "New disks")
    assert (done.exit_code, done.output) == (0, "Maintenance is on, on all hosts.\n")
    closed = client.get("/pages/")
    assert (closed.status_code, "New disks" in closed.text) == (503, True)
    assert 0 < int(closed.headers["Retry-After"]) <= 7 * 60
    assert client.get("/health").status_code == client.get("/metrics").status_code == 200
    assert run("off").output == "Maintenance is off.\n"
    assert client.get("/pages/").status_code == 200
    assert list_audit_actions(app) == ["maintenance.begun", "maintenance.ended"]


def test_maintenance_of_this_host_needs_no_database(run: Run, settings: Settings, client: FlaskClient) -> None:
    lose_database(settings)
    assert run("on", "--this-host", "--minutes", "7").exit_code == 0
    assert client.get("/pages/").status_code == 503
    assert run("off", "--this-host").exit_code == 0
    assert client.get("/pages/").status_code == 200


def test_maintenance_without_the_database_names_the_way_that_works(run: Run, settings: Settings) -> None:
    lose_database(settings)
    done = run("on")
    assert (done.exit_code, "--this-host" in done.output) == (1, True)


def test_maintenance_off_opens_this_host_even_without_the_database(run: Run, settings: Settings) -> None:
    run("on", "--this-host")
    lose_database(settings)
    assert run("off").exit_code == 1
    assert maintenance.find_on_host(settings) is None


def test_maintenance_off_opens_a_host_that_an_older_version_closed(run: Run, settings: Settings) -> None:
    (settings.instance / "maintenance").write_text('{"until": null}')
    assert run("off").exit_code == 0
    assert maintenance.find_on_host(settings) is None


def test_maintenance_status_shows_both_announcements(run: Run, settings: Settings, app: Flask) -> None:
    assert run("status").output == "All hosts: off\nThis host: off\n"
    run("on", "--reason", "New disks", "--minutes", "5")
    run("on", "--this-host")
    every, here = run("status").output.splitlines()
    assert every.startswith("All hosts: on since ")
    assert every.endswith(" UTC: New disks")
    assert here.endswith(", no end announced")
    lose_database(settings)
    with app.app_context():
        app.extensions["maintenance"]().read_again()
        app.extensions["database"]().engines.dispose()
    assert "this is what this host heard last" in run("status").output


@pytest.mark.parametrize("state", ["on", "off"])
def test_maintenance_with_a_database_older_than_the_site_says_so(run: Run, settings: Settings, state: str) -> None:
    with closing(sqlite3.connect(sqlite_path(settings))) as database:
        database.execute("DROP TABLE maintenance")
    done = run(state)
    assert done.exit_code == 1
    assert "run flask church migrate" in done.output


@pytest.mark.parametrize("words", [("off", "--minutes", "5"), ("status", "--reason", "x"), ("on", "--minutes", "0")])
def test_maintenance_with_options_that_make_no_sense_is_refused(run: Run, words: tuple[str, ...]) -> None:
    assert run(*words).exit_code == 2


def test_maintenance_reason_too_long_is_refused(run: Run) -> None:
    done = run("on", "--reason", "x" * 201)
    assert (done.exit_code, "at most 200 characters" in done.output) == (2, True)
