"""Deployment and token commands, and the import of a real repository."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from flask import Flask
from flask.cli import ScriptInfo
from sqlalchemy import select

from church.cli import church
from church.extensions import db
from church.models import DeliveredCommit, Deployment
from tests.support.delivery_fixture import Repository
from tests.support.programs import needing

Run = Callable[..., Result]


@pytest.fixture
def run(app: Flask) -> Iterator[Run]:
    def invoke(*words: str) -> Result:
        return CliRunner().invoke(church, list(words), obj=ScriptInfo(create_app=lambda: app))

    with app.app_context():
        yield invoke
        db.dispose()


@pytest.fixture
@needing("git")
def repository(tmp_path: Path) -> Repository:
    folder = tmp_path / "repository"
    folder.mkdir()
    return Repository(folder)


def deployments() -> list[tuple[str, str, list[float]]]:
    """Version, kind and lead times in hours of each deployment, oldest first."""
    with db.read() as session:
        rows = session.scalars(select(Deployment).order_by(Deployment.finished_at)).all()
        leads = session.execute(select(DeliveredCommit.deployment_id, DeliveredCommit.lead_seconds)).all()
    return [(row.version or "", row.kind, sorted(s / 3600 for d, s in leads if d == row.id)) for row in rows]


def test_record_deployment_once_and_invalid_fields_are_named(run: Run) -> None:
    words = ("deploy", "record", "d1", "--environment", "staging", "--kind", "hotfix", "--version", "1.0")
    assert run(*words).output == "Recorded deployment d1.\n"
    assert run(*words).output == "Deployment d1 is already recorded; nothing changed.\n"
    assert deployments() == [("1.0", "hotfix", [])]
    wrong = run("deploy", "record", "d2", "--environment", "moon", "--finished-at", "tomorrow")
    assert wrong.exit_code == 1
    assert "environment moon: This must be one of: production, staging." in wrong.output
    assert "finished_at tomorrow: This must be a time" in wrong.output


def test_import_git_each_main_line_commit_is_a_deployment(run: Run, repository: Repository) -> None:
    words = ("deploy", "import", "git", str(repository.folder), "--environment", "production")
    assert run(*words).output == "3 deployments with 5 commits found, 3 new.\n"
    assert deployments() == [("", "normal", [0]), ("", "normal", [0, 1, 2]), ("", "hotfix", [0])]
    repository.commit("more")
    assert run(*words).output == "4 deployments with 6 commits found, 1 new.\n"
    assert run(*words[:-1], "moon").exit_code == 1
    assert run(*words, "--since", "2024-03-04").output.startswith("3 deployments")  # from that day's midnight in UTC
    assert run(*words, "--since", "soon").exit_code == 1


def test_import_git_each_tag_is_a_deployment_since_the_previous_tag(run: Run, repository: Repository) -> None:
    words = ("deploy", "import", "git", str(repository.folder), "--environment", "production", "--tags", "v*")
    assert run(*words).output == "2 deployments with 5 commits found, 2 new.\n"
    assert deployments() == [("v1", "normal", [0]), ("v2", "normal", [0, 1, 2, 3])]
    assert run(*words, "--since", "soon").exit_code == 1
    assert run(*words, "--since", "2024-03-05").output.startswith("0 deployments")


def test_import_git_no_repository_or_option_as_branch_is_refused(
    run: Run, repository: Repository, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    refused = run("deploy", "import", "git", str(tmp_path / "empty"), "--environment", "production")
    assert (refused.exit_code, "not a git repository" in refused.output) == (1, True)
    written = tmp_path / "written"
    hostile = run(
        "deploy", "import", "git", str(repository.folder), "--environment", "production", f"--branch=--output={written}"
    )
    assert hostile.exit_code == 1
    assert not written.exists()


def test_token_is_shown_once_then_listed_and_revoked(run: Run) -> None:
    made = run("token", "create", "CI of the site", "--scope", "delivery:write")
    token, note = made.output.splitlines()
    ref = token.split("_")[1]
    assert (token.startswith("church_"), ref in note) == (True, True)
    listed = run("token", "list").output
    assert all(words in listed for words in (ref, "active", "delivery:write", "CI of the site"))
    assert token not in listed
    assert run("token", "revoke", ref).exit_code == 0
    assert "revoked" in run("token", "list").output
    assert run("token", "revoke", ref).exit_code == 1
    wrong = run("token", "create", "x", "--scope", "dora:read", "--scope", "all")
    assert wrong.exit_code == 1
    assert "There is no scope all. The scopes are metrics:read, delivery:write, dora:read." in wrong.output
