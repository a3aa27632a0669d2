"""The wiring: one Flask app of the API and the pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask

from church.lib.files import make_private
from church.till.billing import amounts, periods
from church.till.desk import Desk
from church.till.http import api, endpoints, pages
from church.till.seed import seed

if TYPE_CHECKING:
    from church.config import Settings

assert endpoints  # noqa: S101 - imported for what it registers


class ProductionError(Exception):
    """Somebody wants to take money with a toy."""


def create_till(settings: Settings) -> Flask:
    """The till over its file in the instance folder. Raises ProductionError where the site is real."""
    if settings.production:
        raise ProductionError("The test till does not run in production: set STRIPE_SECRET_KEY there.")
    make_private(settings.instance)
    app = Flask("church.till")
    app.config["MAX_CONTENT_LENGTH"] = 1_000_000
    app.extensions["till"] = till = Desk(settings)
    api.init_app(app, settings.stripe_key)
    pages.init_app(app)
    app.jinja_env.filters.update(day=periods.day, minute=periods.minute)
    app.jinja_env.globals.update(shown=amounts.shown, site=till.site)
    seed(till)
    return app
