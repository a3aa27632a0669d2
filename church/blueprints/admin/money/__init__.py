"""The section of money: subscriptions, webhook events, the ledger, complimentary premium, payments without a member."""

from church.blueprints.admin.money import events, grants, ledger, subscriptions, unmatched

__all__ = ["events", "grants", "ledger", "subscriptions", "unmatched"]
