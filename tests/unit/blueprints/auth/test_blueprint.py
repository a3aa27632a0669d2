"""Headers of every page behind an emailed link."""

from __future__ import annotations

import pytest
from flask import Flask

from tests.support.browsing import (
    Browser,
)


@pytest.mark.parametrize("kind", ["verify", "reset", "email", "first-admin"])
def test_link_page_has_no_referrer_to_other_sites_and_is_not_cached(app: Flask, kind: str) -> None:
    answer = Browser(app).get(f"/auth/{kind}/1.x")
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert answer.headers["Cache-Control"] == "private, no-store"


def test_page_without_a_link_keeps_the_usual_referrer_policy(app: Flask) -> None:
    policies = {path: Browser(app).get(path).headers["Referrer-Policy"] for path in ("/auth/login", "/health")}
    assert policies["/auth/login"] == policies["/health"] != "same-origin"
