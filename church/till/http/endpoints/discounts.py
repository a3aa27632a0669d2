"""Endpoints of coupons and promotion codes."""

from __future__ import annotations

from church.till.desk import Till
from church.till.http.api import endpoint
from church.till.http.lists import PAGING, list_page
from church.till.http.params import Params
from church.till.store import Obj


@endpoint("POST", "/coupons")
def create_coupon(till: Till, params: Params) -> Obj:
    """Create a coupon, for all products or for some."""
    params.allow("amount_off applies_to currency duration duration_in_months id name percent_off")
    percent = params.text("percent_off")
    coupon = till.make(
        "coupon",
        amount_off=params.number("amount_off"),
        currency=params.text("currency"),
        duration=params.choice("duration", "once", "forever", "repeating"),
        duration_in_months=params.number("duration_in_months"),
        name=params.text("name"),
        percent_off=float(percent) if percent else None,
    )
    coupon["id"] = params.text("id") or coupon["id"]
    if products := params.table("applies_to").texts("products"):
        till.store.put({"id": f"applies_to_{coupon['id']}", "object": "till.note", "data": products})
    return till.add(coupon, "coupon.created")


@endpoint("GET", "/coupons/<coupon>")
def get_coupon(till: Till, params: Params, coupon: str) -> Obj:
    """Return a coupon."""
    return till.get("coupon", coupon)


@endpoint("GET", "/coupons")
def list_coupons(till: Till, params: Params) -> Obj:
    """List coupons."""
    return list_page(till, params.allow(PAGING), "coupon", "/v1/coupons")


@endpoint("GET", "/promotion_codes/<promotion>")
def get_promotion_code(till: Till, params: Params, promotion: str) -> Obj:
    """Return a promotion code."""
    return till.get("promotion_code", promotion)


@endpoint("GET", "/promotion_codes")
def list_promotion_codes(till: Till, params: Params) -> Obj:
    """List promotion codes, by text, coupon and activity."""
    params.allow(f"{PAGING} active code coupon customer")
    return list_page(
        till,
        params,
        "promotion_code",
        "/v1/promotion_codes",
        active=params.flag("active"),
        code=params.text("code"),
        promotion__coupon=params.text("coupon"),
        customer=params.text("customer"),
    )
