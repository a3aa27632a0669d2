"""``flask church maintenance``: close the site to visitors, or open it again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
from flask.cli import ScriptInfo, pass_script_info

from church.config import load_settings

if TYPE_CHECKING:
    from flask import Flask

    from church.database.maintenance import Announcement


@click.command()
@click.argument("state", type=click.Choice(["on", "off", "status"]))
@click.option(
    "--minutes", type=click.IntRange(1, 24 * 60), help="Expected length, an estimate that visitors are shown."
)
@click.option("--reason", default="", help="Why, in a sentence that visitors are shown.")
@click.option(
    "--this-host", is_flag=True, help="Only this host: load balancers avoid it, and the database is not needed."
)
@pass_script_info
def maintenance(info: ScriptInfo, state: str, minutes: int | None, reason: str, this_host: bool) -> None:
    """Close the site to visitors, or open it again. Health, metrics, webhooks and the admin area keep working.

    All hosts are closed and opened together, unless --this-host is given. "off" opens this host in any case.
    """
    if state != "on" and (minutes is not None or reason):
        raise click.UsageError("--minutes and --reason belong to maintenance on.")
    if this_host and state != "status":
        click.echo(_close_host(minutes, reason) if state == "on" else _open_host())
        return
    app = info.load_app()
    with app.app_context():
        if state == "on":
            click.echo(_close_all(minutes, reason))
        elif state == "off":
            click.echo(_open_all())
        else:
            _show(app)


def _close_host(minutes: int | None, reason: str) -> str:
    from church.web import maintenance as web_maintenance

    web_maintenance.turn_on(load_settings(), _announce(minutes, reason))
    return "Maintenance is on, on this host."


def _open_host() -> str:
    from church.web import maintenance as web_maintenance

    web_maintenance.turn_off(load_settings())
    return "Maintenance is off on this host. If all hosts are closed, this one is, too: see maintenance status."


def _announce(minutes: int | None, reason: str) -> Announcement:
    from church.errors import FieldErrors
    from church.services.maintenance import make_announcement

    try:
        return make_announcement(reason, minutes)
    except FieldErrors as error:
        raise click.UsageError(" ".join(f"--{name}: {problem}" for name, problem in error.errors.items())) from None


def _close_all(minutes: int | None, reason: str) -> str:
    from church.services.audit import Actor
    from church.web import maintenance as web_maintenance

    with _explaining("Use --this-host, on each host."):
        web_maintenance.begin_for_all(_announce(minutes, reason), Actor(via="cli"))
    return "Maintenance is on, on all hosts."


def _open_all() -> str:
    """Open this host first: that needs no database."""
    from church.services.audit import Actor
    from church.web import maintenance as web_maintenance

    web_maintenance.turn_off(load_settings())
    with _explaining("If maintenance is on for all hosts, it still is."):
        web_maintenance.end_for_all(Actor(via="cli"))
    return "Maintenance is off."


@contextmanager
def _explaining(advice: str) -> Iterator[None]:
    """Turn what a database that is down, or older than the site, raises into a sentence and ``advice``."""
    from sqlalchemy.exc import DBAPIError

    from church.database import DatabaseDownError

    try:
        yield
    except DatabaseDownError:
        raise click.ClickException(f"The database does not answer. {advice}") from None
    except DBAPIError:
        raise click.ClickException(f"The database is older than the site: run flask church migrate. {advice}") from None


def _show(app: Flask) -> None:
    from church.web import maintenance as web_maintenance

    state = web_maintenance.find_state(app)
    source = " (the database does not answer: this is what this host heard last)" if state.remembered else ""
    click.echo(f"All hosts: {_describe(state.site)}{source}")
    click.echo(f"This host: {_describe(state.host)}")


def _describe(announcement: Announcement | None) -> str:
    if announcement is None:
        return "off"
    end = f", announced until {announcement.until:%Y-%m-%d %H:%M} UTC" if announcement.until else ", no end announced"
    why = f": {announcement.reason}" if announcement.reason else ""
    return f"on since {announcement.since:%Y-%m-%d %H:%M} UTC{end}{why}"
