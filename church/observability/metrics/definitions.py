"""Every metric that a process counts, with the fixed values of its labels.

State (rows, disks, processes) is read at the scrape instead: see ``scrape_registry`` and ``church.scrape_values``.
``bounded`` turns any value outside its set into ``other``.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from church.config import Settings
from church.lib import cpu_accounts
from church.observability.metrics import worker_files
from church.observability.threats import scan_text

worker_files.install()

CATALOGUE = CollectorRegistry()
UNMATCHED = "_unmatched"
OTHER = "other"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SECURITY_EVENTS = {
    "threat_detected": "high",
    "path_traversal": "medium",
    "invalid_token": "medium",
    "rate_limit_exceeded": "low",
    "connections_refused": "low",
    "blocked": "low",
    "unexpected_error": "low",
    "request_blocked": "high",
    "duplicate_registration_attempt": "medium",
    "login_throttled": "medium",
    "role_probe": "medium",
    "csrf_refused": "medium",
    "webhook_forged": "high",
    "video_token_forged": "medium",
}
"""Each security event with its severity."""
SEVERITIES = tuple(dict.fromkeys(SECURITY_EVENTS.values()))
SOURCES = scan_text.SOURCES
LIMITS = tuple(name.removeprefix("limit_") for name in Settings.model_fields if name.startswith("limit_"))
ACCESS_LEVELS = ("public", "members", "premium")
CONTENT_TYPES = ("page", "video")
CONTENT_OUTCOMES = ("granted", "admin", "teaser", "denied", "not_found")
"""``admin`` counts what admins read and watch, so that ``granted`` is the audience alone."""
AUTH_TYPES = ("registration", "login", "logout", "token", "reset", "websocket")
AUTH_OUTCOMES = (
    "success",
    "failed_validation",
    "failed_exists",
    "failed_credentials",
    "failed_throttled",
    "failed_error",
)
AUTH_LIMITS = {"register": "registration", "login": "login", "token": "token", "live": "websocket"}
"""Limits whose refusals also count as failed attempts of that type."""
LIMIT_EVENTS = {"login": "login_throttled", "login_account": "login_throttled"}
"""The security event of a limit that is refused, where it is not ``rate_limit_exceeded``."""
REGISTRATION_SOURCES = ("web", "cli", "first_admin")
DELIVERY_ITEMS = ("alert", "commit")
STRIPE_EVENTS = (
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "checkout.session.expired",
    "customer.subscription.created",
    "customer.subscription.updated",
    "customer.subscription.deleted",
    "customer.subscription.paused",
    "customer.subscription.resumed",
    "customer.subscription.trial_will_end",
    "customer.updated",
    "customer.deleted",
    "customer.discount.created",
    "customer.discount.updated",
    "customer.discount.deleted",
    "customer.tax_id.created",
    "customer.tax_id.updated",
    "customer.tax_id.deleted",
    "subscription_schedule.updated",
    "subscription_schedule.released",
    "subscription_schedule.canceled",
    "invoice.sent",
    "invoice.overdue",
    "invoice.upcoming",
    "invoice.paid",
    "invoice.payment_failed",
    "invoice.payment_action_required",
    "invoice.finalization_failed",
    "invoice.voided",
    "invoice.marked_uncollectible",
    "invoice_payment.paid",
    "charge.refunded",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.dispute.created",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
    "charge.dispute.closed",
    "payment_method.automatically_updated",
    "price.created",
    "price.updated",
    "price.deleted",
    "product.created",
    "product.updated",
    "product.deleted",
)
"""Event types that the site handles; any other is counted as ``other``."""
WEBHOOK_STATUSES = ("processed", "duplicate", "ignored", "failed", "invalid_signature")
WORK = cpu_accounts.KINDS
OUTBOUND_SERVICES = ("smtp", "stripe", "s3")
OUTBOUND_OUTCOMES = ("success", "refused", "failed", "timeout")
TELEMETRY_PARTS = ("request", "log", "trace", "scan", "scrape", "verb")
TELEMETRY_LOSSES = ("span", "record", "error", "export")
"""Spans beyond the most of a trace, lines of traces.log, errors left out in a flood, spans that no collector got."""

http_requests = Counter(
    "http_requests", "Answered HTTP requests.", ["method", "route", "status_code"], registry=CATALOGUE
)
http_request_duration = Histogram(
    "http_request_duration_seconds",
    "Time from the first byte of a request's head to the last byte of its response.",
    ["method", "route", "status_class"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0),
    registry=CATALOGUE,
)
http_requests_in_flight = Gauge(
    "http_requests_in_flight", "HTTP requests in progress.", multiprocess_mode="livesum", registry=CATALOGUE
)
http_response_bytes = Counter(
    "http_response_bytes", "Bytes of response bodies, as sent to the proxy or client.", ["route"], registry=CATALOGUE
)
security_events = Counter(
    "security_events",
    "Security events, including findings of the threat scan.",
    ["event_type", "severity"],
    registry=CATALOGUE,
)
suspicious_activity = Counter(
    "suspicious_activity", "Findings of the threat scan.", ["activity_type", "source"], registry=CATALOGUE
)
rate_limit_hits = Counter("rate_limit_hits", "Requests refused by a rate limit.", ["limit"], registry=CATALOGUE)
content_access = Counter(
    "content_access",
    "Requests for pages and videos, by access level and outcome.",
    ["content_type", "access_level", "outcome"],
    registry=CATALOGUE,
)
auth_attempts = Counter(
    "auth_attempts",
    "Attempts to register, sign in or out, reset a password or get a token.",
    ["type", "outcome"],
    registry=CATALOGUE,
)
user_registrations = Counter("user_registrations", "New accounts, by source.", ["source"], registry=CATALOGUE)
delivery_items_ignored = Counter(
    "delivery_items_ignored",
    "Alerts of a notification and commits of a deployment that were not valid.",
    ["kind"],
    registry=CATALOGUE,
)
stripe_webhooks = Counter(
    "stripe_webhooks",
    "Stripe webhooks received, by event type and outcome.",
    ["event_type", "status"],
    registry=CATALOGUE,
)
stripe_webhook_lag = Histogram(
    "stripe_webhook_lag_seconds",
    "Time from an event at Stripe to its processing here.",
    buckets=(0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0, 86400.0),
    registry=CATALOGUE,
)
outbound_request_duration = Histogram(
    "outbound_request_duration_seconds",
    "Duration of calls to other services (Stripe, SMTP, S3).",
    ["service", "outcome"],
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
    registry=CATALOGUE,
)
cpu_by_work = Counter(
    "process_cpu_by_work_seconds",
    "CPU time of web workers and the worker process, by what used it.",
    ["work"],
    registry=CATALOGUE,
)
telemetry_errors = Counter(
    "telemetry_errors",
    "Metrics, log records and spans that failed and were dropped.",
    ["part"],
    registry=CATALOGUE,
)
telemetry_lost = Counter(
    "telemetry_lost",
    "Spans, records of traces.log and exported spans that were left out or could not be delivered.",
    ["kind"],
    registry=CATALOGUE,
)
telemetry_series_dropped = Counter(
    "telemetry_series_dropped", "Label sets that were dropped because their metric has too many.", registry=CATALOGUE
)
telemetry_corrupt_files = Counter(
    "telemetry_corrupt_files", "Damaged metric files that were set aside.", registry=CATALOGUE
)
telemetry_scrape_duration = Histogram(
    "telemetry_scrape_duration_seconds",
    "Time to build the answer to a scrape.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
    registry=CATALOGUE,
)


def bound_label(value: str, known: Iterable[str]) -> str:
    """``value`` if it is one of ``known``, else ``other``."""
    return value if value in known else OTHER


def _create_labels(counter: Counter, values: Iterable[str]) -> None:
    for value in values:
        counter.labels(value)


def _from_zero() -> None:
    """Create the label sets that alerts read at 0: a rate needs a zero to rise from."""
    for event, severity in SECURITY_EVENTS.items():
        security_events.labels(event, severity)
    for activity in scan_text.ACTIVITY_TYPES:
        for source in SOURCES:
            suspicious_activity.labels(activity, source)
    for limit in LIMITS:
        rate_limit_hits.labels(limit)
    for kind in AUTH_TYPES:
        for outcome in AUTH_OUTCOMES:
            auth_attempts.labels(kind, outcome)
    for counter, values in ((user_registrations, REGISTRATION_SOURCES), (delivery_items_ignored, DELIVERY_ITEMS)):
        _create_labels(counter, values)
    for stripe_event in (*STRIPE_EVENTS, OTHER):
        for status in WEBHOOK_STATUSES[:-1]:
            stripe_webhooks.labels(stripe_event, status)
    stripe_webhooks.labels(OTHER, "invalid_signature")
    for service in OUTBOUND_SERVICES:
        for outcome in OUTBOUND_OUTCOMES:
            outbound_request_duration.labels(service, outcome)
    _create_labels(cpu_by_work, WORK)
    for part in TELEMETRY_PARTS:
        telemetry_errors.labels(part)


_from_zero()
for _kind in TELEMETRY_LOSSES:
    telemetry_lost.labels(_kind)


CONNECTION_OUTCOMES = (
    "accepted",
    "refused_origin",
    "refused_handshake",
    "refused_address",
    "refused_full",
    "refused_member",
    "refused_sign_in",
)
"""Outcomes of a request for a connection; sign-in and the limit of a member are checked after ``accepted``."""
MESSAGES_RECEIVED = ("auth", "ping", "subscribe_room", "leave_room", "chat", "history", "presence", "typing")
MESSAGES_SENT = (
    "welcome",
    "auth_success",
    "auth_failed",
    "room_joined",
    "chat",
    "presence",
    "typing",
    "notification",
    "error",
    "pong",
)
DELIVERIES = ("sent", "dropped")

websocket_connections = Counter(
    "websocket_connections", "Requests for live connections, by outcome.", ["outcome"], registry=CATALOGUE
)
websocket_connections_active = Gauge(
    "websocket_connections_active", "Open live connections.", multiprocess_mode="livesum", registry=CATALOGUE
)
websocket_connection_duration = Histogram(
    "websocket_connection_duration_seconds",
    "Duration of live connections.",
    buckets=(1.0, 10.0, 60.0, 300.0, 1800.0, 3600.0, 14400.0, 86400.0),
    registry=CATALOGUE,
)
websocket_messages = Counter(
    "websocket_messages",
    "Messages on live connections; a message to many connections counts once for each.",
    ["direction", "message_type"],
    registry=CATALOGUE,
)
websocket_deliveries = Counter(
    "websocket_deliveries",
    "Outgoing live messages: sent, or dropped because the client reads too slowly.",
    ["outcome"],
    registry=CATALOGUE,
)

for _live_outcome in CONNECTION_OUTCOMES:
    websocket_connections.labels(_live_outcome)
for _kind in (*MESSAGES_RECEIVED, OTHER):
    websocket_messages.labels("in", _kind)
for _kind in MESSAGES_SENT:
    websocket_messages.labels("out", _kind)
for _live_outcome in DELIVERIES:
    websocket_deliveries.labels(_live_outcome)


VIDEO_QUALITIES = ("2160p", "1440p", "1080p", "720p", "540p", "480p", "360p", "240p", "source")
VIDEO_OUTCOMES = ("started", "admin", "expired", "forged", "forbidden")

video_streams = Counter(
    "video_streams",
    "Playbacks started, one for each viewing, and streams refused.",
    ["video_id", "quality", "outcome"],
    registry=CATALOGUE,
)
video_stream_duration = Histogram(
    "video_stream_duration_seconds",
    "Duration of connections that stream a video; without those that nginx or a bucket serves.",
    buckets=(0.1, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0),
    registry=CATALOGUE,
)
video_bytes = Counter("video_bytes", "Bytes of video sent; without what nginx or a bucket serves.", registry=CATALOGUE)

for _video_outcome in VIDEO_OUTCOMES:
    video_streams.labels(OTHER, OTHER, _video_outcome)


DEVICES = ("desktop", "phone", "tablet")
_PAGE_LOAD_BOUNDS = (0.1, 0.2, 0.4, 0.8, 1.2, 1.8, 2.5, 3.2, 4.0, 6.0, 10.0, 20.0)
"""Seconds; 0.8 and 1.8, 2.5 and 4 divide good, fair and poor (https://web.dev/articles/vitals)."""

web_vitals_lcp = Histogram(
    "web_vitals_lcp_seconds",
    "Largest Contentful Paint in browsers of visitors: when the main part of a page was there.",
    ["route", "device"],
    buckets=_PAGE_LOAD_BOUNDS,
    registry=CATALOGUE,
)
web_vitals_ttfb = Histogram(
    "web_vitals_ttfb_seconds",
    "Time to First Byte in browsers of visitors, from the click on.",
    ["route", "device"],
    buckets=_PAGE_LOAD_BOUNDS,
    registry=CATALOGUE,
)
web_vitals_inp = Histogram(
    "web_vitals_inp_seconds",
    "Interaction to Next Paint in browsers of visitors: how long a click or key took to show.",
    ["route", "device"],
    buckets=(0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.5, 3.0),
    registry=CATALOGUE,
)
web_vitals_cls = Histogram(
    "web_vitals_cls",
    "Cumulative Layout Shift in browsers of visitors: how much the page moved by itself, as a score.",
    ["route", "device"],
    buckets=(0.01, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0),
    registry=CATALOGUE,
)
web_script_errors = Counter(
    "web_script_errors", "Errors of scripts in browsers of visitors.", ["route", "device"], registry=CATALOGUE
)
