"""What code below the web layer may use of the Flask app it runs for: its settings, its state and its templates.

Services import this instead of flask. Two apps in one process share no state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from operator import attrgetter
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


app_state: Callable[[], dict[str, Any]] = partial(attrgetter("extensions"), current_app)
"""Return the objects that modules keep for the current app, by name. Raises RuntimeError outside an app context."""


def app_template(name: str) -> Template:
    """Load a template of the current app. Raises jinja2.TemplateNotFound."""
    return current_app.jinja_env.get_template(name)
