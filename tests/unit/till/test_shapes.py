"""Every object that the till gives, and every one that its events carry, is as the SDK's classes type it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import stripe
from stripe._api_version import _ApiVersion

from church.till.shapes import API_VERSION, SHAPES, make
from tests.support.sdk_shapes import _CLASSES, misfits
from tests.support.services_fixture import site_settings
from tests.support.till_fixture import PATRON, InProcessTill


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessTill]:
    """A till in which everything has happened once."""
    till = InProcessTill(site_settings(tmp_path_factory.mktemp("lived")))
    _live(till)
    yield till
    till.desk.store.close()


def _live(till: InProcessTill) -> None:
    first = till.subscribe(allow_promotion_codes=False, discounts=[{"coupon": "welcome20"}])
    charge = till.charge(till.latest_invoice(first["id"]))
    till.operate("refund", charge=charge["id"], amount="100")
    refund = till.stripe.v1.refunds.list().data[0].id
    till.operate("refund/fail", refund=refund)
    till.operate("dispute", charge=charge["id"])
    dispute = till.stripe.v1.disputes.list().data[0].id
    till.operate("dispute", dispute=dispute, outcome="won")
    item = first["items"]["data"][0]["id"]
    upgrade: Any = {"items": [{"id": item, "price": PATRON}], "proration_behavior": "always_invoice"}
    till.stripe.v1.subscriptions.update(first["id"], upgrade)
    asked = till.subscribe(card="always_secure")
    wish: Any = {**upgrade, "items": [{"id": asked["items"]["data"][0]["id"], "price": PATRON}]}
    till.stripe.v1.subscriptions.update(asked["id"], {**wish, "payment_behavior": "pending_if_incomplete"})
    till.stripe.v1.subscription_schedules.create({"from_subscription": first["id"]})
    till.subscribe(PATRON, "always_secure", subscription_data={"trial_period_days": 14})
    fails = till.subscribe(card="fails_later")
    till.stripe.v1.billing_portal.sessions.create({"customer": fails["customer"], "return_url": "http://site.example/"})
    till.operate("clock", days="40")
    declined = till.checkout()
    till.post(f"/checkout/{declined['id']}", do="pay", card="declined", email="payer@site.example")
    till.post(f"/checkout/{declined['id']}", do="pay", card="secure", email="payer@site.example")
    till.stripe.v1.checkout.sessions.expire(declined["id"])
    till.stripe.v1.customers.delete(fails["customer"])


def test_every_object_in_the_till_fits_the_class_of_the_sdk(lived: InProcessTill) -> None:
    with lived.desk.store.transaction():
        kept = {kind: list(lived.desk.store.all(kind)) for kind in SHAPES}
    inside = {"item", "line_item", "plan", "subscription_item"}  # found in others
    assert {kind for kind, found in kept.items() if not found} <= inside
    assert [line for found in kept.values() for obj in found for line in misfits(obj)] == []


def test_every_event_carries_an_object_that_fits(lived: InProcessTill) -> None:
    events = [event.to_dict(for_json=True) for event in lived.stripe.v1.events.list({"limit": 100}).auto_paging_iter()]
    assert len({event["type"] for event in events}) > 35
    for event in events:
        assert misfits(event) == []
        assert misfits(event["data"]["object"]) == [], event["type"]
        assert set(event["data"].get("previous_attributes", {})) <= set(event["data"]["object"])


def test_preview_and_parts_that_are_asked_for_fit(lived: InProcessTill) -> None:
    subscription = lived.subscribe()
    api = lived.stripe.v1
    preview = api.invoices.create_preview({"subscription": subscription["id"]})
    session = api.checkout.sessions.list({"subscription": subscription["id"], "expand": ["data.line_items"]}).data[0]
    customer = api.customers.retrieve(subscription["customer"], {"expand": ["subscriptions"]})
    invoice = api.invoices.retrieve(
        subscription["latest_invoice"], {"expand": ["payments.data.payment.payment_intent.latest_charge", "customer"]}
    )
    answers = [one.to_dict(for_json=True) for one in (preview, session, customer, invoice)]
    assert [line for one in answers for line in misfits(one)] == []
    charge = answers[3]["payments"]["data"][0]["payment"]["payment_intent"]["latest_charge"]
    assert charge["amount_captured"] == answers[3]["amount_paid"] == 500


def test_version_is_that_of_the_pinned_sdk() -> None:
    assert _ApiVersion.CURRENT == API_VERSION


def test_every_shape_is_a_class_of_the_sdk() -> None:
    assert set(SHAPES) == set(_CLASSES)


def test_make_with_an_unknown_field_raises() -> None:
    with pytest.raises(KeyError, match="price has no colour"):
        make("price", colour="red")


@pytest.mark.parametrize(
    ("changes", "result"),
    [
        ({"colour": "red"}, "product.colour: unknown"),
        ({"active": None}, "product.active: None is no"),
        ({"active": "yes"}, "product.active: 'yes' is no"),
        ({"type": "thing"}, "product.type: 'thing' is none of"),
        ({"marketing_features": [{"title": "x"}]}, "product.marketing_features[0].title: unknown"),
    ],
)
def test_misfits_finds_what_does_not_fit(changes: dict[str, Any], result: str) -> None:
    assert any(line.startswith(result) for line in misfits({**make("product"), **changes}))
    lacking = make("product")
    del lacking["name"]
    assert misfits(lacking) == ["product.name: missing"]
    assert isinstance(stripe.Product, type)
