"""Emails: queued in the transaction that causes them, composed and sent by the worker process."""

from church.services.email.address_hash import hash_address
from church.services.email.cancel_queued import cancel_emails
from church.services.email.errors import MailDeferredError
from church.services.email.outbox_folder import outbox_path
from church.services.email.queue import count_pending_emails, list_recent_emails, queue_email, retry_email
from church.services.email.smtp import can_send_to, probe_server
from church.services.email.to_admins import queue_email_to_admins

__all__ = [
    "MailDeferredError",
    "can_send_to",
    "cancel_emails",
    "count_pending_emails",
    "hash_address",
    "list_recent_emails",
    "outbox_path",
    "probe_server",
    "queue_email",
    "queue_email_to_admins",
    "retry_email",
]
