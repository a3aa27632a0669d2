"""``flask church token``: a secret is shown once, and a revoked token is listed as such."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result
from flask import Flask
from flask.cli import ScriptInfo

from church.cli.token import token_commands
from church.services import machine_tokens

Run = Callable[..., Result]


@pytest.fixture
def run(app: Flask) -> Run:
    """Run a command of the group."""
    return lambda *words: CliRunner().invoke(token_commands, words, obj=ScriptInfo(create_app=lambda: app))


def test_create_prints_the_token_alone_on_stdout(run: Run, app: Flask) -> None:
    result = run("create", "prometheus", "--scope", "metrics:read", "--scope", "dora:read", "--scope", "dora:read")
    token = result.stdout.removesuffix("\n")
    assert token.startswith("church_")
    assert "for metrics:read, dora:read. It can't be shown again." in result.stderr
    assert token not in result.stderr
    with app.app_context():
        assert [found.name for found in machine_tokens.list_tokens()] == ["prometheus"]


def test_create_needs_a_scope(run: Run) -> None:
    result = run("create", "prometheus")
    assert result.exit_code == 2
    assert "--scope" in result.output


def test_list_shows_no_secret_and_the_state(run: Run) -> None:
    token = run("create", "prometheus", "--scope", "metrics:read").stdout.strip()
    ref, secret = token.split("_")[1], token.split("_")[-1]
    listed = run("list").output
    assert ref in listed
    assert "active" in listed
    assert secret not in listed
    assert run("revoke", ref).output == f"Revoked token {ref}.\n"
    assert "revoked 20" in run("list").output
