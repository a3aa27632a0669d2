"""A site with a test till in the same process. Payments reach the site by real, signed webhooks."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from flask import Flask
from sqlalchemy import select, text
from werkzeug.test import TestResponse

from church import create_app
from church.config import Settings
from church.extensions import db
from church.models import Base, User
from church.services import billing, sessions
from church.services.billing import presenters
from church.services.billing.stripe.client import StripeCircuit, StripeGateway
from church.services.sessions import SignedIn
from tests.support.browsing import Browser
from tests.support.helpers import with_settings
from tests.support.people import add_user, sign_in
from tests.support.stripe_fixture import Obj, T, sign_delivery
from tests.support.till_fixture import InProcessTill

FRIEND, FRIEND_YEAR = "price_friend_month", "price_friend_year"
PATRON, PATRON_YEAR = "price_patron_month", "price_patron_year"


class Membership:
    """A site and its till. ``tell`` delivers the webhooks of what happened at the till."""

    def __init__(self, settings: Settings) -> None:
        limits = {name: "1000000/minute" for name in Settings.model_fields if name.startswith("limit_")}
        self.settings = with_settings(settings, **limits)
        self.app: Flask = create_app(self.settings)
        self.app.testing = True
        self.till = InProcessTill(self.settings)
        self.gateway = StripeGateway("sk_test_till", circuit=StripeCircuit(failures=1000))
        self.gateway._client = self.till.stripe
        self.app.extensions["stripe"] = self.gateway
        self.calls: list[str] = []
        self._delivered: set[str] = set()
        self._note_calls()

    def _note_calls(self) -> None:
        real = self.gateway.call

        def call(method: str, *ids: str, key: str | None = None, **params: object) -> Obj:
            self.calls.append(method)
            return real(method, *ids, key=key, **params)

        self.gateway.call = call  # type: ignore[method-assign]

    def tell(self) -> list[TestResponse]:
        """Deliver the webhooks of all events since the last call, in order."""
        events = list(self.till.stripe.v1.events.list({"limit": 100}).auto_paging_iter())[::-1]
        new = [event for event in events if event.id not in self._delivered]
        self._delivered |= {event.id for event in new}
        return [self.post(json.dumps(event.to_dict(for_json=True)).encode()) for event in new]

    def post(self, raw: bytes, signature: str | None = None) -> TestResponse:
        """Post a webhook, signed with the site's secret unless a signature is given."""
        header = sign_delivery(raw, self.settings.webhook_secrets[0])[1] if signature is None else signature
        headers = {"Stripe-Signature": header, "Content-Type": "application/json; charset=utf-8"}
        return self.app.test_client().post("/stripe/webhook", data=raw, headers=headers)

    def add(self, email: str = "ada@church.example", **facts: object) -> User:
        """Create a member."""
        return add_user(self.app, email, **facts)  # type: ignore[arg-type]

    def as_signed_in(self, user: User) -> SignedIn:
        """Sign the member in and return the session that services take."""
        token = sign_in(self.app, user)
        with self.app.app_context():
            found = sessions.load(token)
        assert found is not None
        return found

    def browser(self, user: User | None = None) -> Browser:
        """Open a browser in which the member is signed in."""
        return Browser(self.app, user)

    def start(self, member: SignedIn, price: str = FRIEND) -> str:
        """Start a checkout and return the id of its session."""
        with self.app.app_context():
            return billing.start_checkout(member, price).rpartition("/")[2]

    def pay(self, session: str, card: str = "good") -> int:
        """Submit the checkout page of the till and return the status: 303 if paid."""
        return self.till.post(f"/checkout/{session}", do="pay", card=card, email="payer@church.example")[0]

    def subscribed(self, user: User, price: str = FRIEND, card: str = "good") -> SignedIn:
        """Subscribe the member and deliver the webhooks."""
        member = self.as_signed_in(user)
        assert self.pay(self.start(member, price), card) == 303
        assert {answer.status_code for answer in self.tell()} == {200}
        return member

    def status(self, user: User) -> presenters.MembershipStatus:
        """Load the membership status of ``user``."""
        with self.app.app_context():
            return billing.read_membership_status(user.id)

    def rows(self, model: type[T]) -> list[T]:
        """List all rows of a table."""
        with self.app.app_context(), db.read() as session:
            return list(session.scalars(select(model).order_by(text("id"))))

    def one(self, model: type[T]) -> T:
        """Load the only row of a table."""
        found = self.rows(model)
        assert len(found) == 1, found
        return found[0]

    def put(self, *rows: Base) -> None:
        """Insert rows, like another process."""
        with self.app.app_context(), db.write() as session:
            session.add_all(rows)


@pytest.fixture
def membership(migrated_site: Settings) -> Iterator[Membership]:
    """A site on each database, with the till's plans synced."""
    site = Membership(migrated_site)
    site.tell()
    yield site
    with site.app.app_context():
        db.dispose()
