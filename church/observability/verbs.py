"""The ``track_…`` functions: what each event of the site counts, logs and notes on the current span.

The site calls them through ``church.telemetry``, in one line, after the commit. None of them breaks its caller: a
metric, record or span that fails is dropped and counted in ``telemetry_errors_total``; in the tests it raises.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from prometheus_client import Counter

from church.lib import cpu_accounts
from church.observability import raise_in_tests, record_budget, request_observer
from church.observability.fingerprints import name_type
from church.observability.metrics import definitions
from church.observability.metrics.definitions import bound_label
from church.observability.never_breaks import never_breaks
from church.observability.request_observer import Observation, current_observation
from church.observability.threats import scan_text
from church.observability.traces import keeping, recorder, trace_log
from church.observability.traces.recorder import current_flight
from church.observability.traces.trace_records import Kept

auth_log = logging.getLogger("church.auth")
content_log = logging.getLogger("church.content")
delivery_log = logging.getLogger("church.delivery")
live_log = logging.getLogger("church.live")
security_log = logging.getLogger("church.security")
stripe_log = logging.getLogger("church.stripe")
video_log = logging.getLogger("church.video")
_LONGEST_REASON = 500


# -- security -------------------------------------------------------------------------------------------------------


@never_breaks
def track_security_event(event_type: str, severity: str, **fields: Any) -> None:
    """Record a security event: an event that an admin should be able to see."""
    label = bound_label(event_type, definitions.SECURITY_EVENTS)
    definitions.security_events.labels(label, bound_label(severity, definitions.SEVERITIES)).inc()
    _log_security_event(event_type, severity, fields)


@never_breaks
def track_suspicious(activity_type: str, source: str, excerpt: str) -> None:
    """Record a finding of the threat scan: one suspicious activity and one security event."""
    definitions.suspicious_activity.labels(activity_type, source).inc()
    definitions.security_events.labels("threat_detected", "high").inc()
    fields = {"activity_type": activity_type, "source": source, "excerpt": excerpt}
    _log_security_event("threat_detected", "high", fields)


@never_breaks
def track_rate_limit(limit: str) -> None:
    """Record a request that a rate limit refused: one security event, and for some limits a failed sign-in attempt."""
    name = bound_label(limit, definitions.LIMITS)
    definitions.rate_limit_hits.labels(name).inc()
    if name in definitions.AUTH_LIMITS:
        definitions.auth_attempts.labels(definitions.AUTH_LIMITS[name], "failed_throttled").inc()
    event = definitions.LIMIT_EVENTS.get(name, "rate_limit_exceeded")
    severity = definitions.SECURITY_EVENTS[event]
    definitions.security_events.labels(event, severity).inc()
    _log_security_event(event, severity, {"limit": name})


@never_breaks
def track_connections_refused(client: str, count: int) -> None:
    """Record connections that were refused because their address has too many: one event for ``count`` of them."""
    severity = definitions.SECURITY_EVENTS["connections_refused"]
    definitions.security_events.labels("connections_refused", severity).inc(count)
    _log_security_event("connections_refused", severity, {"ip": client, "count": count})


@never_breaks
def track_blocked(client: str, count: int) -> None:
    """Record requests and connections of a blocked address: one event for ``count`` of them."""
    severity = definitions.SECURITY_EVENTS["blocked"]
    definitions.security_events.labels("blocked", severity).inc(count)
    _log_security_event("blocked", severity, {"ip": client, "count": count})


def track_live_text(text: str) -> bool:
    """Scan a live message and record its attacks; return whether one is refused where attacks are blocked.

    A scan that fails finds none.
    """
    try:
        findings = scan_text.scan(text, "websocket")
    except Exception:
        if raise_in_tests.on:
            raise
        definitions.telemetry_errors.labels("scan").inc()
        return False
    for finding in findings:
        track_suspicious(finding.activity_type, finding.source, "(not shown: messages of members are not logged)")
    return any(scan_text.is_refused(finding, confided=True) for finding in findings)


def track_refused(status: int, reason: str, client: str) -> str:
    """Record bytes that were not an HTTP request; return the id that joins the record to the answer.

    ``reason`` is the parser's name for the fault, never what the client sent.
    """
    try:
        return request_observer.refuse(status, reason, client)
    except Exception:
        if raise_in_tests.on:
            raise
        definitions.telemetry_errors.labels("request").inc()
        return "-"


def _log_security_event(event_type: str, severity: str, fields: dict[str, Any]) -> None:
    """Log a security event and note it on the span; in a flood of one address only a part, though all are counted."""
    observation = current_observation()
    client = observation.client if observation is not None else ""
    client = client or str(fields.get("ip", ""))
    label = bound_label(event_type, definitions.SECURITY_EVENTS)
    if record_budget.BUDGET.ended:  # a process without a clock that calls it, such as flask run
        report_withheld()
    if not record_budget.BUDGET.admit(label, bound_label(severity, definitions.SEVERITIES), client):
        return
    if observation is not None and observation.method:
        fields = {**fields, "ip": client, "method": observation.method}
    security_log.warning(
        event_type.replace("_", " "), extra={"event": f"security.{event_type}", "severity": severity, **fields}
    )
    recorder.note(event_type, {"severity": severity})


@never_breaks
def report_withheld(everything: bool = False) -> None:
    """Log what the budget has left out: one record for each event type and window that has ended.

    Call it every second or so, and at the end of the process with ``everything``.
    """
    token = request_observer.current.set(None)  # the records belong to no request
    try:
        for withheld in record_budget.BUDGET.take_withheld(everything):
            facts = {"window_seconds": int(record_budget.WINDOW), **withheld._asdict()}
            security_log.warning("security records withheld", extra={"event": "security.records_withheld", **facts})
    finally:
        request_observer.current.reset(token)


# -- accounts and content -------------------------------------------------------------------------------------------


@never_breaks
def track_auth_attempt(kind: str, outcome: str, **fields: Any) -> None:
    """Record an attempt to register, sign in or out, reset a password or get a token."""
    definitions.auth_attempts.labels(
        bound_label(kind, definitions.AUTH_TYPES), bound_label(outcome, definitions.AUTH_OUTCOMES)
    ).inc()
    auth_log.info(f"{kind} {outcome}".replace("_", " "), extra={"event": f"auth.{kind}", "outcome": outcome, **fields})
    recorder.note(f"auth.{kind}", {"outcome": outcome})


@never_breaks
def track_registration(source: str) -> None:
    """Count a new account; call it after the commit."""
    definitions.user_registrations.labels(bound_label(source, definitions.REGISTRATION_SOURCES)).inc()


@never_breaks
def track_content_access(content_type: str, access_level: str, outcome: str) -> None:
    """Record a request for a page or video, and whether the reader got all of it, a teaser, or nothing."""
    _content_counter(content_type, access_level, outcome).inc()
    if current_flight() is not None or content_log.isEnabledFor(logging.DEBUG):
        facts = {"content_type": content_type, "access_level": access_level, "outcome": outcome}
        content_log.debug("content access", extra={"event": "content.access", **facts})
        recorder.note("content.access", facts)


@functools.lru_cache(maxsize=256)
def _content_counter(content_type: str, access_level: str, outcome: str) -> Counter:
    return definitions.content_access.labels(
        bound_label(content_type, definitions.CONTENT_TYPES),
        bound_label(access_level, definitions.ACCESS_LEVELS),
        bound_label(outcome, definitions.CONTENT_OUTCOMES),
    )


def forget_series() -> None:
    """Look each series up again: those that were found before are no longer counted."""
    _content_counter.cache_clear()


# -- browsers -------------------------------------------------------------------------------------------------------


@never_breaks
def track_web_vitals(route: str, device: str, values: Mapping[str, float | None]) -> None:
    """Count what a browser measured on one page: ``lcp``, ``inp`` and ``ttfb`` in ms, ``cls``, and script ``errors``.

    The caller bounds ``route``; an empty one is counted as ``other``.
    """
    labels = (route or definitions.OTHER, bound_label(device, definitions.DEVICES))
    for name, histogram, unit in _WEB_VITALS:
        value = values.get(name)
        if value is not None:
            histogram.labels(*labels).observe(value / unit)
    if errors := values.get("errors"):
        definitions.web_script_errors.labels(*labels).inc(errors)


_WEB_VITALS = (
    ("lcp", definitions.web_vitals_lcp, 1000),
    ("inp", definitions.web_vitals_inp, 1000),
    ("ttfb", definitions.web_vitals_ttfb, 1000),
    ("cls", definitions.web_vitals_cls, 1),
)


# -- payments and outgoing calls ------------------------------------------------------------------------------------


@never_breaks
def track_stripe_webhook(event_type: str, status: str, lag: float | None = None, **fields: Any) -> None:
    """Record the answer to a webhook of Stripe.

    ``lag`` is the age of its event in seconds; give it only the first time the event is processed.
    """
    label = bound_label(event_type, definitions.STRIPE_EVENTS)
    definitions.stripe_webhooks.labels(label, bound_label(status, definitions.WEBHOOK_STATUSES)).inc()
    if lag is not None:
        definitions.stripe_webhook_lag.observe(max(0.0, lag))
    level = logging.WARNING if status == "failed" else logging.INFO
    facts = {"event": "stripe.webhook", "stripe_event": event_type[:80], "outcome": status}
    stripe_log.log(level, f"Stripe webhook {status}".replace("_", " "), extra=facts | fields)
    recorder.note("stripe.webhook", {"type": label, "outcome": status})


@contextmanager
def time_outbound(
    service: str, is_refusal: Callable[[Exception], bool] = lambda _error: False, *, verb: str, call: str = ""
) -> Iterator[None]:
    """Time a call to another service; what it raises goes on, counted as a timeout, a refusal or a failure.

    ``verb`` names its span together with the service, and ``call`` says more. ``is_refusal`` decides whether an error
    means that the service works and declined, such as a card without money.
    """
    started = time.perf_counter()
    outcome, failure = "failed", None
    try:
        yield
        outcome = "success"
    except TimeoutError as error:
        outcome, failure = "timeout", name_type(type(error))
        raise
    except Exception as error:
        outcome, failure = ("refused", None) if is_refusal(error) else ("failed", name_type(type(error)))
        raise
    finally:
        _observe_outbound(service, (verb, call), outcome, started, failure)


@never_breaks
def _observe_outbound(service: str, called: tuple[str, str], outcome: str, started: float, failure: str | None) -> None:
    label = bound_label(service, definitions.OUTBOUND_SERVICES)
    definitions.outbound_request_duration.labels(label, outcome).observe(time.perf_counter() - started)
    flight = current_flight()
    if flight is not None:
        verb, call = called
        facts = {"peer.service": label, "church.outcome": outcome, **({"church.call": call} if call else {})}
        flight.add(recorder.CLIENT, f"{verb} {label}", started, facts, failure)


# -- deployments and incidents: their metrics are read from the rows, so only what has no row is counted here --------


@never_breaks
def track_deployment(environment: str, status: str, kind: str, **fields: Any) -> None:
    """Log a deployment that was recorded."""
    facts = {"environment": environment, "outcome": str(status), "kind": str(kind)}
    extra = {"event": "delivery.deployment", **_as_log_fields(facts), **fields}
    delivery_log.info("deployment recorded", extra=extra)
    recorder.note("delivery.deployment", facts)


@never_breaks
def track_incident(environment: str, severity: str, **fields: Any) -> None:
    """Log an incident that was opened."""
    facts = {"environment": environment, "severity": severity}
    extra = {"event": "delivery.incident_opened", **_as_log_fields(facts), **fields}
    delivery_log.warning("incident opened", extra=extra)
    recorder.note("delivery.incident_opened", facts)


@never_breaks
def track_incident_resolution(environment: str, severity: str, seconds: float, **fields: Any) -> None:
    """Log an incident that was resolved, ``seconds`` after it was opened."""
    facts = {"environment": environment, "severity": severity}
    extra = {"event": "delivery.incident_resolved", "seconds": round(seconds, 3), **_as_log_fields(facts), **fields}
    delivery_log.info("incident resolved", extra=extra)
    recorder.note("delivery.incident_resolved", facts)


@never_breaks
def track_delivery_items_ignored(kind: str, reasons: Sequence[str]) -> None:
    """Count and log the items of a list that could not be used: alerts of a notification, commits of a deployment."""
    label = bound_label(kind, definitions.DELIVERY_ITEMS)
    definitions.delivery_items_ignored.labels(label).inc(len(reasons))
    reason = " / ".join(dict.fromkeys(reasons))[:_LONGEST_REASON]
    extra = {"event": "delivery.items_ignored", "kind": label, "count": len(reasons), "reason": reason}
    delivery_log.warning(f"{label}s ignored", extra=extra)
    recorder.note("delivery.items_ignored", {"kind": label, "count": str(len(reasons))})


def _as_log_fields(facts: dict[str, str]) -> dict[str, str]:
    """Rename ``environment`` to ``target``: every record already has the environment of the site that writes it."""
    return {"target" if name == "environment" else name: value for name, value in facts.items()}


# -- videos ---------------------------------------------------------------------------------------------------------


@never_breaks
def track_video_stream(video: str, quality: str, outcome: str) -> None:
    """Record a playback that began (``started``, or ``admin`` for an admin's) or was refused; once a playback.

    The caller bounds ``video``: a slug among the first few, else ``other``.
    """
    facts = {
        "video": video,
        "quality": bound_label(quality, definitions.VIDEO_QUALITIES),
        "outcome": bound_label(outcome, definitions.VIDEO_OUTCOMES),
    }
    definitions.video_streams.labels(video, facts["quality"], facts["outcome"]).inc()
    level = logging.INFO if facts["outcome"] in {"started", "admin"} else logging.WARNING
    video_log.log(level, f"video stream {facts['outcome']}", extra={"event": "video.stream", **facts})
    recorder.note("video.stream", facts)


@never_breaks
def track_video_transfer(seconds: float, sent: int) -> None:
    """Record the end of a connection that took a video, complete or not, after ``sent`` bytes.

    ``sent`` also replaces the size of the answer in the metrics of its request: the client may have left early.
    """
    definitions.video_stream_duration.observe(seconds)
    definitions.video_bytes.inc(sent)
    observation = current_observation()
    if observation is not None:
        observation.sent = sent
    video_log.debug(
        "video connection ended", extra={"event": "video.transfer", "seconds": round(seconds, 3), "bytes": sent}
    )


# -- live connections -----------------------------------------------------------------------------------------------
# A connection is not an HTTP request; each of its messages is observed separately, with the id of the request that
# opened the connection, and with a span that is linked to that request's.


class Handshake(NamedTuple):
    """What a connection keeps of the request that opened it."""

    request_id: str
    client: str
    span: recorder.Ids | None
    """Its trace and span."""


def handshake() -> Handshake:
    """Remember the current request, which is about to become a live connection; its trace ends here."""
    observation = current_observation()
    if observation is None:
        return Handshake("-", "", None)
    _end_handshake(observation)
    return Handshake(observation.request_id, observation.client, observation.flight.ids)


@never_breaks
def _end_handshake(observation: Observation) -> None:
    observation.upgrade()


@never_breaks
def track_live_opened(outcome: str) -> None:
    """Count a request for a live connection by its outcome."""
    definitions.websocket_connections.labels(bound_label(outcome, definitions.CONNECTION_OUTCOMES)).inc()


@never_breaks
def track_live_active(count: int) -> None:
    """Set the number of live connections of this process; a number that is set does not drift."""
    definitions.websocket_connections_active.set(count)


@never_breaks
def track_live_closed(opened_by: Handshake, user_ref: str, code: int, outcome: str, seconds: float) -> None:
    """Record the end of a live connection; ``code`` is that of its close frame, 1006 if there was none."""
    definitions.websocket_connection_duration.observe(seconds)
    live_log.info(
        "live connection closed",
        extra={
            "event": "live.closed", "request_id": opened_by.request_id, "ip": opened_by.client,
            **({"user_ref": user_ref} if user_ref else {}),
            "code": code, "outcome": outcome, "duration_ms": round(seconds * 1000, 3),
        },
    )  # fmt: skip


@never_breaks
def track_live_sent(kind: str, count: int) -> None:
    """Count a message that was sent to ``count`` live connections."""
    if count:
        definitions.websocket_messages.labels("out", bound_label(kind, definitions.MESSAGES_SENT)).inc(count)
        definitions.websocket_deliveries.labels("sent").inc(count)


@never_breaks
def track_live_dropped(count: int) -> None:
    """Count messages that were dropped because a client reads too slowly."""
    definitions.websocket_deliveries.labels("dropped").inc(count)


@contextmanager
def live_message(opened_by: Handshake, kind: str, user_ref: str | None) -> Iterator[None]:
    """Observe the handling of one message from a client: count it, and give it a span of its own."""
    label = bound_label(kind, definitions.MESSAGES_RECEIVED)
    definitions.websocket_messages.labels("in", label).inc()
    observation = _MessageObservation(opened_by, user_ref)
    token, flight_token = request_observer.current.set(observation), recorder.current.set(observation.flight)
    failed = False
    try:
        with observation.charge_greenlet():
            yield
    except Exception as error:
        observation.flight.error_type = recorder.name_failure(error)
        failed = observation.flight.error_type is not None
        raise
    finally:
        _keep_message(observation, label, failed)
        observation.finished = True
        recorder.current.reset(flight_token)
        request_observer.current.reset(token)


@never_breaks
def _keep_message(observation: _MessageObservation, label: str, failed: bool) -> None:
    flight, now = observation.flight, time.perf_counter()
    flight.over = True
    duration, name = now - flight.began, f"live {label}"
    verdict = keeping.traffic_of("live", label).judge(duration, now, failed, flight.asked)
    if verdict is not None:
        facts = {"request_id": observation.request_id, "user_ref": observation.user_ref, "cpu_ms": observation.cpu_ms}
        outcome = "failed" if failed else "ok"
        trace_log.keep(Kept(flight, verdict, "live", name, outcome, time.time(), duration, facts))


@never_breaks
def track_live_refused(kind: str, limit: str) -> None:
    """Count a message that a rate limit refuses again, without a record: ``track_rate_limit`` made one of the first."""
    definitions.websocket_messages.labels("in", bound_label(kind, definitions.MESSAGES_RECEIVED)).inc()
    definitions.rate_limit_hits.labels(bound_label(limit, definitions.LIMITS)).inc()
    definitions.security_events.labels("rate_limit_exceeded", "low").inc()


class _MessageObservation(Observation):
    """Context of one live message for log records; it is not counted as an HTTP request."""

    __slots__ = ()

    def __init__(self, opened_by: Handshake, user_ref: str | None) -> None:  # not super's: it is not in flight
        self.started = time.perf_counter()
        self.request_id, self.client, _ = opened_by
        self.method, self.route, self.status, self.sent = "GET", "/ws", 101, 0
        self.flight = recorder.Flight(self.started, link=opened_by.span)
        self.client_request_id = None
        self.user_ref = user_ref
        self.handed_over = self.finished = self.logged = False

    @contextmanager
    def charge_greenlet(self) -> Iterator[None]:
        """Measure the CPU time of this greenlet in the block."""
        account = cpu_accounts.Account("live")
        with cpu_accounts.charged_to(account):
            self.begin_cpu(account)
            try:
                yield
            finally:
                self.end_cpu("live")
