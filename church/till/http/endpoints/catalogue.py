"""Endpoints of products and prices."""

from __future__ import annotations

from church.till.desk import Till
from church.till.http.api import endpoint
from church.till.http.errors import TillError
from church.till.http.lists import PAGING, list_page
from church.till.http.params import Params
from church.till.store import Obj

_PRODUCT = "active description images marketing_features metadata name statement_descriptor tax_code unit_label url"
_PRICE = "active lookup_key metadata nickname tax_behavior"


@endpoint("POST", "/products")
def create_product(till: Till, params: Params) -> Obj:
    """Create a product, optionally with a price."""
    params.allow(f"id {_PRODUCT} default_price_data type shippable")
    product = till.make("product", name=params.required("name"))
    product["id"] = params.text("id") or product["id"]
    if till.store.get(product["id"]):
        raise TillError("Product already exists.", "resource_already_exists", "id")
    product.update(_product_fields(till, params, product))
    till.add(product, "product.created")
    if "default_price_data" in params:
        price = _add_price(till, params.table("default_price_data"), product["id"])
        till.change(product, "product.updated", default_price=price["id"])
    return product


@endpoint("POST", "/products/<product>")
def update_product(till: Till, params: Params, product: str) -> Obj:
    """Update a product."""
    found = till.get("product", product)
    params.allow(f"{_PRODUCT} default_price")
    values = _product_fields(till, params, found)
    if "default_price" in params:
        price = params.text("default_price")
        values["default_price"] = till.get("price", price, "default_price")["id"] if price else None
    return till.change(found, "product.updated", **values, updated=till.now)


def _product_fields(till: Till, params: Params, before: Obj) -> Obj:
    values: Obj = {
        name: params.text(name)
        for name in ("description", "statement_descriptor", "tax_code", "unit_label", "url")
        if name in params
    }
    if params.text("name"):
        values["name"] = params.text("name")
    if (active := params.flag("active")) is not None:
        values["active"] = active
    if "images" in params:
        values["images"] = params.texts("images")
    if "marketing_features" in params:
        values["marketing_features"] = [{"name": row.required("name")} for row in params.rows("marketing_features")]
    if "metadata" in params:
        values["metadata"] = params.texts_by_name("metadata", before["metadata"])
    return values


@endpoint("GET", "/products/<product>")
def get_product(till: Till, params: Params, product: str) -> Obj:
    """Return a product."""
    return till.get("product", product)


@endpoint("GET", "/products")
def list_products(till: Till, params: Params) -> Obj:
    """List products, by ``active`` and ``ids``."""
    params.allow(f"{PAGING} active ids shippable url")
    ids, active = params.texts("ids"), params.flag("active")
    return list_page(
        till, params, "product", "/v1/products", lambda product: not ids or product["id"] in ids, active=active
    )


@endpoint("POST", "/prices")
def create_price(till: Till, params: Params) -> Obj:
    """Create a price, of an existing product or of a new one."""
    params.allow(
        f"{_PRICE} billing_scheme currency currency_options product product_data recurring transform_quantity "
        "unit_amount unit_amount_decimal"
    )
    if "product_data" in params:
        product = create_product(till, params.table("product_data"))["id"]
    else:
        product = till.get("product", params.required("product"), "product")["id"]
    return _add_price(till, params, product)


def _add_price(till: Till, params: Params, product: str) -> Obj:
    amount = params.number("unit_amount")
    if amount is None or amount < 0:
        raise TillError("The test till supports only prices with a `unit_amount`.", "parameter_missing", "unit_amount")
    price = till.make(
        "price",
        currency=params.required("currency").lower(),
        product=product,
        unit_amount=amount,
        unit_amount_decimal=str(amount),
        recurring=_recurring(params.table("recurring")) if "recurring" in params else None,
    )
    price["type"] = "recurring" if price["recurring"] else "one_time"
    price.update(_price_fields(params, price))
    if "transform_quantity" in params:
        how = params.table("transform_quantity").allow("divide_by round")
        price["transform_quantity"] = {"divide_by": how.number("divide_by"), "round": how.choice("round", "up", "down")}
    _store_currency_options(till, params, price["id"])
    return till.add(price, "price.created")


def _store_currency_options(till: Till, params: Params, price: str) -> None:
    """Store the amounts in further currencies, which a price shows only where they are expanded."""
    options = params.table("currency_options")
    amounts = {name: options.table(name).allow("unit_amount").number("unit_amount") for name in options.names}
    shown = {"custom_unit_amount": None, "tax_behavior": "unspecified"}
    data = {
        name: {**shown, "unit_amount": amount, "unit_amount_decimal": str(amount)} for name, amount in amounts.items()
    }
    if data:
        till.store.put({"id": f"options_{price}", "object": "till.note", "data": data})


def _recurring(params: Params) -> Obj:
    params.allow("interval interval_count usage_type trial_period_days")
    return {
        "interval": params.choice("interval", "month", "day", "week", "year"),
        "interval_count": params.number("interval_count") or 1,
        "meter": None,
        "trial_period_days": params.number("trial_period_days"),
        "usage_type": params.choice("usage_type", "licensed"),
    }


def _price_fields(params: Params, before: Obj) -> Obj:
    values: Obj = {name: params.text(name) for name in ("lookup_key", "nickname") if name in params}
    if (active := params.flag("active")) is not None:
        values["active"] = active
    if behavior := params.text("tax_behavior"):
        values["tax_behavior"] = behavior
    if "metadata" in params:
        values["metadata"] = params.texts_by_name("metadata", before["metadata"])
    return values


@endpoint("POST", "/prices/<price>")
def update_price(till: Till, params: Params, price: str) -> Obj:
    """Update a price, except for its amount."""
    found = till.get("price", price)
    return till.change(found, "price.updated", **_price_fields(params.allow(_PRICE), found))


@endpoint("GET", "/prices/<price>")
def get_price(till: Till, params: Params, price: str) -> Obj:
    """Return a price."""
    return till.get("price", price)


@endpoint("GET", "/prices")
def list_prices(till: Till, params: Params) -> Obj:
    """List prices, by product, activity, type, currency and lookup keys."""
    params.allow(f"{PAGING} active currency lookup_keys product recurring type")
    keys, interval = params.texts("lookup_keys"), params.table("recurring").text("interval")
    return list_page(
        till,
        params,
        "price",
        "/v1/prices",
        lambda price: (
            (not keys or price["lookup_key"] in keys)
            and (interval is None or (bool(price["recurring"]) and price["recurring"]["interval"] == interval))
        ),
        active=params.flag("active"),
        currency=params.text("currency"),
        product=params.text("product"),
        type=params.text("type"),
    )
