"""The operator's commands: output and exit codes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from church import doctor, jobs
from church.cli import church
from church.database import migrations
from church.extensions import db
from church.models.jobs import Job, JobState
from church.server.supervisor import Plan


@pytest.fixture
def run(app, settings, monkeypatch):
    monkeypatch.setenv("CHURCH_INSTANCE", str(settings.instance))
    monkeypatch.setenv("CHURCH_LOG_DIR", str(settings.log_dir))
    monkeypatch.setattr(doctor, "CHECK_TIMEOUT", 120.0)
    settings.log_dir.mkdir(exist_ok=True)

    def invoke(*words: str) -> Result:
        from flask.cli import ScriptInfo

        return CliRunner().invoke(church, words, obj=ScriptInfo(create_app=lambda: app))

    return invoke


def test_commands_invalid_setting_fail_with_its_name(run, monkeypatch):
    monkeypatch.setenv("WEB_CONCURRENCY", "many")
    for command in (["migrate"], ["maintenance", "on", "--this-host"], ["run"]):
        result = run(*command)
        assert result.exit_code == 1
        assert "WEB_CONCURRENCY: got 'many'" in result.output


def test_doctor_invalid_setting_fails_with_its_name(run, monkeypatch):
    monkeypatch.setenv("CHURCH_LIMIT_PAGE", "lots")
    result = run("doctor")
    assert result.exit_code == 1
    assert result.output.startswith("Failed   settings       CHURCH_LIMIT_PAGE")


def test_doctor_migrated_site_has_no_failure_and_exits_0(run):
    result = run("doctor")
    lines = {line.split()[1]: line.split()[0] for line in result.output.splitlines()}
    assert result.exit_code == 0, result.output
    assert lines["database"] == "OK"
    assert lines["store"] == "Warning"  # none runs in this test
    assert "Failed" not in lines.values()


def test_doctor_missing_database_fails(run, settings):
    (settings.instance / "church.db").unlink()
    result = run("doctor")
    assert result.exit_code == 1
    assert any(line.startswith("Failed") and "database" in line for line in result.output.splitlines())


def test_migrate_prints_the_revision(run):
    assert run("migrate").output == f"Database is at revision {migrations.head_revision()}.\n"


def test_downgrade_to_an_unknown_revision_names_the_known_ones(run):
    result = run("downgrade", "9999")
    assert result.exit_code == 1
    assert "There is no revision 9999. The revisions are base, 0001, 0002, " in result.output


def test_downgrade_removes_tables_and_migrate_restores_them(run, client, monkeypatch):
    monkeypatch.setattr("church.database.Database.probe.__defaults__", (0.0,))
    assert run("downgrade", "base").exit_code == 0
    assert client.get("/ready").status_code == 503
    assert run("migrate").exit_code == 0
    assert client.get("/ready").status_code == 200


def test_migrate_new_database_is_private_and_umask_is_restored(run, settings):
    for path in settings.instance.iterdir():
        path.unlink()
    settings.instance.rmdir()
    before = os.umask(0o022)
    try:
        assert run("migrate").exit_code == 0
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)
    made = [settings.instance, *settings.instance.rglob("*")]
    assert settings.instance / "church.db" in made
    assert [path for path in made if path.stat().st_mode & 0o077] == []


def test_index_reports_changed_entries_then_up_to_date(run, app, tmp_path: Path):
    first = run("index")
    assert first.exit_code == 0
    assert int(first.output.removeprefix("Updated ").split()[0]) >= 10
    assert run("index").output == "Search index is up to date.\n"


def test_jobs_lists_dead_jobs_and_retries_one(run, app):
    with app.app_context():
        with db.write() as session:
            jobs.enqueue(session, "jobs.purge", {})
        with db.write() as session:
            job = session.query(Job).filter_by(kind="jobs.purge").one()
            job.state, job.error, job.attempts = JobState.DEAD.value, "ValueError: of old", 5
            number = job.id
    listed = run("jobs")
    assert listed.exit_code == 0
    assert f"{number}" in listed.output
    assert "after 5 attempts: ValueError: of old" in listed.output
    assert run("jobs", "--retry", str(number)).output == f"Job {number} is queued again.\n"
    assert run("jobs").output == ""
    assert run("jobs", "--retry", "999").exit_code == 1


def test_restore_prints_where_replaced_data_is_kept(run, tmp_path: Path, settings, monkeypatch):
    content = tmp_path / "content"
    content.mkdir()
    (content / "one.md").write_text("---\ntitle: One\nsummary: s\ndate: 2026-01-01\naccess: public\n---\ntext\n")
    monkeypatch.setenv("CHURCH_CONTENT", str(content))
    file = tmp_path / "site.tar.gz"
    assert "It has no videos and no secrets" in run("backup", str(file)).output
    refused = run("restore", str(file))
    assert refused.exit_code == 1
    assert refused.output.startswith("Error: ")
    done = run("restore", str(file), "--force")
    assert done.exit_code == 0, done.output
    assert "Replaced data is kept in " in done.output
    assert "Sign-ins ended: 0." in done.output


def test_run_becomes_the_supervisor_of_what_it_has_prepared(run, monkeypatch, tmp_path, settings):
    """The link for the first admin is a secret: it is neither in the command line nor in the environment."""
    env_file = tmp_path / "env"
    env_file.write_text("CHURCH_SITE_NAME=Of the file\nOTEL_SERVICE_NAME=seen\n")
    copied = {"CHURCH_SITE_NAME": "Of the file", "OTEL_SERVICE_NAME": "seen"}  # by Flask, into the environment
    for name, value in {"CHURCH_ENV_FILE": str(env_file), **copied}.items():
        monkeypatch.setenv(name, value)
    became = []

    def replace(program, command, environment):
        became.append((program, command, environment))
        raise SystemExit(0)  # a process that is replaced goes no further

    monkeypatch.setattr("os.execve", replace)
    printed = run("run").output
    [(program, command, environment)] = became
    with open(int(command[3])) as file:
        plan = Plan.from_json(file.read())
    assert (program, command[1:3]) == (sys.executable, ["-m", "church.server.supervisor"])
    assert [child.name for child in plan.children] == ["store", "web", "till", "observe"]
    assert all(line in printed for line in plan.lines)
    link = next(word for word in plan.lines[-1].split() if "/auth/first-admin/" in word)
    assert link not in " ".join([*command, *environment.values()])
    assert (environment["CHURCH_INSTANCE"], environment["OTEL_SERVICE_NAME"]) == (str(settings.instance), "seen")
    assert "CHURCH_SITE_NAME" not in environment  # a reload reads the file again
