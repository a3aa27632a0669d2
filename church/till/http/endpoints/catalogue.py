"""Products and prices."""

from __future__ import annotations

from church.till.desk import Desk
from church.till.http.api import endpoint
from church.till.http.errors import TillError
from church.till.http.lists import PAGING, page
from church.till.http.params import Params
from church.till.store import Obj

_PRODUCT = "active description images marketing_features metadata name statement_descriptor tax_code unit_label url"
_PRICE = "active lookup_key metadata nickname tax_behavior"


@endpoint("POST", "/products")
def create_product(till: Desk, params: Params) -> Obj:
    """A product; a price may come with it."""
    params.only(f"id {_PRODUCT} default_price_data type shippable")
    made = till.make("product", name=params.needed("name"))
    made["id"] = params.text("id") or made["id"]
    if till.store.get(made["id"]):
        raise TillError("Product already exists.", "resource_already_exists", "id")
    made.update(_product_fields(till, params, made))
    till.keep(made, "product.created")
    if "default_price_data" in params:
        price = _price(till, params.table("default_price_data"), made["id"])
        till.change(made, "product.updated", default_price=price["id"])
    return made


@endpoint("POST", "/products/<product>")
def update_product(till: Desk, params: Params, product: str) -> Obj:
    """Change fields of a product."""
    found = till.get("product", product)
    params.only(f"{_PRODUCT} default_price")
    values = _product_fields(till, params, found)
    if "default_price" in params:
        price = params.text("default_price")
        values["default_price"] = till.get("price", price, "default_price")["id"] if price else None
    return till.change(found, "product.updated", **values, updated=till.now)


def _product_fields(till: Desk, params: Params, before: Obj) -> Obj:
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
        values["marketing_features"] = [{"name": row.needed("name")} for row in params.rows("marketing_features")]
    if "metadata" in params:
        values["metadata"] = params.texts_by_name("metadata", before["metadata"])
    return values


@endpoint("GET", "/products/<product>")
def get_product(till: Desk, params: Params, product: str) -> Obj:
    """One product."""
    return till.get("product", product)


@endpoint("GET", "/products")
def list_products(till: Desk, params: Params) -> Obj:
    """Products, by ``active`` and ``ids``."""
    params.only(f"{PAGING} active ids shippable url")
    ids, active = params.texts("ids"), params.flag("active")
    return page(till, params, "product", "/v1/products", lambda one: not ids or one["id"] in ids, active=active)


@endpoint("POST", "/prices")
def create_price(till: Desk, params: Params) -> Obj:
    """A price of a product that is there, or of one that is made with it."""
    params.only(f"{_PRICE} currency unit_amount unit_amount_decimal recurring product product_data billing_scheme")
    if "product_data" in params:
        product = create_product(till, params.table("product_data"))["id"]
    else:
        product = till.get("product", params.needed("product"), "product")["id"]
    return _price(till, params, product)


def _price(till: Desk, params: Params, product: str) -> Obj:
    amount = params.number("unit_amount")
    if amount is None or amount < 0:
        raise TillError("The test till knows prices with a `unit_amount` alone.", "parameter_missing", "unit_amount")
    made = till.make(
        "price",
        currency=params.needed("currency").lower(),
        product=product,
        unit_amount=amount,
        unit_amount_decimal=str(amount),
        recurring=_recurring(params.table("recurring")) if "recurring" in params else None,
    )
    made["type"] = "recurring" if made["recurring"] else "one_time"
    made.update(_price_fields(params, made))
    return till.keep(made, "price.created")


def _recurring(params: Params) -> Obj:
    params.only("interval interval_count usage_type trial_period_days")
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
def update_price(till: Desk, params: Params, price: str) -> Obj:
    """Change what may change: an amount never does."""
    found = till.get("price", price)
    return till.change(found, "price.updated", **_price_fields(params.only(_PRICE), found))


@endpoint("GET", "/prices/<price>")
def get_price(till: Desk, params: Params, price: str) -> Obj:
    """One price."""
    return till.get("price", price)


@endpoint("GET", "/prices")
def list_prices(till: Desk, params: Params) -> Obj:
    """Prices, by product, activity, kind, currency and keys."""
    params.only(f"{PAGING} active currency lookup_keys product recurring type")
    keys, recurring = params.texts("lookup_keys"), params.table("recurring").text("interval")
    return page(
        till,
        params,
        "price",
        "/v1/prices",
        lambda one: (
            (not keys or one["lookup_key"] in keys)
            and (recurring is None or (bool(one["recurring"]) and one["recurring"]["interval"] == recurring))
        ),
        active=params.flag("active"),
        currency=params.text("currency"),
        product=params.text("product"),
        type=params.text("type"),
    )
