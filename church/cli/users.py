"""``flask church user …``: manage accounts, for example create the first admin or help one who is locked out.

WHO is the email address of an account, or its ref. Passwords are never typed here: owners choose theirs by a link in
an email.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from flask.cli import AppGroup

if TYPE_CHECKING:
    from church.services.audit import Actor

user_commands = AppGroup("user", help="Create accounts and change what they may do.")


@user_commands.command()
@click.argument("email")
@click.option("--name", default="", help="Display name.")
@click.option("--admin", is_flag=True, help="Make the account an admin.")
def create(email: str, name: str, admin: bool) -> None:
    """Create an account and email its owner a link to choose a password. The link is valid for 7 days."""
    from church.errors import FieldErrors
    from church.models.accounts import Role
    from church.services import accounts

    try:
        account = accounts.create_account(email, name, Role.ADMIN if admin else Role.MEMBER, _console())
    except FieldErrors as error:
        raise click.ClickException(" ".join(error.errors.values())) from None
    created = f"Created admin {account.email}" if admin else f"Created {account.email}"
    outbox = _outbox_line()
    click.echo(f"{created}.\n{outbox}" if outbox else f"{created}; invitation sent.")


@user_commands.command()
@click.argument("who")
def promote(who: str) -> None:
    """Make a member an admin."""
    from church.models.accounts import Role
    from church.services import accounts

    click.echo(f"{accounts.set_role(_ref(who), Role.ADMIN, _console()).label} is an admin.")


@user_commands.command()
@click.argument("who")
def demote(who: str) -> None:
    """Make an admin a member again. The last admin can't be demoted."""
    from church.models.accounts import Role
    from church.services import accounts

    click.echo(f"{accounts.set_role(_ref(who), Role.MEMBER, _console()).label} is no longer an admin.")


@user_commands.command()
@click.argument("who")
def disable(who: str) -> None:
    """Disable an account and sign it out everywhere."""
    from church.services import accounts

    click.echo(f"{accounts.disable_account(_ref(who), _console()).label} can no longer sign in.")


@user_commands.command()
@click.argument("who")
def enable(who: str) -> None:
    """Enable a disabled account."""
    from church.services import accounts

    click.echo(f"{accounts.enable_account(_ref(who), _console()).label} can sign in.")


@user_commands.command()
@click.argument("who")
def reset(who: str) -> None:
    """Email the owner of an account a link to choose a new password."""
    from church.services import accounts

    accounts.send_reset(_ref(who), _console())
    click.echo(_outbox_line() or "Password link sent.")


@user_commands.command("first-admin")
def first_admin() -> None:
    """Print a link that creates the first admin. It is valid once, within 24 hours.

    `flask church run` prints one at every start until there is an admin.
    """
    from church.server.announce import describe_first_admin_link
    from church.services.accounts import make_first_admin_link

    address = make_first_admin_link()
    if address is None:
        raise click.ClickException("There is already an admin. Admins can promote others, and so can `user promote`.")
    click.echo(describe_first_admin_link(address))


def _console() -> Actor:
    from church.services.audit import Actor

    return Actor(via="cli")


def _ref(who: str) -> str:
    """Return the ref of the account that ``who`` names by its email address or its ref."""
    from church.extensions import db
    from church.services import accounts

    if "@" not in who:
        return who
    address = accounts.try_parse_address(who)
    with db.read() as session:
        account = accounts.find_by_address(session, address) if address else None
    if account is None:
        raise click.ClickException(f"No account has the email address {who}.")
    return account.ref


def _outbox_line() -> str:
    """Say where emails are written if no mail server is set; empty with one."""
    from church.config import current_settings
    from church.server.announce import describe_outbox

    return describe_outbox(current_settings())
