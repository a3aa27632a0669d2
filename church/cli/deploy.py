"""``flask church deploy …``: record deployments, and import past ones from git."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from flask.cli import AppGroup

deploy_commands = AppGroup("deploy", help="Record deployments for the DORA metrics.")


@deploy_commands.command()
@click.argument("ref", metavar="ID")
@click.option("--environment", required=True, help="Environment it went to: one of CHURCH_ENVIRONMENTS.")
@click.option(
    "--status",
    type=click.Choice(["success", "failure", "rollback"]),
    default="success",
    show_default=True,
    help="How it ended.",
)
@click.option(
    "--kind", type=click.Choice(["normal", "hotfix"]), default="normal", show_default=True, help="Planned, or a hotfix."
)
@click.option("--version", help="Version that was deployed.")
@click.option("--commit", help="SHA of the commit.")
@click.option("--started-at", metavar="TIME", help="Start, such as 2026-03-01T12:00:00Z.")
@click.option("--finished-at", metavar="TIME", help="End, such as 2026-03-01T12:00:00Z. Default: now.")
@click.option("--url", help="Link to more about it.")
def record(ref: str, **fields: Any) -> None:
    """Record a deployment. Recording the same ID again changes nothing."""
    from church.errors import FieldErrors
    from church.services import dora

    try:
        report = dora.read_deployment({"id": ref, **fields})
    except FieldErrors as error:
        sent = {"id": ref, **fields}
        lines = (f"{name} {sent.get(name) or ''}: {message}" for name, message in error.errors.items())
        raise click.ClickException("\n".join(lines)) from None
    is_new = dora.record_deployment(report)
    click.echo(f"Recorded deployment {ref}." if is_new else f"Deployment {ref} is already recorded; nothing changed.")


@deploy_commands.group("import", cls=AppGroup)
def import_() -> None:
    """Import past deployments."""


@import_.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False), default=".")
@click.option("--environment", required=True, help="Environment they went to: one of CHURCH_ENVIRONMENTS.")
@click.option(
    "--branch",
    default="HEAD",
    show_default=True,
    help="Count each commit of the main line of this branch as a deployment.",
)
@click.option("--tags", metavar="PATTERN", help="Count each matching tag, such as v*, as a deployment instead.")
@click.option("--since", metavar="DATE", help="Skip everything before this day, such as 2026-01-01.")
def git(folder: Path, environment: str, branch: str, tags: str | None, since: str | None) -> None:
    """Import deployments from the git log of FOLDER. Run it again to add new ones."""
    from church.config import current_settings
    from church.services import dora

    environments = current_settings().environments
    if environment not in environments:
        raise click.ClickException(f"environment {environment}: This must be one of: {', '.join(environments)}.")
    if tags:
        deployments = list(dora.list_deployments_of_tags(folder, environment, tags, since))
    else:
        deployments = list(dora.list_deployments_of_commits(folder, environment, branch, since))
    added = dora.record_deployments(deployments)
    commits = sum(len(deployment.commits) for deployment in deployments)
    click.echo(f"{len(deployments)} deployments with {commits} commits found, {added} new.")
