"""A site whose payments go to a test till in the same process: what is paid there is told by real, signed webhooks."""

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
from tests.support.stripe_fixture import Obj, T, signed
from tests.support.till_fixture import InProcessTill

FRIEND, FRIEND_YEAR = "price_friend_month", "price_friend_year"
PATRON, PATRON_YEAR = "price_patron_month", "price_patron_year"


class Membership:
    """The site, its till, and what goes between them. ``tell`` is the post that brings the webhooks."""

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
        self._told: set[str] = set()
        self._note_calls()

    def _note_calls(self) -> None:
        real = self.gateway.call

        def call(method: str, *ids: str, key: str | None = None, **params: object) -> Obj:
            self.calls.append(method)
            return real(method, *ids, key=key, **params)

        self.gateway.call = call  # type: ignore[method-assign]

    def tell(self) -> list[TestResponse]:
        """Deliver what happened at the till since the last time, in order."""
        found = list(self.till.stripe.v1.events.list({"limit": 100}).auto_paging_iter())[::-1]
        fresh = [event for event in found if event.id not in self._told]
        self._told |= {event.id for event in fresh}
        return [self.post(json.dumps(event.to_dict(for_json=True)).encode()) for event in fresh]

    def post(self, raw: bytes, signature: str | None = None) -> TestResponse:
        """One delivery, signed with the site's secret unless it has a signature."""
        header = signed(raw, self.settings.webhook_secrets[0])[1] if signature is None else signature
        sent = {"Stripe-Signature": header, "Content-Type": "application/json; charset=utf-8"}
        return self.app.test_client().post("/stripe/webhook", data=raw, headers=sent)

    def add(self, email: str = "ada@church.example", **facts: object) -> User:
        """A member."""
        return add_user(self.app, email, **facts)  # type: ignore[arg-type]

    def as_signed_in(self, user: User) -> SignedIn:
        """The member as services know them."""
        token = sign_in(self.app, user)
        with self.app.app_context():
            found = sessions.load(token)
        assert found is not None
        return found

    def browser(self, user: User | None = None) -> Browser:
        """A browser in which the member is signed in."""
        return Browser(self.app, user)

    def start(self, member: SignedIn, price: str = FRIEND) -> str:
        """Begin a checkout; the session of the page that it leads to."""
        with self.app.app_context():
            return billing.start_checkout(member, price).rpartition("/")[2]

    def pay(self, session: str, card: str = "good") -> int:
        """Fill in the till's page; its status, 303 once it is paid."""
        return self.till.post(f"/checkout/{session}", do="pay", card=card, email="payer@church.example")[0]

    def subscribed(self, user: User, price: str = FRIEND, card: str = "good") -> SignedIn:
        """Subscribe the member, the webhooks included."""
        member = self.as_signed_in(user)
        assert self.pay(self.start(member, price), card) == 303
        assert {answer.status_code for answer in self.tell()} == {200}
        return member

    def status(self, user: User) -> presenters.MembershipStatus:
        """How it stands."""
        with self.app.app_context():
            return billing.read_membership_status(user.id)

    def rows(self, model: type[T]) -> list[T]:
        """All rows of a table."""
        with self.app.app_context(), db.read() as session:
            return list(session.scalars(select(model).order_by(text("id"))))

    def one(self, model: type[T]) -> T:
        """The only row of a table."""
        found = self.rows(model)
        assert len(found) == 1, found
        return found[0]

    def put(self, *rows: Base) -> None:
        """Keep rows as another process would."""
        with self.app.app_context(), db.write() as session:
            session.add_all(rows)


@pytest.fixture
def membership(migrated_site: Settings) -> Iterator[Membership]:
    """A site on each database, the till's plans on offer."""
    made = Membership(migrated_site)
    made.tell()
    yield made
    with made.app.app_context():
        db.dispose()
