"""Reading all plans from Stripe: marked by metadata, or by their prices, and withdrawn when they are gone."""

from __future__ import annotations

from flask import Flask

from church.models import Price, Product
from church.services.billing.stripe.products_and_prices import sync_catalogue, sync_hourly
from tests.support.billing_rows import stored
from tests.support.helpers import with_settings
from tests.support.stripe_fixture import FakeStripe


def plans() -> dict[str, str]:
    """The stored plans for sale, by Stripe's id."""
    return {row.stripe_id: row.plan for row in stored(Product) if row.active}


def prices() -> set[str]:
    return {row.stripe_id for row in stored(Price) if row.active}


def test_sync_stores_marked_products_with_their_prices(stripe_objects: FakeStripe) -> None:
    """Other products of the account are counted, so that the command can name them; a second sync changes nothing."""
    stripe_objects.product("prod_book")
    stripe_objects.price("price_book", "prod_book", 900)
    done = sync_catalogue()
    assert (done.changed, done.marked, done.unmarked) == (2, 1, 1)
    assert (plans(), prices()) == ({"prod_patron": "patron"}, {"price_month"})
    assert sync_catalogue().changed == 0


def test_sync_withdraws_what_stripe_no_longer_has(stripe_objects: FakeStripe) -> None:
    """A webhook about it may have been lost. The rows stay."""
    stripe_objects.product("prod_friend", church_plan="friend")
    stripe_objects.price("price_friend", "prod_friend", 500)
    sync_catalogue()
    del stripe_objects.objects["prod_friend"], stripe_objects.objects["price_friend"]
    assert sync_catalogue().changed == 2
    assert (plans(), prices()) == ({"prod_patron": "patron"}, {"price_month"})
    assert len(stored(Product)) == 2


def test_sync_without_any_mark_takes_products_with_simple_prices(stripe_objects: FakeStripe) -> None:
    """A product is a plan if the pricing page can show one of its prices."""
    stripe_objects.objects["prod_patron"]["metadata"] = {}
    for name, interval in (("prod_week", "week"), ("prod_bare", ""), ("prod_off", "month")):
        stripe_objects.product(name)
        if interval:
            stripe_objects.price(f"price_{name}", name, 900, interval=interval)
    stripe_objects.objects["prod_off"]["active"] = False
    done = sync_catalogue()
    assert (done.marked, done.unmarked) == (0, 3)
    assert (plans(), prices()) == ({"prod_patron": "patron"}, {"price_month"})


def test_plan_names_without_a_mark_are_short_unique_and_lasting(stripe_objects: FakeStripe) -> None:
    """The name at the first sync stays, as it is a label of metrics; a name that is taken gives way to the id."""
    stripe_objects.objects["prod_patron"].update(metadata={}, name="The Patron's  plan!")
    for name, title in (("prod_same", "the patron s plan"), ("prod_odd", "???"), ("prod_long", "x" * 60)):
        stripe_objects.product(name)["name"] = title
        stripe_objects.price(f"price_{name}", name, 900)
    sync_catalogue()
    named = {
        "prod_patron": "the-patron-s-plan", "prod_same": "prod_same", "prod_odd": "prod_odd", "prod_long": "x" * 40,
    }  # fmt: skip
    assert plans() == named
    stripe_objects.objects["prod_patron"]["name"] = "Friend"
    sync_catalogue()
    assert plans() == named


def test_sync_of_an_empty_account_withdraws_everything(stripe_objects: FakeStripe) -> None:
    """Nothing is for sale."""
    sync_catalogue()
    stripe_objects.objects.clear()
    sync_catalogue()
    assert (plans(), prices()) == ({}, set())


def test_hourly_sync_reads_nothing_on_a_site_without_payments(at_work: Flask, stripe_objects: FakeStripe) -> None:
    """The job runs everywhere."""
    settings = at_work.config["CHURCH"]
    at_work.config["CHURCH"] = with_settings(settings, environment="production")
    sync_hourly({})
    assert stripe_objects.calls == []
    at_work.config["CHURCH"] = settings
    sync_hourly({})
    assert plans() == {"prod_patron": "patron"}
