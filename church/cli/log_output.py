"""Log records for a terminal: a line each, coloured by level, with nothing in it that a terminal would obey."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import click

_COLOURS = {"DEBUG": "bright_black", "WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}
_DETAILS = ("status", "duration_ms", "route", "request_id", "user_ref", "ip", "job_kind", "error_type")
_MICROSECONDS = 1_000_000


def print_records(rows: Iterable[dict[str, Any]], *, as_json: bool) -> None:
    """Print rows of the table logs, or of ``requests.find``, in their order."""
    for row in rows:
        if as_json:
            click.echo(json.dumps({name: value for name, value in row.items() if value is not None}))
        else:
            _print_record(row)


def format_time(microseconds: int) -> str:
    """Return a time of the store in UTC: ``2026-11-30 23:13:05.123``."""
    moment = datetime.fromtimestamp(microseconds / _MICROSECONDS, UTC)
    return moment.isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")


def make_printable(text: str, keep: str = "") -> str:
    """Return ``text`` with the characters that a terminal may obey as their codes, but for those of ``keep``."""
    return "".join(char if char.isprintable() or char in keep else f"\\x{ord(char):02x}" for char in text)


def _print_record(row: dict[str, Any]) -> None:
    level = row.get("level") or row.get("table", "").upper()
    known = [f"{name}={row[name]}" for name in _DETAILS if row.get(name) is not None]
    name = row.get("event") or row.get("logger") or ""
    text = " ".join(filter(None, (_summarize(row), *known)))
    head = f"{format_time(row['ts'])} {level:<8} {name:<20}"
    click.secho(make_printable(f"{head} {text}"), fg=_COLOURS.get(level))
    if row.get("exception"):
        click.secho(make_printable(row["exception"].rstrip("\n"), keep="\n"), fg="bright_black")


def _summarize(row: dict[str, Any]) -> str:
    """Return what happened: the message of a record or an error, the name and outcome of a trace."""
    if row.get("table") == "traces":
        return f"{row['name']} {row['outcome'] or ''}".rstrip()
    return row.get("message") or ""
