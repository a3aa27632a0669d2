"""Every email as HTML, on phone and desktop, light and dark."""

from __future__ import annotations

import re

import pytest
from flask import Flask
from playwright.sync_api import expect

from church.extensions import db
from church.models.accounts import Purpose
from church.models.base import utc_now
from church.services import email_links
from church.services.email import compose
from tests.browser.conftest import Windows
from tests.browser.watch import LOOKS, find_axe_violations
from tests.support.people import add_user

# axe rules for whole pages; an email is shown inside one.
OF_SITES = ("region ", "landmark-one-main ")
LONG_NAME = "Maximiliane" * 7
CONTEXTS = {
    "payment_failed": {"plan": "Patron of all good things", "amount": "KWD 1,234.500", "until": "30 November 2026"},
    "trial_ending": {"plan": "Patron", "day": "30 November 2026", "price": "$12.00"},
    "membership_ended": {"plan": "Patron", "premium": True},
    "welcome": {
        "plan": "Patron of all good things",
        "trial": "30 November 2026",
        "ends": "",
        "price": "$12.00",
    },
    "membership_cancelled": {"plan": "Patron", "until": "30 November 2026", "another": False},
    "invoice_open": {"plan": "Patron", "amount": "KWD 1,234.500", "until": ""},
    "renewal_ahead": {"plan": "Patron", "day": "30 November 2026", "price": "$120.00", "by_hand": False},
    "pass_given": {"until": "30 November 2026"},
    "pass_ending": {"until": "30 November 2026"},
    "new_reports": {"count": 2, "rooms": "Open and Premium"},
    "new_errors": {
        "count": 3,
        "errors": [{"error_type": "LookupError", "place": "church/services/pages/render.py:render", "is_back": True}],
    },
}
PURPOSES = {
    "verify": Purpose.VERIFY,
    "change_email": Purpose.CHANGE_EMAIL,
    "reset": Purpose.RESET,
    "invited": Purpose.RESET,
}


def _page(app: Flask, template: str) -> str:
    """The HTML part of an email to a member with a long name."""
    user = add_user(app, name=LONG_NAME)
    with app.app_context():
        with db.write() as session:
            purpose = PURPOSES.get(template)
            link = email_links.make(session, purpose, user, user.email) if purpose else None
        letter = compose.EmailToSend(
            1, template, str(user.email), LONG_NAME, CONTEXTS.get(template, {}), link, utc_now()
        )
        body = compose.compose_message(letter).get_body(("html",))
    assert body is not None
    return str(body.get_content())


@pytest.mark.parametrize("template", sorted(compose.TEMPLATES))
def test_email_is_readable_at_any_width_light_and_dark(windows: Windows, app: Flask, template: str) -> None:
    page = windows()
    page.set_content(_page(app, template))
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile(r"\w+"))
    for width, scheme in LOOKS:
        page.set_viewport_size({"width": width, "height": 844})
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert [found for found in find_axe_violations(page) if not found.startswith(OF_SITES)] == [], (width, scheme)
    for address in page.locator("a").evaluate_all("links => links.map(link => link.getAttribute('href'))"):
        assert re.match("https?://", address), address
