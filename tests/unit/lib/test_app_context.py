"""State and templates of the current app."""

from __future__ import annotations

import pytest
from flask import Flask
from jinja2 import DictLoader, TemplateNotFound

from church.lib.app_context import app_state, app_template


def test_app_state_two_apps_share_nothing() -> None:
    first, second = Flask("first"), Flask("second")
    with first.app_context():
        app_state()["counter"] = 1
    with second.app_context():
        assert "counter" not in app_state()
    assert first.extensions["counter"] == 1


def test_app_state_without_app_context_raises_runtime_error() -> None:
    with pytest.raises(RuntimeError):
        app_state()


def test_app_template_is_loaded_from_the_current_app() -> None:
    app = Flask("site")
    app.jinja_env.loader = DictLoader({"hello.txt": "Hello {{ name }}"})
    with app.app_context():
        assert app_template("hello.txt").render(name="Ada") == "Hello Ada"
        with pytest.raises(TemplateNotFound):
            app_template("missing.txt")
