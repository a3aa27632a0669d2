"""Coupons and promotion codes are read and listed."""

from __future__ import annotations

import pytest
import stripe


def codes(till, **params):
    return [one.code for one in till.stripe.v1.promotion_codes.list(params).data]


def test_coupon_is_read_and_listed(till):
    assert till.stripe.v1.coupons.retrieve("welcome20").percent_off == 20
    assert [one.id for one in till.stripe.v1.coupons.list().data] == ["welcome20"]


def test_promotion_code_is_listed_by_code_coupon_and_activity(till):
    for params in ({}, {"code": "WELCOME20"}, {"coupon": "welcome20"}, {"active": True}):
        assert codes(till, **params) == ["WELCOME20"]
    for params in ({"code": "OTHER"}, {"coupon": "other"}, {"active": False}):
        assert codes(till, **params) == []


def test_promotion_code_is_read_by_its_id(till):
    [code] = till.stripe.v1.promotion_codes.list().data
    assert till.stripe.v1.promotion_codes.retrieve(code.id).promotion.coupon == "welcome20"


def test_coupon_or_code_that_is_unknown_is_refused(till):
    for read in (till.stripe.v1.coupons.retrieve, till.stripe.v1.promotion_codes.retrieve):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            read("none")
        assert caught.value.code == "resource_missing"
