"""What a new till sells: two plans, monthly and yearly, and a code that makes the first payment smaller."""

from __future__ import annotations

from church.till.desk import Desk

_PLANS = (
    (
        "friend",
        "Friend",
        "Every premium page.",
        ("Premium pages",),
        0,
        {"month": 500, "year": 5000},
    ),
    (
        "patron",
        "Patron",
        "Everything in Friend, plus extra support for the site.",
        ("Premium pages", "Our thanks"),
        14,
        {"month": 1200, "year": 12000},
    ),
)


def seed(till: Desk) -> None:
    """Fill an empty till; one that sells something stays as it is."""
    with till.store.transaction():
        if any(till.store.all("product")):
            return
        for order, (plan, name, words, features, trial, amounts) in enumerate(_PLANS, 1):
            metadata = {"church_plan": plan, "church_order": str(order), "church_trial_days": str(trial)}
            product = till.make(
                "product",
                name=name,
                description=words,
                marketing_features=[{"name": feature} for feature in features],
                metadata=metadata if trial else {key: metadata[key] for key in ("church_plan", "church_order")},
            )
            product["id"] = f"prod_{plan}"
            till.keep(product, "product.created")
            prices = [_price(till, plan, interval, amount, trial) for interval, amount in amounts.items()]
            till.change(product, "product.updated", default_price=prices[0])
        _code(till)


def _price(till: Desk, plan: str, interval: str, amount: int, trial: int) -> str:
    recurring = {
        "interval": interval,
        "interval_count": 1,
        "meter": None,
        "trial_period_days": trial or None,
        "usage_type": "licensed",
    }
    made = till.make(
        "price",
        currency="usd",
        lookup_key=f"{plan}_{interval}",
        product=f"prod_{plan}",
        recurring=recurring,
        unit_amount=amount,
        unit_amount_decimal=str(amount),
    )
    made["id"] = f"price_{plan}_{interval}"
    return str(till.keep(made, "price.created")["id"])


def _code(till: Desk) -> None:
    coupon = till.make("coupon", duration="once", name="20 % off the first payment", percent_off=20.0)
    coupon["id"] = "welcome20"
    till.keep(coupon, "coupon.created")
    promotion = till.make("promotion_code", code="WELCOME20", promotion={"coupon": "welcome20", "type": "coupon"})
    till.keep(promotion, "promotion_code.created")
