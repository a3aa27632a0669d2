"""``flask church slo …``: Prometheus rules for the service level objectives."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from flask.cli import AppGroup

slo_commands = AppGroup("slo", help="Generate Prometheus rules from the service level objectives.")


@slo_commands.command(with_appcontext=False)
@click.option(
    "--spec",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    default="ops/slo.yml",
    show_default=True,
    help="File with the objectives.",
)
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    default="ops/prometheus",
    show_default=True,
    help="Folder to write to.",
)
@click.option("--check", is_flag=True, help="Write nothing. Exit code 1 if a file is out of date.")
def generate(spec: Path, into: Path, check: bool) -> None:
    """Generate Prometheus recording rules and alerts from the objectives, and their tests for promtool."""
    from church.errors import FieldErrors
    from church.services import slo as slos

    try:
        changed = (slos.list_stale_files if check else slos.write_stale_files)(spec.read_text("utf-8"), into)
    except UnicodeDecodeError:
        raise click.ClickException(f"{spec}: file: This is not UTF-8 text.") from None
    except FieldErrors as error:
        lines = (f"{spec}: {place}: {message}" for place, message in error.errors.items())
        raise click.ClickException("\n".join(lines)) from None
    for path in changed:
        click.echo(f"{into / path} differs from the objectives." if check else f"Wrote {into / path}.")
    if not changed:
        click.echo("The rules match the objectives.")
    sys.exit(1 if check and changed else 0)
