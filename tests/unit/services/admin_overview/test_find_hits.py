"""What an admin types is recognized by its form, and found among members and pages."""

from __future__ import annotations

import pytest
from flask import Flask

from church.config import current_settings
from church.services.access import Reader
from church.services.admin_overview import Kind, find_anything
from tests.support.people import add_user


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("192.0.2.7", [(Kind.ADDRESS, "192.0.2.7", True)]),
        ("::ffff:192.0.2.7", [(Kind.ADDRESS, "192.0.2.7", True)]),
        ("2001:db8::1", [(Kind.ADDRESS, "2001:db8::1", True)]),
        ("auth.login", [(Kind.EVENT, "auth.login", False)]),
        ("0123456789abcdef0123", [(Kind.REQUEST, "0123456789abcdef0123", False)]),
        ("ab" * 16, [(Kind.REQUEST, "ab" * 16, False), (Kind.TRACE, "ab" * 16, False)]),
        ("3f2504e0-4f89-41d3-9a0c-0305e82c3301", [(Kind.REQUEST, "3f2504e0-4f89-41d3-9a0c-0305e82c3301", False)]),
        ("two words", []),
    ],
)
def test_query_is_recognized_by_its_form_without_the_store(
    app: Flask, query: str, found: list[tuple[Kind, str, bool]]
) -> None:
    with app.test_request_context():
        hits = find_anything(current_settings(), query, Reader())
    assert [(hit.kind, hit.value, hit.exact) for hit in hits] == found


def test_exact_match_comes_before_those_that_begin_alike(app: Flask) -> None:
    add_user(app, "ann@church.example", name="Ann")
    add_user(app, "annabel@church.example", name="Annabel")
    with app.test_request_context():
        hits = find_anything(current_settings(), "ann", Reader())
    assert [(hit.title, hit.exact) for hit in hits] == [("Ann", True), ("Annabel", False)]
