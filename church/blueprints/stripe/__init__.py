"""Membership as its members meet it, and Stripe's webhooks: one blueprint, a room for each part of it."""

from church.blueprints.stripe import change, checkout, own, pricing, webhook
from church.blueprints.stripe.blueprint import bp
from church.blueprints.stripe.webhook import MACHINES

__all__ = ["MACHINES", "bp", "change", "checkout", "own", "pricing", "webhook"]
