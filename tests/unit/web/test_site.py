"""What the site leaves out of Flask, and that nothing of the site needs it."""

from __future__ import annotations

from inspect import iscoroutinefunction
from itertools import chain

from flask import Flask, render_template_string
from jinja2 import DictLoader

from tests.support.helpers import add_view


def test_views_hooks_and_error_handlers_are_plain_functions(app: Flask) -> None:
    hooks = [*chain(*app.before_request_funcs.values()), *chain(*app.after_request_funcs.values())]
    handlers = [h for scope in app.error_handler_spec.values() for kinds in scope.values() for h in kinds.values()]
    assert not [each for each in (*app.view_functions.values(), *hooks, *handlers) if iscoroutinefunction(each)]


def test_request_meets_the_hooks_in_the_order_of_the_factory(app: Flask) -> None:
    before = [f"{hook.__module__.rpartition('.')[2]}.{hook.__name__}" for hook in app.before_request_funcs[None]]
    assert before == [
        "scan_request.refuse_attacks",
        "maintenance._check_request",
        "route_access._guard",
        "rate_limits.refuse_over_limit",
    ]
    after = [hook.__module__.rpartition(".")[2] for hook in reversed(app.after_request_funcs[None])]
    assert after == ["compression", "headers", "request_observer"]


def test_imported_macro_uses_the_globals_of_the_site(app: Flask) -> None:
    app.jinja_env.loader = DictLoader({"m": "{% macro name() %}{{ site_name }}{% endmacro %}"})
    add_view(app, "/name", lambda: render_template_string("{% from 'm' import name %}{{ name() }} {{ own }}", own="x"))
    assert app.test_client().get("/name").text == f"{app.jinja_env.globals['site_name']} x"


def test_template_with_globals_of_its_own_keeps_them_to_itself(app: Flask) -> None:
    own = app.jinja_env.from_string("{{ motto }}", globals={"motto": "ours"})
    with app.test_request_context():
        assert own.render() == "ours"
    assert "motto" not in app.jinja_env.globals
