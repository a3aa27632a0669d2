"""Days and times for people, in UTC, with the exact value for machines: ``day`` and ``moment`` in templates."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from flask import Flask


def show_day(at: date) -> Markup:
    """Show the day of a date or time."""
    return Markup(f'<time datetime="{at:%Y-%m-%d}">{at.day} {at:%B %Y}</time>')  # noqa: S704 - numbers and names


def show_moment(at: datetime) -> Markup:
    """Show a time to the minute."""
    exact, words = f"{at:%Y-%m-%dT%H:%M:%SZ}", f"{at.day} {at:%B %Y, %H:%M} UTC"
    return Markup(f'<time datetime="{exact}">{words}</time>')  # noqa: S704 - numbers and names


def init_app(app: Flask) -> None:
    """Offer both to the templates."""
    app.jinja_env.globals.update(day=show_day, moment=show_moment)
