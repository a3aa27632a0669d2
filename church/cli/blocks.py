"""``flask church block``, ``unblock`` and ``blocks``: refuse an address or network, serve it again, list them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click
from flask.cli import ScriptInfo, pass_script_info

_DAY = 24


@click.command()
@click.argument("network")
@click.option("--hours", type=click.IntRange(1), help=f"How long; by default {_DAY} hours.")
@click.option("--until", type=click.DateTime(), help="Until when, in UTC.")
@click.option("--reason", default="", help="Why, in a sentence for the next admin.")
@pass_script_info
def block(info: ScriptInfo, network: str, hours: int | None, until: datetime | None, reason: str) -> None:
    """Refuse all requests of NETWORK, an address or a network such as 203.0.113.0/24, on all hosts.

    Blocking it again changes its end. The site need not run.
    """
    if hours is not None and until is not None:
        raise click.UsageError("Use --hours or --until.")
    from church.errors import FieldErrors
    from church.services.audit import Actor
    from church.web import blocks

    with info.load_app().app_context():
        try:
            name = blocks.block(network, _find_end(hours, until), reason, Actor(via="cli"))
        except FieldErrors as error:
            raise click.ClickException(" ".join(error.errors.values())) from None
    click.echo(f"{name} is blocked.")


@click.command()
@click.argument("network")
@pass_script_info
def unblock(info: ScriptInfo, network: str) -> None:
    """Lift the block of NETWORK. The site need not run.

    While the database does not answer, the block is lifted on this host, until the database answers again.
    """
    from church.database import DatabaseDownError
    from church.errors import FieldErrors
    from church.services.audit import Actor
    from church.web import blocks

    with info.load_app().app_context():
        try:
            click.echo(f"{blocks.unblock(network, Actor(via='cli'))} is no longer blocked.")
        except FieldErrors as error:
            raise click.ClickException(" ".join(error.errors.values())) from None
        except DatabaseDownError:
            if not blocks.unblock_here(network):
                raise
            click.echo("The database does not answer. Unblocked on this host until it does: then run this once more.")


@click.command()
@pass_script_info
def blocks(info: ScriptInfo) -> None:
    """List the blocked networks, newest first."""
    from church.services import blocks as service

    with info.load_app().app_context():
        for one in service.list_all():
            why = f": {one.reason}" if one.reason else ""
            click.echo(f"{one.network:24} until {one.until:%Y-%m-%d %H:%M} UTC{why}")


def _find_end(hours: int | None, until: datetime | None) -> datetime:
    from church.models.base import utc_now

    if until is not None:
        return until.replace(tzinfo=UTC)
    return utc_now() + timedelta(hours=_DAY if hours is None else min(hours, 10**6))
