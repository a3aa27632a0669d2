"""What code below the web layer may use of the Flask app it runs for: its settings, its state and its templates.

Services import this instead of flask. Two apps in one process share no state.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from flask import current_app
from jinja2 import Template


class App(Protocol):
    """A Flask app, reduced to what a service's ``init_app`` needs."""

    extensions: dict[str, Any]

    @property
    def config(self) -> Mapping[str, Any]:
        """Flask's settings; ours are at ``CHURCH``."""

    def app_context(self) -> AbstractContextManager[Any]:
        """Make the app the current one, for a thread of its own."""


def app_state() -> dict[str, Any]:
    """Return the objects that modules keep for the current app, by name. Raises RuntimeError outside an app context."""
    return current_app.extensions


def app_template(name: str) -> Template:
    """Load a template of the current app. Raises jinja2.TemplateNotFound."""
    return current_app.jinja_env.get_template(name)
