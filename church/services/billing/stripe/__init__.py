"""Calls to Stripe, its webhooks, and the conversion of its objects to our rows."""
