"""``flask church token …``: what machines show instead of a password."""

from __future__ import annotations

import click
from flask.cli import AppGroup

token_commands = AppGroup("token", help="Make and revoke the bearer tokens of machines.")


@token_commands.command()
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, required=True, help="What it opens; may be said several times.")
def create(name: str, scopes: tuple[str, ...]) -> None:
    """Make a token for NAME and print it: it is shown this once.

    Scopes are metrics:read, delivery:write and dora:read.
    """
    from church.services import machine_tokens
    from church.services.audit import Actor

    made = machine_tokens.create(name, scopes, Actor(via="cli"))
    click.echo(made.token)
    click.echo(f"Token {made.ref} opens {', '.join(dict.fromkeys(scopes))}. It can't be shown again.", err=True)


@token_commands.command("list")
def list_() -> None:
    """List all tokens, without what is secret of them."""
    from church.services import machine_tokens

    for one in machine_tokens.listed():
        state = f"revoked {one.revoked_at:%Y-%m-%d}" if one.revoked_at else "good"
        click.echo(f"{one.ref}  {one.created_at:%Y-%m-%d}  {state:18}  {' '.join(one.scopes):40}  {one.name}")


@token_commands.command()
@click.argument("ref")
def revoke(ref: str) -> None:
    """End the token REF, as `list` names it."""
    from church.services import machine_tokens
    from church.services.audit import Actor

    machine_tokens.revoke(ref, Actor(via="cli"))
    click.echo(f"Token {ref} opens nothing any more.")
