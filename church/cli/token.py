"""``flask church token …``: bearer tokens for machines."""

from __future__ import annotations

import click
from flask.cli import AppGroup

token_commands = AppGroup("token", help="Create and revoke bearer tokens for machines.")


@token_commands.command()
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, required=True, help="What it may do. Repeat the option for several scopes."
)
def create(name: str, scopes: tuple[str, ...]) -> None:
    """Create a token called NAME and print it. It is shown only once.

    The scopes are metrics:read, delivery:write and dora:read.
    """
    from church.services import machine_tokens
    from church.services.audit import Actor

    made = machine_tokens.create(name, scopes, Actor(via="cli"))
    click.echo(made.token)
    click.echo(f"Token {made.ref} opens {', '.join(dict.fromkeys(scopes))}. It can't be shown again.", err=True)


@token_commands.command("list")
def list_() -> None:
    """List all tokens, without their secrets."""
    from church.services import machine_tokens

    for one in machine_tokens.listed():
        state = f"revoked {one.revoked_at:%Y-%m-%d}" if one.revoked_at else "good"
        click.echo(f"{one.ref}  {one.created_at:%Y-%m-%d}  {state:18}  {' '.join(one.scopes):40}  {one.name}")


@token_commands.command()
@click.argument("ref")
def revoke(ref: str) -> None:
    """Revoke a token. REF is its ref in the list."""
    from church.services import machine_tokens
    from church.services.audit import Actor

    machine_tokens.revoke(ref, Actor(via="cli"))
    click.echo(f"Token {ref} opens nothing any more.")
