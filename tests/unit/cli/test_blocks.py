"""The commands that block networks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result
from flask import Flask
from flask.cli import ScriptInfo

from church.cli import church
from church.config import Settings
from church.services.blocks import read_copy
from tests.support.browsing import list_audit_actions

Run = Callable[..., Result]


@pytest.fixture
def run(app: Flask, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``flask church …``."""
    monkeypatch.setenv("CHURCH_INSTANCE", str(settings.instance))

    def invoke(*words: str) -> Result:
        return CliRunner().invoke(church, list(words), obj=ScriptInfo(create_app=lambda: app))

    return invoke


def copied(settings: Settings) -> list[str]:
    found = read_copy(settings)
    return [network for network, _ in found.networks] if found is not None else []


def test_network_is_blocked_listed_and_unblocked(run: Run, app: Flask, settings: Settings) -> None:
    assert run("block", "203.0.113.7/24", "--reason", "Guesses passwords").output == "203.0.113.0/24 is blocked.\n"
    assert run("block", "2001:db8::7", "--until", "2026-12-01T10:00", "--hours", "3").exit_code == 2
    assert copied(settings) == ["203.0.113.0/24"]
    assert run("blocks").output.rstrip().endswith("UTC: Guesses passwords")
    assert run("unblock", "203.0.113.0/24").output == "203.0.113.0/24 is no longer blocked.\n"
    assert (copied(settings), run("blocks").output) == ([], "")
    assert list_audit_actions(app) == ["network.blocked", "network.unblocked"]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("block", "nobody"), "Enter an IP address"),
        (("block", "127.0.0.1"), "the server itself"),
        (("block", "203.0.113.7", "--hours", "99999999999"), "within the next 366 days"),
        (("block", "203.0.113.7", "--until", "2020-01-01"), "within the next 366 days"),
        (("unblock", "203.0.113.7"), "203.0.113.7/32 is not blocked"),
        (("unblock", "nobody"), "Enter an IP address"),
    ],
)
def test_command_that_cannot_be_done_says_why(run: Run, words: tuple[str, ...], problem: str) -> None:
    done = run(*words)
    assert (done.exit_code, problem in done.output) == (1, True)


def test_network_is_unblocked_on_this_host_while_the_database_is_gone(run: Run, app: Flask, settings: Settings) -> None:
    run("block", "203.0.113.7")
    for file in settings.instance.glob("church.db*"):
        file.unlink()
    with app.app_context():
        app.extensions["database"]().engines.dispose()
    assert "Unblocked on this host" in run("unblock", "203.0.113.7").output
    assert copied(settings) == []
    assert run("unblock", "203.0.113.7").exit_code == 1
    assert run("block", "203.0.113.7").exit_code == 1
