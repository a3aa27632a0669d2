"""``flask church …``: what an operator types."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from flask.cli import AppGroup, ScriptInfo, pass_script_info

from church import backup as backups
from church import maintenance as maintenances
from church import migrations, supervisor
from church.config import ConfigError, Settings, load_settings
from church.doctor import examine

church = AppGroup("church", help="Run and look after the site.")


def _settings() -> Settings:
    try:
        return load_settings()
    except ConfigError as error:
        raise click.ClickException(f"The site can't start with these settings:\n{error}") from None


@church.command(with_appcontext=False)
def run() -> None:
    """Prepare the instance, then run web, worker and store until one signal stops them all."""
    settings = _settings()
    prepare(settings)
    click.echo(f"{settings.site_name}: {settings.origin}")
    sys.exit(supervisor.run(settings))


def prepare(settings: Settings) -> None:
    """Folders, and the database at the head of its migrations."""
    for folder in (settings.instance, settings.log_dir):
        folder.mkdir(parents=True, exist_ok=True)
    migrations.migrate(settings)


@church.command(with_appcontext=False)
def migrate() -> None:
    """Bring the database to the head of the migrations."""
    settings = _settings()
    prepare(settings)
    click.echo(f"The database is at {migrations.head()}.")


@church.command(with_appcontext=False)
@click.argument("revision")
def downgrade(revision: str) -> None:
    """Take the database back to REVISION, as the rollback of an upgrade asks."""
    migrations.downgrade(_settings(), revision)
    click.echo(f"The database is at {revision}.")


@church.command(with_appcontext=False)
@pass_script_info
def index(info: ScriptInfo) -> None:
    """Make the search agree with the content folder."""
    from church.extensions import db
    from church.services import pages

    with info.load_app().app_context():
        changed = pages.site_pages().reindex(db)
        click.echo(f"{changed} entries of the search changed.")
        for problem in pages.site_pages().problems():
            click.echo(f"left out: {problem}", err=True)


@church.command(with_appcontext=False)
@pass_script_info
def work(info: ScriptInfo) -> None:
    """Do the queued and scheduled jobs until told to stop."""
    from church import jobs, telemetry

    telemetry.start_process(_settings(), "work")
    try:
        jobs.work(info.load_app())
    finally:
        telemetry.end_process()


@church.command(with_appcontext=False)
def doctor() -> None:
    """Look at everything the site leans on; exit 1 if something fails."""
    try:
        checks = examine(load_settings())
    except ConfigError as error:
        for line in str(error).splitlines():
            click.echo(f"fail  settings       {line}")
        sys.exit(1)
    for check in checks:
        fix = f" → {check.fix}" if check.fix and check.state != "ok" else ""
        click.echo(f"{check.state:5} {check.name:14} {check.finding}{fix}")
    sys.exit(any(check.state == "fail" for check in checks))


@church.command(with_appcontext=False)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def backup(file: Path) -> None:
    """Write a consistent snapshot of database and content to FILE, while the site runs."""
    backups.backup(_settings(), file)
    click.echo(f"{file}: {file.stat().st_size:,} bytes. It holds no secrets: keep those apart.")


@church.command(with_appcontext=False)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--force", is_flag=True, help="Replace a database that is not empty.")
def restore(file: Path, force: bool) -> None:
    """Put the database and content of FILE in place; stop the site first."""
    backups.restore(_settings(), file, force=force)
    click.echo(f"Restored from {file}.")


@church.command(with_appcontext=False)
@click.argument("state", type=click.Choice(["on", "off"]))
@click.option("--minutes", type=click.IntRange(1, 24 * 60), help="How long it will take, told by Retry-After.")
def maintenance(state: str, minutes: int | None) -> None:
    """Shut the site for visitors, or open it again; health, metrics and webhooks go on."""
    settings = _settings()
    if state == "on":
        maintenances.turn_on(settings, minutes)
    else:
        maintenances.turn_off(settings)
    click.echo(f"Maintenance is {state}.")
