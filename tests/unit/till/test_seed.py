"""Plans and promotion code of a new till."""

from __future__ import annotations


def test_new_till_has_two_plans_and_a_promotion_code(till):
    prices = till.stripe.v1.prices.list({"active": True, "expand": ["data.product"]}).data
    found = {(p.product.metadata["church_plan"], p.recurring.interval): p.unit_amount for p in prices}
    assert found == {
        ("friend", "month"): 500,
        ("friend", "year"): 5000,
        ("patron", "month"): 1200,
        ("patron", "year"): 12000,
    }
    assert {p.product.id: p.recurring.trial_period_days for p in prices} == {"prod_friend": None, "prod_patron": 14}
    code = till.stripe.v1.promotion_codes.list({"code": "WELCOME20", "active": True}).data[0]
    assert till.stripe.v1.coupons.retrieve(code.promotion.coupon).percent_off == 20
