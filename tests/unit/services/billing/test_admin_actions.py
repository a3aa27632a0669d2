"""Billing for admins: counts, totals, one member's data, replays and the export."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from church.config import Settings
from church.database.paging import Place
from church.errors import ConflictError
from church.extensions import db
from church.models import AuditEntry, StripeEvent
from church.models.base import utc_now
from church.services import billing
from church.services.accounts.member_list import UnknownMemberError
from church.services.audit import Actor
from church.services.billing import admin_actions, errors, ledger
from church.services.billing.admin_actions import CurrencyTotal, EventFailedError, UnknownEventError
from church.services.billing.errors import StripeDownError
from tests.support.helpers import with_settings
from tests.support.stripe_fixture import Obj, SiteWithFakeStripe, add_member, make_event

pytestmark = pytest.mark.services
CLI = Actor(via="cli")


@pytest.fixture
def shop(migrated_site: Settings) -> Iterator[SiteWithFakeStripe]:
    shop = SiteWithFakeStripe(migrated_site)
    shop.stripe.price("price_jpy", "prod_patron", 800, "jpy")
    shop.stripe.price("price_kwd", "prod_patron", 2500, "kwd")
    with shop.app.app_context():
        yield shop
    shop.close()


def _paid(shop: SiteWithFakeStripe, amount: int, price: str = "price_month", ref: str | None = None) -> Obj:
    who = ref or add_member(shop.app)[1]
    invoice = shop.stripe.invoice(shop.stripe.subscription(shop.stripe.customer(who), price), paid=amount)
    shop.deliver(make_event("invoice.paid", invoice))
    return invoice


def _failed_event(shop: SiteWithFakeStripe) -> tuple[int, Obj]:
    """Deliver an event while Stripe does not answer. Returns its id and its subscription."""
    _, subscription = shop.subscriber()

    def down(_method: str) -> None:
        raise StripeDownError

    shop.stripe.before = down
    shop.deliver(make_event("customer.subscription.created", subscription))
    shop.stripe.before = lambda _method: None
    return shop.one(StripeEvent).id, subscription


def _audited() -> list[tuple[str, dict[str, object]]]:
    with db.read() as session:
        return [(row.action, row.detail) for row in session.scalars(select(AuditEntry).order_by(AuditEntry.id))]


# -- counts and totals ----------------------------------------------------------------------------------------------


def test_subscriptions_are_counted_by_status_including_ended(shop: SiteWithFakeStripe) -> None:
    assert admin_actions.count_subscriptions() == {}
    for status in ("active", "active", "past_due", "canceled"):
        shop.deliver(make_event("customer.subscription.updated", shop.subscriber(status=status)[1]))
    assert admin_actions.count_subscriptions() == {"active": 2, "past_due": 1, "canceled": 1}


def test_totals_by_currency_equal_the_entries(shop: SiteWithFakeStripe) -> None:
    assert admin_actions.list_totals() == []
    invoice = _paid(shop, 1200)
    _paid(shop, 801, "price_jpy")
    charge = shop.stripe.charge_of(invoice)
    shop.deliver(make_event("refund.created", shop.stripe.refund(charge, 500)))
    failing = shop.stripe.refund(charge, 300, status="failed")
    failing["failure_balance_transaction"] = "txn_1"
    shop.deliver(make_event("refund.failed", failing))
    shop.deliver(make_event("charge.dispute.created", shop.stripe.dispute(charge, -1200)))
    assert admin_actions.list_totals() == [
        CurrencyTotal("jpy", payments=801, refunds=0, disputes=0, net=801, count=1),
        CurrencyTotal("usd", payments=1200, refunds=-500, disputes=-1200, net=-500, count=5),
    ]
    entries = billing.list_ledger_entries(place=Place(size=200))
    for total in admin_actions.list_totals():
        assert total.net == sum(one.amount for one in entries if one.currency == total.currency)


def test_member_billing_shows_only_own_subscriptions_and_grants(shop: SiteWithFakeStripe) -> None:
    _, ref = add_member(shop.app)
    subscription = shop.stripe.subscription(shop.stripe.customer(ref), status="canceled")
    shop.deliver(make_event("customer.subscription.updated", subscription))
    shop.deliver(make_event("customer.subscription.updated", shop.subscriber()[1]))
    found = admin_actions.read_member_billing(ref)
    assert (found.premium, [one.stripe_id for one in found.subscriptions]) == (False, [subscription["id"]])
    billing.grant_premium(ref, utc_now() + timedelta(days=1), "a friend", CLI)
    found = admin_actions.read_member_billing(ref)
    assert (found.premium, [one.reason for one in found.grants]) == (True, ["a friend"])
    with pytest.raises(UnknownMemberError):
        admin_actions.read_member_billing("nobody")


# -- events ---------------------------------------------------------------------------------------------------------


def test_replay_failed_event_is_processed_and_audited(shop: SiteWithFakeStripe) -> None:
    number, subscription = _failed_event(shop)
    assert (admin_actions.read_event(number).state, admin_actions.read_event(number).attempts) == ("failed", 1)
    assert admin_actions.replay_event(number, CLI).status == "processed"
    again = admin_actions.read_event(number)
    assert (again.state, again.attempts, again.reason) == ("processed", 2, None)
    assert [one.stripe_id for one in billing.list_subscriptions()] == [subscription["id"]]
    assert _audited() == [("webhook.replayed", {"webhook": number, "type": "customer.subscription.created"})]


def test_replay_failing_again_gives_the_reason_and_is_audited(shop: SiteWithFakeStripe) -> None:
    number, _ = _failed_event(shop)

    def down(_method: str) -> None:
        raise StripeDownError

    shop.stripe.before = down
    with pytest.raises(EventFailedError, match="Stripe does not answer"):
        admin_actions.replay_event(number, CLI)
    assert admin_actions.read_event(number).state == "failed"
    assert [action for action, _ in _audited()] == ["webhook.replayed"]


def test_replay_event_under_way_is_refused(shop: SiteWithFakeStripe) -> None:
    number, _ = _failed_event(shop)
    lease = {"lease": "another", "leased_until": utc_now() + timedelta(seconds=9), "state": "received"}
    with db.write() as session:
        session.execute(update(StripeEvent).values(**lease))
    assert admin_actions.read_event(number).under_way
    with pytest.raises(ConflictError):
        admin_actions.replay_event(number, CLI)
    assert (_audited(), admin_actions.read_event(number).attempts) == ([], 1)
    with db.write() as session:
        session.execute(update(StripeEvent).values(leased_until=utc_now() - timedelta(seconds=1)))
    assert not admin_actions.read_event(number).under_way
    assert admin_actions.replay_event(number, CLI).status == "processed"


def test_replay_without_payments_is_refused(shop: SiteWithFakeStripe) -> None:
    number, _ = _failed_event(shop)
    shop.app.config["CHURCH"] = with_settings(shop.settings, environment="production")
    with pytest.raises(errors.PaymentsOffError):
        admin_actions.replay_event(number, CLI)
    assert admin_actions.read_event(number).attempts == 1


def test_replay_processed_event_changes_nothing(shop: SiteWithFakeStripe) -> None:
    _paid(shop, 1200)
    (done,) = billing.list_events()
    assert admin_actions.replay_event(done.id, CLI).status == "processed"
    assert len(billing.list_ledger_entries()) == 1


def test_replay_unknown_event_is_not_found(shop: SiteWithFakeStripe) -> None:
    for call in (lambda: admin_actions.read_event(7), lambda: admin_actions.replay_event(7, CLI)):
        with pytest.raises(UnknownEventError):
            call()
    assert _audited() == []


# -- the ledger as a file -------------------------------------------------------------------------------------------


def _rows(*, currency: str | None = None, user_ref: str | None = None) -> list[dict[str, str]]:
    text = "".join(ledger.export_ledger(currency, user_ref))
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_ledger_csv_has_amounts_in_major_and_minor_units(shop: SiteWithFakeStripe) -> None:
    _, ref = add_member(shop.app, '=HYPERLINK("https://evil.example")')
    invoice = _paid(shop, 1200, ref=ref)
    shop.deliver(make_event("refund.created", shop.stripe.refund(shop.stripe.charge_of(invoice), 5)))
    _paid(shop, 801, "price_jpy")
    _paid(shop, 2505, "price_kwd")
    rows = _rows()
    assert [(one["amount"], one["currency"], one["minor_units"]) for one in rows] == [
        ("2.505", "kwd", "2505"),
        ("801", "jpy", "801"),
        ("-0.05", "usd", "-5"),
        ("12.00", "usd", "1200"),
    ]
    assert (rows[-1]["member"], rows[-1]["kind"], rows[-1]["invoice"]) == (ref, "payment", invoice["id"])
    assert rows[-1]["occurred_at"] == "2026-09-21T14:13:20Z"
    assert "evil" not in str(rows)
    assert [one["amount"] for one in _rows(currency="jpy")] == ["801"]
    assert [one["amount"] for one in _rows(user_ref=ref)] == ["-0.05", "12.00"]


def test_ledger_csv_in_several_pieces_holds_every_entry_once(
    shop: SiteWithFakeStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "_BATCH", 2)
    for amount in range(100, 105):
        _paid(shop, amount)
    assert [one["minor_units"] for one in _rows()] == ["104", "103", "102", "101", "100"]


def test_ledger_csv_of_an_empty_ledger_has_only_the_header(shop: SiteWithFakeStripe) -> None:
    assert "".join(ledger.export_ledger()).startswith("entry,occurred_at,member,kind,amount,currency,")
    assert _rows() == []
