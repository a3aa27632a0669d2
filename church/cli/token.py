"""``flask church token …``: create, list and revoke bearer tokens for machines."""

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

    created = machine_tokens.create(name, scopes, Actor(via="cli"))
    granted = ", ".join(dict.fromkeys(scopes))
    click.echo(created.token)
    click.echo(f"Created token {created.ref} for {granted}. It can't be shown again.", err=True)


@token_commands.command("list")
def list_() -> None:
    """List all tokens, without their secrets."""
    from church.services import machine_tokens

    for token in machine_tokens.list_tokens():
        state = f"revoked {token.revoked_at:%Y-%m-%d}" if token.revoked_at else "active"
        click.echo(f"{token.ref}  {token.created_at:%Y-%m-%d}  {state:18}  {' '.join(token.scopes):40}  {token.name}")


@token_commands.command()
@click.argument("ref")
def revoke(ref: str) -> None:
    """Revoke a token. REF is its ref in the list."""
    from church.services import machine_tokens
    from church.services.audit import Actor

    machine_tokens.revoke(ref, Actor(via="cli"))
    click.echo(f"Revoked token {ref}.")
