"""The Flask app of the site, without work that Flask does for features that the site does not have."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any

from flask import Flask
from flask.templating import Environment


class _Templates(Environment):
    """Templates that all have the same globals.

    Jinja gives each template a chain of its own globals and the common ones. It compares that chain's names, in Python,
    with the names of the page whenever a page imports macros. No template of the site has globals of its own.
    """

    def make_globals(self, d: MutableMapping[str, Any] | None) -> MutableMapping[str, Any]:
        """Return the common globals, with ``d`` before them if there is any."""
        return super().make_globals(d) if d else self.globals


class Site(Flask):
    """Flask for views, hooks and error handlers that are plain functions, none of them ``async``."""

    jinja_environment = _Templates

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``func``. Flask looks at each function, about twenty a request, whether it is a coroutine."""
        return func
