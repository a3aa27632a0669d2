"""Church: a self-hosted membership site with observability built in."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from church.config import Settings


def create_app(settings: Settings | None = None) -> Flask:
    """Create the site's Flask app, configured by ``settings`` or else by the environment.

    Raises ConfigError with a line for every wrong setting.
    """
    # gunicorn's master imports this package for its settings, and listens before it loads the site by this function.
    from church.factory import build_app  # noqa: PLC0415 - see above

    return build_app(settings)
