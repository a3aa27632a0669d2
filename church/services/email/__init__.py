"""Emails: queued in the transaction that causes them, composed and sent by the worker process."""
