"""Plans and promotion code of a new till: two plans, monthly and yearly, and 20 % off the first payment."""

from __future__ import annotations

from church.till.desk import Till

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


def add_plans(till: Till) -> None:
    """Add the plans and the code, unless there is a product already."""
    with till.store.transaction():
        if any(till.store.all("product")):
            return
        for order, (plan, name, description, features, trial, amounts) in enumerate(_PLANS, 1):
            metadata = {"church_plan": plan, "church_order": str(order), "church_trial_days": str(trial)}
            product = till.make(
                "product",
                name=name,
                description=description,
                marketing_features=[{"name": feature} for feature in features],
                metadata=metadata if trial else {key: metadata[key] for key in ("church_plan", "church_order")},
            )
            product["id"] = f"prod_{plan}"
            till.add(product, "product.created")
            prices = [_add_price(till, plan, interval, amount, trial) for interval, amount in amounts.items()]
            till.change(product, "product.updated", default_price=prices[0])
        _add_code(till)


def _add_price(till: Till, plan: str, interval: str, amount: int, trial: int) -> str:
    recurring = {
        "interval": interval,
        "interval_count": 1,
        "meter": None,
        "trial_period_days": trial or None,
        "usage_type": "licensed",
    }
    price = till.make(
        "price",
        currency="usd",
        lookup_key=f"{plan}_{interval}",
        product=f"prod_{plan}",
        recurring=recurring,
        unit_amount=amount,
        unit_amount_decimal=str(amount),
    )
    price["id"] = f"price_{plan}_{interval}"
    return str(till.add(price, "price.created")["id"])


def _add_code(till: Till) -> None:
    coupon = till.make("coupon", duration="once", name="20 % off the first payment", percent_off=20.0)
    coupon["id"] = "welcome20"
    till.add(coupon, "coupon.created")
    promotion = till.make("promotion_code", code="WELCOME20", promotion={"coupon": "welcome20", "type": "coupon"})
    till.add(promotion, "promotion_code.created")
