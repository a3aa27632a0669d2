"""Billing as at Stripe: subscriptions, invoices, payments, refunds, and what happens as time passes."""
