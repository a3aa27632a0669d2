"""Create the Flask app of the till: the API and the pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask

from church.lib.files import make_private
from church.till.billing import amounts, periods
from church.till.desk import Till
from church.till.http import api, endpoints, pages
from church.till.seed import add_plans

if TYPE_CHECKING:
    from church.config import Settings

assert endpoints  # noqa: S101 - importing it registers the endpoints


class ProductionError(Exception):
    """The till was started in production."""


def create_till(settings: Settings) -> Flask:
    """Create the till, with its database in the instance folder. Raises ProductionError in production."""
    if settings.production:
        raise ProductionError("The test till does not run in production: set STRIPE_SECRET_KEY there.")
    make_private(settings.instance)
    app = Flask("church.till")
    app.config["MAX_CONTENT_LENGTH"] = 1_000_000
    app.extensions["till"] = till = Till(settings)
    api.init_app(app, settings.stripe_key)
    pages.init_app(app)
    app.jinja_env.filters.update(day=periods.format_day, minute=periods.format_minute)
    app.jinja_env.globals.update(shown=amounts.format_amount, site=till.site)
    add_plans(till)
    return app
