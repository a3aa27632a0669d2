"""Objects of the till and of its events match the types of the SDK's classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import stripe
from stripe._api_version import _ApiVersion

from church.till.shapes import API_VERSION, SHAPES, make_object
from tests.support.sdk_shapes import _CLASSES, find_differences
from tests.support.services_fixture import site_settings
from tests.support.till_fixture import PATRON, InProcessTill


@pytest.fixture(scope="module")
def used_till(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessTill]:
    """A till in which each kind of event has happened."""
    till = InProcessTill(site_settings(tmp_path_factory.mktemp("used")))
    _use_everything(till)
    yield till
    till.desk.store.close()


def _use_everything(till: InProcessTill) -> None:
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
    secure = till.subscribe(card="always_secure")
    change: Any = {**upgrade, "items": [{"id": secure["items"]["data"][0]["id"], "price": PATRON}]}
    till.stripe.v1.subscriptions.update(secure["id"], {**change, "payment_behavior": "pending_if_incomplete"})
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


def test_objects_match_the_sdk_classes(used_till: InProcessTill) -> None:
    with used_till.desk.store.transaction():
        kept = {kind: list(used_till.desk.store.all(kind)) for kind in SHAPES}
    inside = {"item", "line_item", "plan", "subscription_item"}  # only inside other objects
    assert {kind for kind, found in kept.items() if not found} <= inside
    assert [line for found in kept.values() for obj in found for line in find_differences(obj)] == []


def test_events_match_the_sdk_classes(used_till: InProcessTill) -> None:
    events = [
        event.to_dict(for_json=True) for event in used_till.stripe.v1.events.list({"limit": 100}).auto_paging_iter()
    ]
    assert len({event["type"] for event in events}) > 35
    for event in events:
        assert find_differences(event) == []
        assert find_differences(event["data"]["object"]) == [], event["type"]
        assert set(event["data"].get("previous_attributes", {})) <= set(event["data"]["object"])


def test_preview_and_expanded_objects_match_the_sdk_classes(used_till: InProcessTill) -> None:
    subscription = used_till.subscribe()
    api = used_till.stripe.v1
    preview = api.invoices.create_preview({"subscription": subscription["id"]})
    session = api.checkout.sessions.list({"subscription": subscription["id"], "expand": ["data.line_items"]}).data[0]
    customer = api.customers.retrieve(subscription["customer"], {"expand": ["subscriptions"]})
    invoice = api.invoices.retrieve(
        subscription["latest_invoice"], {"expand": ["payments.data.payment.payment_intent.latest_charge", "customer"]}
    )
    answers = [one.to_dict(for_json=True) for one in (preview, session, customer, invoice)]
    assert [line for one in answers for line in find_differences(one)] == []
    charge = answers[3]["payments"]["data"][0]["payment"]["payment_intent"]["latest_charge"]
    assert charge["amount_captured"] == answers[3]["amount_paid"] == 500


def test_api_version_is_the_sdks() -> None:
    assert _ApiVersion.CURRENT == API_VERSION


def test_each_shape_has_an_sdk_class() -> None:
    assert set(SHAPES) == set(_CLASSES)


def test_make_unknown_field_raises() -> None:
    with pytest.raises(KeyError, match="price has no colour"):
        make_object("price", colour="red")


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
def test_misfits_finds_each_kind_of_difference(changes: dict[str, Any], result: str) -> None:
    assert any(line.startswith(result) for line in find_differences({**make_object("product"), **changes}))
    incomplete = make_object("product")
    del incomplete["name"]
    assert find_differences(incomplete) == ["product.name: missing"]
    assert isinstance(stripe.Product, type)
