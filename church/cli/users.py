"""``flask church user …``: accounts from the command line, where the first admin and a locked-out one are helped.

WHO is an account's address, or its name in the admin area's addresses. Nobody types a password here: whoever owns
the account chooses it by a mailed link.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from flask.cli import AppGroup

if TYPE_CHECKING:
    from church.services.audit import Actor

user_commands = AppGroup("user", help="Make accounts, and change what they may do.")


@user_commands.command()
@click.argument("email")
@click.option("--name", default="", help="What to call them.")
@click.option("--admin", is_flag=True, help="Make it an admin.")
def create(email: str, name: str, admin: bool) -> None:
    """Make an account for EMAIL and mail its owner a link to choose a password."""
    from church.errors import FieldErrors
    from church.models.user import Role
    from church.services.accounts import members

    try:
        made = members.create(email, name, Role.ADMIN if admin else Role.MEMBER, _console())
    except FieldErrors as error:
        raise click.ClickException(" ".join(error.errors.values())) from None
    click.echo(f"{made.role.capitalize()} {made.ref} is made.\n{_mailed()}")


@user_commands.command()
@click.argument("who")
def promote(who: str) -> None:
    """Make WHO an admin."""
    from church.models.user import Role
    from church.services.accounts import members

    click.echo(f"{members.set_role(_ref(who), Role.ADMIN, _console()).label} is an admin.")


@user_commands.command()
@click.argument("who")
def demote(who: str) -> None:
    """Make WHO a member like others; the last admin stays one."""
    from church.models.user import Role
    from church.services.accounts import members

    click.echo(f"{members.set_role(_ref(who), Role.MEMBER, _console()).label} is no admin.")


@user_commands.command()
@click.argument("who")
def disable(who: str) -> None:
    """Shut the account of WHO and sign it out everywhere."""
    from church.services.accounts import members

    click.echo(f"{members.disable(_ref(who), _console()).label} can't sign in any more.")


@user_commands.command()
@click.argument("who")
def enable(who: str) -> None:
    """Open the account of WHO again."""
    from church.services.accounts import members

    click.echo(f"{members.enable(_ref(who), _console()).label} may sign in.")


@user_commands.command()
@click.argument("who")
def reset(who: str) -> None:
    """Mail WHO a link to choose a new password."""
    from church.services.accounts import members

    members.send_reset(_ref(who), _console())
    click.echo(_mailed())


@user_commands.command("first-admin")
def first_admin() -> None:
    """Print a link that makes the first admin, where `flask church run` does not run the site."""
    from church.server.announce import first_admin_line
    from church.services.accounts.first_admin import first_admin_address

    address = first_admin_address()
    if address is None:
        raise click.ClickException("There is an admin already; they can promote others, as can `user promote`.")
    click.echo(first_admin_line(address))


def _console() -> Actor:
    from church.services.audit import Actor

    return Actor(via="cli")


def _ref(who: str) -> str:
    """The account's ref, by itself or by its address."""
    from church.extensions import db
    from church.services.accounts import find_account, validation

    if "@" not in who:
        return who
    address = validation.parsed_address(who)
    with db.read() as session:
        found = find_account.by_key(session, address.key) if address else None
    if found is None:
        raise click.ClickException(f"No account has the address {who}.")
    return found.ref


def _mailed() -> str:
    """Where the mail is that a command has queued."""
    from church.config import current_settings
    from church.server.announce import outbox_line

    return outbox_line(current_settings()) or "A mail with the link is on its way."
