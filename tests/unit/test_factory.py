"""The site as it is built: its cookies, its templates and its order of refusals."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from flask import Flask, render_template_string
from jinja2 import UndefinedError

from church.config import Settings
from church.factory import build_app
from church.web import maintenance
from tests.support.helpers import STRONG, with_settings
from tests.support.services_fixture import site_settings


def test_cookie_over_https_is_bound_to_the_host(settings: Settings) -> None:
    secure = build_app(with_settings(settings, site_url="https://church.example")).config
    assert (secure["SESSION_COOKIE_NAME"], secure["SESSION_COOKIE_SECURE"]) == ("__Host-church", True)
    plain = build_app(settings).config
    assert (plain["SESSION_COOKIE_NAME"], plain["SESSION_COOKIE_SECURE"]) == ("church", False)


def test_template_with_an_unknown_name_raises(app: Flask) -> None:
    with app.test_request_context(), pytest.raises(UndefinedError):
        render_template_string("{{ typo }}")


def test_previous_secret_key_still_opens_sessions(tmp_path: Path) -> None:
    previous = STRONG[::-1]
    app = build_app(site_settings(tmp_path, SECRET_KEY=STRONG, SECRET_KEY_PREVIOUS=previous))
    assert (app.config["SECRET_KEY"], app.config["SECRET_KEY_FALLBACKS"]) == (STRONG, [previous])


def test_double_slash_is_not_merged(app: Flask) -> None:
    """A merged address would be redirected to, and a webhook would lose its body."""
    assert app.test_client().get("/auth//account").status_code == 404


def test_machines_are_answered_during_maintenance(app: Flask, settings: Settings) -> None:
    maintenance.turn_on(settings)
    assert app.test_client().get("/health").status_code == 200
    assert app.test_client().post("/stripe/webhook").status_code != 503


def test_site_has_all_its_blueprints(app: Flask) -> None:
    names = {rule.endpoint.partition(".")[0] for rule in app.url_map.iter_rules()}
    assert {"status", "markdown", "admin", "auth", "stripe", "video", "live", "delivery", "static"} <= names


def test_import_of_the_site_loads_nothing_that_only_some_processes_need() -> None:
    # None makes every import of the module fail.
    names = ("alembic", "mako", "markdown", "nh3", "pygments", "frontmatter", "yaml", "stripe")
    program = f"import sys; sys.modules.update(dict.fromkeys({names})); import church.factory"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
