"""Test cards, each with a fixed behaviour. The numbers are those of Stripe's own test cards.

Source: https://docs.stripe.com/testing
"""

from __future__ import annotations

from dataclasses import dataclass

from church.till.desk import Till
from church.till.store import Obj

PAID = ""
ACTION_REQUIRED = "authentication_required"
DECLINED = "card_declined"


@dataclass(frozen=True)
class Card:
    """A test card: ``now`` is the result of a payment at the checkout, ``later`` that of a renewal."""

    name: str
    title: str
    number: str
    now: str = PAID
    later: str = PAID

    @property
    def last4(self) -> str:
        """The last four digits of the number."""
        return self.number[-4:]


CARDS = (
    Card("good", "A card that pays", "4242424242424242"),
    Card("declined", "A card that is declined", "4000000000000002", DECLINED, DECLINED),
    Card("secure", "A card that asks for 3-D Secure once", "4000002500003155", ACTION_REQUIRED),
    Card(
        "always_secure",
        "A card that asks for 3-D Secure every time",
        "4000002760003184",
        ACTION_REQUIRED,
        ACTION_REQUIRED,
    ),
    Card("fails_later", "A card that pays now, and whose renewals are declined", "4000000000000341", PAID, DECLINED),
)
BY_NAME = {card.name: card for card in CARDS}
_BY_LAST4 = {card.last4: card for card in CARDS}


def attach_card(till: Till, card: Card, customer: str) -> Obj:
    """Store ``card`` as a payment method of the customer."""
    method = till.make("payment_method", customer=customer, card=_details(card))
    return till.add(method, "payment_method.attached")


def _details(card: Card) -> Obj:
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


def try_card(till: Till, card: Card | None, *, present: bool) -> str:
    """Return the result of a payment: PAID, ACTION or DECLINED. ``present``: the payer is on the page."""
    if card is None or till.store.get_knob("decline"):
        return DECLINED
    return card.now if present else card.later


def find_card(method: Obj | None) -> Card | None:
    """Return the test card of a payment method."""
    return _BY_LAST4[method["card"]["last4"]] if method else None
