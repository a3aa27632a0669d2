"""A Stripe stand-in that has what the rows of a seeded site say, for ``ops.bench.size``.

It is the test till's API in a process of its own, without what bills: a hundred thousand subscriptions are too many
for that.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from http.client import HTTPConnection
from pathlib import Path
from socket import create_server, socket
from typing import Any

from sqlalchemy import Row, select, update

from church.config import Settings
from church.database.batches import find_in_batches
from church.extensions import db
from church.models import Invoice, LedgerEntry, Price, Product, Subscription
from church.models.base import utc_now
from church.services.billing.stripe.reconcile import LOOK_BACK
from church.till.app import create_till
from church.till.shapes import make_legacy_plan, make_list, make_object
from church.till.store import Obj, Store


@contextmanager
def stripe_stand_in(settings: Settings, folder: Path) -> Iterator[int]:
    """Serve it on ``settings.till_address`` for a block, which gets the number of objects to compare.

    Call it in the context of the site's app. Nothing differs, and no amount is asked again.
    """
    for ids in find_in_batches(db, Subscription.id):
        with db.write() as session:
            session.execute(update(Subscription).where(Subscription.id.in_(ids)).values(renewal_asked_at=utc_now()))
    count = _fill(folder / "till.db")
    host, _, port = settings.till_address.rpartition(":")
    listener = create_server((host, int(port)), backlog=128)
    till = settings.model_copy(update={"instance": folder})
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(till, listener), daemon=True)
    process.start()
    listener.close()
    try:
        _wait(host, int(port))
        yield count
    finally:
        process.terminate()
        process.join()


def _wait(host: str, port: int) -> None:
    """Wait for the first answer, which takes longer than Stripe may."""
    connection = HTTPConnection(host, port, timeout=120)
    connection.request("GET", "/v1/products")
    connection.getresponse().read()
    connection.close()


def _serve(settings: Settings, listener: socket) -> None:
    from gevent.pywsgi import WSGIServer  # noqa: PLC0415 - only this process serves
    from gevent.socket import socket as GeventSocket  # noqa: N812, PLC0415

    WSGIServer(GeventSocket(fileno=listener.detach()), create_till(settings), log=None).serve_forever()


def _fill(file: Path) -> int:
    store = Store(file)
    with db.read() as session, store.transaction():
        prices = {row.stripe_id: _price(row) for row in session.execute(select(Price.__table__))}
        products = [_product(row) for row in session.execute(select(Product.__table__))]
        for obj in (*products, *prices.values()):
            store.put(obj)
        since = utc_now() - LOOK_BACK
        rows = select(Subscription.__table__).order_by(Subscription.id).execution_options(yield_per=1000)
        count = _put(store, (_subscription(row, prices[row.stripe_price]) for row in session.execute(rows)))
        rows = select(Invoice.__table__).where(Invoice.created_at > since).order_by(Invoice.id)
        count += _put(store, (_invoice(row) for row in session.execute(rows)))
        entries = select(LedgerEntry.__table__).where(LedgerEntry.occurred_at > since).order_by(LedgerEntry.id)
        count += _put(store, _list_refunds_and_disputes(session.execute(entries).all()))
    store.close()
    return count


def _put(store: Store, objects: Iterable[Obj]) -> int:
    count = 0
    for obj in objects:
        store.put(obj)
        count += 1
    return count


def _product(row: Row[Any]) -> Obj:
    return make_object(
        "product", id=row.stripe_id, name=row.name, description=row.description, active=row.active,
        marketing_features=[{"name": name} for name in row.features],
        metadata={"church_plan": row.plan, "church_order": str(row.position)},
    )  # fmt: skip


def _price(row: Row[Any]) -> Obj:
    recurring = {"interval": row.interval, "interval_count": row.interval_count, "usage_type": "licensed"}
    return make_object(
        "price", id=row.stripe_id, product=row.stripe_product, currency=row.currency, unit_amount=row.amount,
        tax_behavior=row.tax_behavior, active=row.active, created=_seconds(row.created_at),
        recurring={**recurring, "meter": None, "trial_period_days": None},
    )  # fmt: skip


def _subscription(row: Row[Any], price: Obj) -> Obj:
    item = make_object(
        "subscription_item", id=row.stripe_item, price=price, plan=make_legacy_plan(price), subscription=row.stripe_id,
        current_period_start=_seconds(row.current_period_start), current_period_end=_seconds(row.current_period_end),
    )  # fmt: skip
    started = _seconds(row.started_at)
    return make_object(
        "subscription", id=row.stripe_id, status=row.status, currency=row.currency, created=started,
        start_date=started, ended_at=_seconds(row.ended_at), items=make_list([item], "/v1/subscription_items"),
    )  # fmt: skip


def _invoice(row: Row[Any]) -> Obj:
    times = {"finalized_at": _seconds(row.created_at), "paid_at": _seconds(row.paid_at)}
    return make_object(
        "invoice", id=row.stripe_id, status=row.status, number=row.number, currency=row.currency, total=row.total,
        amount_due=row.total, amount_paid=row.amount_paid, amount_remaining=row.amount_remaining,
        attempt_count=row.attempts, created=_seconds(row.created_at), status_transitions=times,
        parent={"subscription_details": {"subscription": row.stripe_subscription}, "type": "subscription_details"},
    )  # fmt: skip


def _list_refunds_and_disputes(rows: list[Row[Any]]) -> Iterator[Obj]:
    """One for each entry of a refund or of what a dispute withdrew; entries that undo them are part of them."""
    sources = {row.source_id for row in rows}
    for row in rows:
        kind, _, name = row.source_id.partition(":")
        name = name.partition(":")[0]
        facts = {"id": name, "created": _seconds(row.occurred_at), "currency": row.currency, "amount": -row.amount}
        if kind == "refund":
            yield make_object("refund", status="failed" if f"refund_failed:{name}" in sources else "succeeded", **facts)
        elif row.source_id.endswith(":withdrawn"):
            moved = [1, -1] if f"dispute:{name}:reinstated" in sources else [-1]
            yield make_object("dispute", balance_transactions=[{"amount": sign} for sign in moved], **facts)


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
