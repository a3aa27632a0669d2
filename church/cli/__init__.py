"""``flask church …``: what an operator types. Each command loads what it needs, so that the site starts quickly."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click
from flask.cli import AppGroup, ScriptInfo, pass_script_info

from church.cli.deploy import deploy_commands
from church.cli.slo import slo_commands
from church.cli.stripe import stripe_commands
from church.cli.token import token_commands
from church.cli.users import user_commands
from church.cli.video import video_commands
from church.config import ConfigError, load_settings
from church.lib.folders import UMASK, make_private


class _Commands(AppGroup):
    """What a command makes is its user's alone; what an operator can mend is told in a line, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        before = os.umask(UMASK)
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            raise click.ClickException(f"The site can't start with these settings:\n{error}") from None
        except OSError as error:
            raise click.ClickException(str(error)) from None
        except Exception as error:
            if _is_the_operators(error):
                raise click.ClickException(str(error).splitlines()[0]) from None
            raise
        finally:
            os.umask(before)


def _is_the_operators(error: Exception) -> bool:
    from sqlalchemy.exc import DBAPIError

    from church.backup import BackupError
    from church.errors import ChurchError

    return isinstance(error, BackupError | ChurchError | DBAPIError)


church = _Commands("church", help="Run and look after the site.")
church.add_command(deploy_commands)
church.add_command(slo_commands)
church.add_command(stripe_commands)
church.add_command(token_commands)
church.add_command(user_commands)
church.add_command(video_commands)


@church.command(with_appcontext=False)
def run() -> None:
    """Prepare the instance, then run web, worker and store until one signal stops them all."""
    from church.server import supervisor
    from church.server.announce import announcements
    from church.server.prepare import prepare

    settings = load_settings()
    app = prepare(settings)
    for line in (f"{settings.site_name}: {settings.origin}", *announcements(settings, app)):
        click.echo(line)
    sys.exit(supervisor.run(settings))


@church.command(with_appcontext=False)
def migrate() -> None:
    """Bring the database to the head of the migrations, making it if it is not there."""
    from church.database import migrations

    settings = load_settings()
    make_private(settings.instance)
    migrations.migrate(settings)
    click.echo(f"The database is at {migrations.head()}.")


@church.command(with_appcontext=False)
@click.argument("revision")
def downgrade(revision: str) -> None:
    """Take the database back to REVISION, as the rollback of an upgrade asks."""
    from church.database import migrations

    migrations.downgrade(load_settings(), revision)
    click.echo(f"The database is at {revision}.")


@church.command(with_appcontext=False)
@pass_script_info
def index(info: ScriptInfo) -> None:
    """Make the search agree with the content folder."""
    from church.server import prepare

    click.echo(f"{prepare.index(info.load_app())} entries of the search changed.")


@church.command(with_appcontext=False)
@pass_script_info
def work(info: ScriptInfo) -> None:
    """Do the queued and scheduled jobs until told to stop."""
    from church import jobs, telemetry
    from church.services import pages

    telemetry.start_process(load_settings(), "work")
    try:
        app = info.load_app()
        pages.queue_index(app)  # the pages may have changed while nobody looked
        jobs.work(app)
    finally:
        telemetry.end_process()


@church.command(with_appcontext=False)
@click.option("--retry", type=int, metavar="ID", help="Put this dead job back into the queue.")
@pass_script_info
def jobs(info: ScriptInfo, retry: int | None) -> None:
    """List the jobs that are dead and why, or retry one."""
    from church import jobs as queue

    with info.load_app().app_context():
        if retry is None:
            for job in queue.dead():
                click.echo(f"{job.id:8} {job.kind:20} after {job.attempts} attempts: {job.error}")
        elif queue.retry(retry):
            click.echo(f"Job {retry} is pending again.")
        else:
            raise click.ClickException(f"There is no dead job {retry}, or the same work is queued already.")


@church.command(with_appcontext=False)
def doctor() -> None:
    """Look at everything the site leans on; exit 1 if something fails."""
    from church.doctor import examine

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
    from church import backup as backups

    backups.backup(load_settings(), file)
    click.echo(f"{file}: {file.stat().st_size:,} bytes. It holds no secrets: keep those apart.")


@church.command(with_appcontext=False)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--force", is_flag=True, help="Replace a database that is not empty.")
def restore(file: Path, force: bool) -> None:
    """Put the database and content of FILE in place; stop the site first."""
    from church import backup as backups

    restored = backups.restore(load_settings(), file, force=force)
    click.echo(f"Restored from {file}. Its {restored.ended} sign-ins were ended, and its mailed links lead nowhere.")
    for kept in restored.kept:
        click.echo(f"What was there before is kept as {kept}.")


@church.command(with_appcontext=False)
@click.argument("state", type=click.Choice(["on", "off"]))
@click.option("--minutes", type=click.IntRange(1, 24 * 60), help="How long it will take, told by Retry-After.")
def maintenance(state: str, minutes: int | None) -> None:
    """Shut the site for visitors, or open it again; health, metrics and webhooks go on."""
    from church.web import maintenance as web_maintenance

    if state == "on":
        web_maintenance.turn_on(load_settings(), minutes)
    else:
        web_maintenance.turn_off(load_settings())
    click.echo(f"Maintenance is {state}.")
