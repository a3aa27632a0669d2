"""Emails: queued in a transaction, composed and sent by the worker process."""
