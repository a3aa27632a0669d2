"""Church: a self-hosted membership site with observability built in."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from church.config import Settings


def create_app(settings: Settings | None = None) -> Flask:
    """The site as a Flask app, configured by ``settings`` or else by the environment.

    Raises ConfigError with a line for every setting that is wrong.
    """
    # gunicorn's master imports this package for its worker class, before it forks and before gevent patches: the
    # site itself is loaded by each worker, in its slot, when it calls this.
    from church.factory import build  # noqa: PLC0415 - see above

    return build(settings)
