"""Build the Flask app: extensions, request handling and blueprints, in the order in which a request meets them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from flask import Flask
from jinja2 import StrictUndefined

from church import live as church_live
from church import scrape_values
from church.blueprints import admin, auth, brand, dora, error_reports, live, markdown, status, stripe, video, vitals
from church.config import Settings, load_settings
from church.extensions import db, store, telemetry
from church.services import brand as brand_service
from church.web import (
    assets,
    blocks,
    compression,
    csrf,
    error_pages,
    headers,
    identity,
    kept_pages,
    maintenance,
    rate_limits,
    route_access,
    times,
)
from church.web.proxies import TrustedProxies
from church.web.site import Site

_ROOT = Path(__file__).parent.parent


def build_app(settings: Settings | None = None) -> Flask:
    """Build the app; see ``church.create_app``."""
    settings = settings or load_settings()
    app = Site("church", root_path=str(_ROOT), template_folder="templates", static_folder="static")
    _configure(app, settings)

    telemetry.init_app(app, guard=status.guard_metrics)
    app.wsgi_app = TrustedProxies(app.wsgi_app, settings.trusted_proxies)  # type: ignore[method-assign]
    error_pages.init_app(app)
    headers.init_app(app)
    machines = stripe.MACHINES | dora.MACHINES | error_reports.MACHINES
    maintenance.init_app(app, always_open=status.ALWAYS_OPEN | brand.ALWAYS_OPEN | machines | auth.WAY_IN)
    blocks.init_app(app)
    db.init_app(app)
    store.init_app(app)
    csrf.init_app(app, exempt=machines)
    identity.init_app(app)
    compression.init_app(app)
    assets.init_app(app)
    kept_pages.init_app(app)
    times.init_app(app)
    app.jinja_env.globals["brand"] = brand_service.init_app(app)
    church_live.init_app(app)
    for blueprint in (status, brand, markdown, admin, auth, stripe, video, live, dora, vitals, error_reports):
        app.register_blueprint(blueprint.bp)
    route_access.init_app(app)
    rate_limits.init_app(app)  # behind it: refused tokens must not use up what a valid one may do
    scrape_values.register(app, telemetry)
    return app


def _configure(app: Flask, settings: Settings) -> None:
    app.config.update(
        CHURCH=settings,
        SECRET_KEY=settings.secret_keys[0],
        SECRET_KEY_FALLBACKS=list(settings.secret_keys[1:]),
        SESSION_COOKIE_NAME="__Host-church" if settings.https else "church",
        SESSION_COOKIE_SECURE=settings.https,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        MAX_CONTENT_LENGTH=settings.max_body,
    )
    app.url_map.merge_slashes = False
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals.update(
        site_name=settings.site_name,
        site_url=settings.origin,
        payments_enabled=settings.payments,
        vitals_share=settings.web_vitals / 100,
        current_year=lambda: datetime.now(UTC).year,  # not of the start: a process may run into another year
    )
