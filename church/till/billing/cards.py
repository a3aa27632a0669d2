"""The cards that the till takes: each behaves in one way. Numbers are those of Stripe's own test cards.

Source: https://docs.stripe.com/testing
"""

from __future__ import annotations

from dataclasses import dataclass

from church.till.desk import Desk
from church.till.store import Obj

PAID = ""
ACTION = "authentication_required"
DECLINED = "card_declined"


@dataclass(frozen=True)
class Card:
    """``now`` is what a payment on the checkout page meets, ``later`` what a renewal does."""

    name: str
    title: str
    number: str
    now: str = PAID
    later: str = PAID

    @property
    def last4(self) -> str:
        """What people see of the number."""
        return self.number[-4:]


CARDS = (
    Card("good", "A card that pays", "4242424242424242"),
    Card("declined", "A card that is declined", "4000000000000002", DECLINED, DECLINED),
    Card("secure", "A card that asks for 3-D Secure once", "4000002500003155", ACTION),
    Card("always_secure", "A card that asks for 3-D Secure every time", "4000002760003184", ACTION, ACTION),
    Card("fails_later", "A card that pays now, and whose renewals are declined", "4000000000000341", PAID, DECLINED),
)
BY_NAME = {card.name: card for card in CARDS}
_BY_LAST4 = {card.last4: card for card in CARDS}


def method_of(till: Desk, card: Card, customer: str) -> Obj:
    """Keep ``card`` as a payment method of the customer."""
    made = till.make("payment_method", customer=customer, card=_details(till, card))
    return till.keep(made, "payment_method.attached")


def _details(till: Desk, card: Card) -> Obj:
    return {
        "brand": "visa",
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
        "country": "US",
        "display_brand": "visa",
        "exp_month": 12,
        "exp_year": 2040,
        "fingerprint": f"till{card.last4}",
        "funding": "credit",
        "generated_from": None,
        "last4": card.last4,
        "networks": {"available": ["visa"], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }


def verdict(till: Desk, card: Card | None, *, present: bool) -> str:
    """What a payment meets: PAID, ACTION or DECLINED; ``present`` if the payer is there to be asked."""
    if card is None or till.store.knob("decline"):
        return DECLINED
    return card.now if present else card.later


def card_of(method: Obj | None) -> Card | None:
    """How a payment method behaves."""
    return _BY_LAST4[method["card"]["last4"]] if method else None
