"""Plans of a Stripe account: products with ``church_plan``, or all suitable ones where none has it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from church.config import Settings
from church.jobs.registry import find_handler, registered_schedules
from church.models import Product, Subscription
from church.services import billing
from church.services.billing.stripe.products_and_prices import Synced
from tests.support.stripe_fixture import SiteWithFakeStripe, make_event

pytestmark = pytest.mark.services


@pytest.fixture
def shop(migrated_site: Settings) -> Iterator[SiteWithFakeStripe]:
    shop = SiteWithFakeStripe(migrated_site)
    yield shop
    shop.close()


def _sync(shop: SiteWithFakeStripe) -> Synced:
    with shop.app.app_context():
        return billing.sync_catalogue()


def _offered(shop: SiteWithFakeStripe) -> dict[str, list[str]]:
    with shop.app.app_context():
        return {plan.plan: [price.stripe_id for price in plan.prices] for plan in billing.list_plans()}


def _unmarked(shop: SiteWithFakeStripe, stripe_id: str, name: str, amount: int = 900, **changes: object) -> None:
    shop.stripe.product(stripe_id).update(name=name, **changes)
    shop.stripe.price(f"price_{stripe_id}", stripe_id, amount)


def test_sync_without_metadata_takes_products_with_simple_prices(shop: SiteWithFakeStripe) -> None:
    shop.stripe.objects.clear()
    _unmarked(shop, "prod_gold", "Gold & Silver", 300)
    _unmarked(shop, "prod_gone", "Gone", active=False)
    _unmarked(shop, "prod_week", "Weekly")
    shop.stripe.objects["price_prod_week"]["recurring"] = {"interval": "week", "interval_count": 1}
    _unmarked(shop, "prod_mug", "Mug")
    shop.stripe.objects["price_prod_mug"]["recurring"] = None
    _unmarked(shop, "prod_kana", "\u91d1", 400)
    _unmarked(shop, "prod_twin", "gold silver", 500)
    done = _sync(shop)
    assert (done.marked, done.unmarked) == (0, 5)
    assert _offered(shop) == {
        "gold-silver": ["price_prod_gold"], "prod_kana": ["price_prod_kana"], "prod_twin": ["price_prod_twin"],
    }  # fmt: skip
    assert _sync(shop).changed == 0


def test_subscription_to_a_plan_without_metadata_gives_premium(shop: SiteWithFakeStripe) -> None:
    shop.stripe.objects.clear()
    _unmarked(shop, "prod_gold", "Gold")
    _sync(shop)
    user_id, subscription = shop.subscriber(price="price_prod_gold")
    assert shop.deliver(make_event("customer.subscription.created", subscription)).status == "processed"
    assert shop.one(Subscription).plan == "gold"
    assert shop.premium(user_id)


def test_plan_without_metadata_keeps_its_name_when_the_product_is_renamed(shop: SiteWithFakeStripe) -> None:
    shop.stripe.objects.clear()
    _unmarked(shop, "prod_gold", "Gold")
    _sync(shop)
    shop.stripe.objects["prod_gold"]["name"] = "Platinum"
    _sync(shop)
    assert (shop.one(Product).name, shop.one(Product).plan) == ("Platinum", "gold")


def test_sync_first_metadata_withdraws_products_without_it(shop: SiteWithFakeStripe) -> None:
    shop.stripe.objects.clear()
    _unmarked(shop, "prod_gold", "Gold")
    _unmarked(shop, "prod_book", "Book club")
    _sync(shop)
    assert set(_offered(shop)) == {"gold", "book-club"}
    shop.stripe.objects["prod_gold"]["metadata"] = {"church_plan": "best"}
    done = _sync(shop)
    assert (done.marked, done.unmarked) == (1, 1)
    assert _offered(shop) == {"best": ["price_prod_gold"]}


def test_plans_are_synced_hourly(shop: SiteWithFakeStripe) -> None:
    shop.stripe.objects.clear()
    _unmarked(shop, "prod_gold", "Gold")
    assert registered_schedules()["billing.sync"] == timedelta(hours=1)
    with shop.app.app_context():
        find_handler("billing.sync")({})
    assert _offered(shop) == {"gold": ["price_prod_gold"]}
