"""What the database knows already of Stripe's objects: whether they are this site's, and whose."""

from __future__ import annotations

from sqlalchemy import bindparam, or_, select
from sqlalchemy.orm import Session

from church.extensions import db
from church.models import Checkout, Customer, Invoice, LedgerEntry, Price, Product, Subscription, User
from church.models.billing import ENDED_STATUSES

# Asked for each event: made once, and of the table, for the ORM's way takes several times as long.
_OWNER = select(Customer.__table__.c.user_id).where(Customer.__table__.c.stripe_id == bindparam("customer"))


def owner_of_customer(stripe_id: str) -> int | None:
    """The member who is that customer."""
    with db.read() as session:
        return owner_in(session, stripe_id)


def owner_in(session: Session, stripe_id: str) -> int | None:
    """The same within a transaction of the caller's."""
    owner: int | None = session.scalars(_OWNER, {"customer": stripe_id}).one_or_none()
    return owner


def user_of_ref(ref: str) -> int | None:
    """The account of that public name."""
    with db.read() as session:
        return session.scalars(select(User.id).where(User.ref == ref)).one_or_none()


def owner_of_checkout(stripe_session: str, ref: str | None) -> int | None:
    """The member whose checkout a session is, by Stripe's name of it or by ours."""
    ours = or_(Checkout.stripe_session == stripe_session, Checkout.ref == ref)
    with db.read() as session:
        return session.scalars(select(Checkout.user_id).where(ours).limit(1)).one_or_none()


def plan_of_subscription(stripe_id: str) -> str | None:
    """The plan of a subscription that is here already."""
    with db.read() as session:
        return session.scalars(select(Subscription.plan).where(Subscription.stripe_id == stripe_id)).one_or_none()


def unpaid_invoice(subscription: str) -> str | None:
    """Stripe's id of the invoice that made a subscription past due, by what is known here."""
    query = select(Subscription.latest_invoice).where(
        Subscription.stripe_id == subscription, Subscription.past_due_since.is_not(None)
    )
    with db.read() as session:
        return session.scalars(query).one_or_none()


def is_due(invoice: str | None) -> bool:
    """Whether an invoice is here, and was not a draft: what becomes of it is told by its own events."""
    query = select(Invoice.id).where(Invoice.stripe_id == invoice, Invoice.status != "draft")
    with db.read() as session:
        return session.scalars(query).first() is not None


def plan_of_product(stripe_id: str) -> str | None:
    """The plan that a product is."""
    with db.read() as session:
        return session.scalars(select(Product.plan).where(Product.stripe_id == stripe_id)).one_or_none()


def is_price(stripe_id: str) -> bool:
    """Whether a price is here."""
    with db.read() as session:
        return session.scalars(select(Price.id).where(Price.stripe_id == stripe_id)).first() is not None


def is_booked(payment: str) -> bool:
    """Whether a payment is in the ledger."""
    with db.read() as session:
        return session.scalars(select(LedgerEntry.id).where(LedgerEntry.stripe_payment == payment)).first() is not None


def customer_of_payment(payment: str) -> str | None:
    """Stripe's id of the customer whose payment is in the ledger."""
    query = select(LedgerEntry.stripe_customer).where(LedgerEntry.stripe_payment == payment)
    with db.read() as session:
        return session.scalars(query.limit(1)).first()


def living_subscriptions(customer: str) -> list[str]:
    """Stripe's ids of a customer's subscriptions that have not ended, as far as is known here."""
    query = select(Subscription.stripe_id).join(Customer, Customer.id == Subscription.customer_id)
    with db.read() as session:
        return list(
            session.scalars(query.where(Customer.stripe_id == customer, Subscription.status.not_in(ENDED_STATUSES)))
        )
