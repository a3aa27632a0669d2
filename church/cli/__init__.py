"""``flask church …``: the operator's commands. Each imports only what it needs, so that it starts quickly."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click
from flask.cli import AppGroup, ScriptInfo, pass_script_info

from church.cli.blocks import block, blocks, unblock
from church.cli.deploy import deploy_commands
from church.cli.maintenance import maintenance
from church.cli.slo import slo_commands
from church.cli.stripe import stripe_commands
from church.cli.token import token_commands
from church.cli.users import user_commands
from church.cli.video import video_commands
from church.cli.watch import errors, logs, top
from church.config import ConfigError, load_settings
from church.lib.files import UMASK, make_private

_MOST_LEFT_OUT = 20
_STATES = {"ok": "OK", "warn": "Warning", "fail": "Failed"}


class _Commands(AppGroup):
    """Create files for this user only, and show errors that an operator can fix in one line, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        before = os.umask(UMASK)
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            raise click.ClickException(f"The site can't start with these settings:\n{error}") from None
        except OSError as error:
            raise click.ClickException(str(error)) from None
        except Exception as error:
            if _is_operator_error(error):
                raise click.ClickException(str(error).splitlines()[0]) from None
            raise
        finally:
            os.umask(before)


def _is_operator_error(error: Exception) -> bool:
    from sqlalchemy.exc import DBAPIError

    from church.backup import BackupError
    from church.errors import ChurchError

    return isinstance(error, BackupError | ChurchError | DBAPIError)


church = _Commands("church", help="Run and manage the site.")
church.add_command(block)
church.add_command(blocks)
church.add_command(unblock)
church.add_command(deploy_commands)
church.add_command(maintenance)
church.add_command(slo_commands)
church.add_command(stripe_commands)
church.add_command(token_commands)
church.add_command(user_commands)
church.add_command(video_commands)
church.add_command(logs)
church.add_command(errors)
church.add_command(top)


@church.command(with_appcontext=False)
def run() -> None:
    """Prepare the instance, then run web, worker and store together until Ctrl-C or a signal stops them.

    In development without a Stripe key it runs the test till too. `make run` runs this command.
    """
    from church.server.announce import list_addresses, list_notes
    from church.server.launch import become_supervisor
    from church.server.prepare import prepare_instance

    settings = load_settings()
    app = prepare_instance(settings)
    addresses = list_addresses(settings, app)
    for line in (*list_notes(settings), *addresses):
        click.echo(line)
    become_supervisor(settings, addresses)


@church.command(with_appcontext=False)
def migrate() -> None:
    """Create the database, or upgrade it to the newest migration."""
    from church.database import migrations

    settings = load_settings()
    make_private(settings.instance)
    migrations.migrate(settings)
    click.echo(f"Database is at revision {migrations.head_revision()}.")


@church.command(with_appcontext=False)
@click.argument("revision")
def downgrade(revision: str) -> None:
    """Take the database back to REVISION, to roll back an upgrade."""
    from church.database import migrations

    known = sorted(migrations.known_revisions())
    if revision not in {"base", *known}:
        raise click.ClickException(f"There is no revision {revision}. The revisions are base, {', '.join(known)}.")
    migrations.downgrade(load_settings(), revision)
    click.echo(f"Database is at revision {revision}.")


@church.command()
def recount() -> None:
    """Add up ledger, subscriptions and deliveries again, where `flask church doctor` finds wrong sums.

    The site may run meanwhile.
    """
    from church.database import kept_sums
    from church.extensions import db

    with db.write() as session:
        kept_sums.recount(session)
    click.echo("Sums are those of the rows again.")


@church.command(with_appcontext=False)
@pass_script_info
def index(info: ScriptInfo) -> None:
    """Update the search index from the content folder."""
    from church.server import prepare

    changed = prepare.index_pages(info.load_app())
    entries = "1 entry" if changed == 1 else f"{changed} entries"
    click.echo(f"Updated {entries} of the search index." if changed else "Search index is up to date.")


@church.command(with_appcontext=False)
@pass_script_info
def work(info: ScriptInfo) -> None:
    """Run queued and scheduled jobs until a signal stops the process."""
    from church.server.work import run_work

    run_work(info.load_app)


@church.command(with_appcontext=False)
def observe() -> None:
    """Keep logs, traces, errors and metrics for the admin area, until a signal stops the process.

    `flask church run` runs it, too. Without it the site works, but these pages are empty.
    """
    from church.server.observe import become_observer

    become_observer()


@church.command(with_appcontext=False)
@click.option("--retry", type=int, metavar="ID", help="Queue this dead job again.")
@pass_script_info
def jobs(info: ScriptInfo, retry: int | None) -> None:
    """List the dead jobs with the reason, or retry one."""
    from church import jobs as queue

    with info.load_app().app_context():
        if retry is None:
            for job in queue.list_dead_jobs():
                click.echo(f"{job.id:8} {job.kind:20} after {job.attempts} attempts: {job.error}")
        elif queue.retry_job(retry):
            click.echo(f"Job {retry} is queued again.")
        else:
            raise click.ClickException(f"Job {retry} is not dead, or the same work is already queued.")


@church.command(with_appcontext=False)
def doctor() -> None:
    """Check everything that the site needs: OK, Warning or Failed, each with a fix. Exit code 1 if a check failed."""
    from church.doctor import run_checks

    try:
        checks = run_checks(load_settings())
    except ConfigError as error:
        for line in str(error).splitlines():
            click.echo(f"{_STATES['fail']:8} {'settings':14} {line}")
        sys.exit(1)
    for check in checks:
        fix = f" → {check.fix}" if check.fix and check.state != "ok" else ""
        click.echo(f"{_STATES[check.state]:8} {check.name:14} {check.finding}{fix}")
    sys.exit(any(check.state == "fail" for check in checks))


@church.command(with_appcontext=False)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def backup(file: Path) -> None:
    """Back up the database and the content to FILE. The site can keep running.

    Pages that are links to files in the content folder are in it as files. Links that lead out of the folder are left
    out and named. The backup has no videos and no secrets: keep those separately.
    """
    from church import backup as backups

    left_out: list[backups.LeftOut] = []
    backups.backup(load_settings(), file, left_out.append)
    for found in left_out[:_MOST_LEFT_OUT]:
        click.echo(f"left out: {found.path}: {found.reason}", err=True)
    if len(left_out) > _MOST_LEFT_OUT:
        click.echo(f"left out: {len(left_out) - _MOST_LEFT_OUT} more", err=True)
    size = f"{file.stat().st_size:,} bytes"
    click.echo(f"Backup written to {file} ({size}). It has no videos and no secrets: keep those separately.")


@church.command(with_appcontext=False)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--force", is_flag=True, help="Replace a database that is not empty.")
def restore(file: Path, force: bool) -> None:
    """Restore the database and the content from FILE. Stop the site first."""
    from church import backup as backups

    restored = backups.restore(load_settings(), file, force=force)
    click.echo(f"Restored from {file}. Sign-ins ended: {restored.ended}. Emailed links no longer work.")
    for kept in restored.kept:
        click.echo(f"Replaced data is kept in {kept}.")
    if restored.closed:
        click.echo("The site is still in maintenance: open it with flask church maintenance off.")
