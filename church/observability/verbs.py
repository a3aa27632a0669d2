"""What is told of deliveries: records. Their metrics are read from the rows, so nothing is counted here."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from church.lib import threads
from church.observability import request_observer
from church.observability.metrics import definitions
from church.observability.metrics.definitions import bounded
from church.observability.request_observer import Observation
from church.observability.threats import scan_text

if TYPE_CHECKING:
    from church.observability.traces.tracing import Tracing

log = logging.getLogger("church.delivery")


def deployment(environment: str, status: str, kind: str, **fields: Any) -> dict[str, str]:
    """A deployment was recorded; gives what a span notes."""
    facts = {"environment": environment, "outcome": str(status), "kind": str(kind)}
    log.info("deployment", extra={"event": "delivery.deployment", **_unlike(facts), **fields})
    return facts


def incident(environment: str, severity: str, **fields: Any) -> dict[str, str]:
    """An incident was opened."""
    facts = {"environment": environment, "severity": severity}
    log.warning("incident opened", extra={"event": "delivery.incident_opened", **_unlike(facts), **fields})
    return facts


def resolution(environment: str, severity: str, seconds: float, **fields: Any) -> dict[str, str]:
    """An incident was resolved, ``seconds`` after it was opened."""
    facts = {"environment": environment, "severity": severity}
    told = {"event": "delivery.incident_resolved", "seconds": round(seconds, 3)}
    log.info("incident resolved", extra={**told, **_unlike(facts), **fields})
    return facts


def _unlike(facts: dict[str, str]) -> dict[str, str]:
    """``environment`` is a field of every record already, and is that of the site which writes it."""
    return {"target" if name == "environment" else name: value for name, value in facts.items()}


class Handshake(NamedTuple):
    """What a connection keeps of the request that opened it."""

    request_id: str
    client: str
    span: tuple[str, str] | None
    """Its trace and span, if it was sampled."""


def handshake() -> Handshake:
    """Of the request under way, which is about to be a connection."""
    observation = request_observer.under_way()
    if observation is None:
        return Handshake("-", "", None)
    return Handshake(observation.request_id, observation.client, observation.ids)


class _Message(Observation):
    """One message under observation: what its records carry. It is counted by the verbs and not as a request."""

    __slots__ = ()

    def __init__(self, opened_by: Handshake, user_ref: str | None) -> None:  # not of a request: nothing is in flight
        self.started = time.perf_counter()
        self.request_id, self.client, _ = opened_by
        self.method, self.route, self.status, self.sent = "GET", "/ws", 101, 0
        self.ids = None
        self.user_ref = user_ref
        self.handed_over = self.finished = self.logged = False


@contextmanager
def message(opened_by: Handshake, kind: str, user_ref: str | None, tracing: Tracing | None) -> Iterator[None]:
    """Observe the answering of one message that a client sent."""
    known = definitions.bounded(kind, definitions.RECEIVED)
    definitions.messages.labels("in", known).inc()
    observation = _Message(opened_by, user_ref)
    token = request_observer.current.set(observation)
    try:
        if tracing is None:
            yield
        else:
            name = "chat.message" if known == "chat" else f"live.{known}"
            with tracing.linked(name, opened_by.span, {"church.request_id": opened_by.request_id}) as ids:
                observation.ids = ids
                yield
    finally:
        observation.finished = True
        request_observer.current.reset(token)


def opened(outcome: str) -> None:
    """Somebody asked for a connection, and this came of it."""
    definitions.connections.labels(definitions.bounded(outcome, definitions.CONNECTION_OUTCOMES)).inc()


def active(count: int) -> None:
    """So many connections this process has: said, never counted up and down."""
    definitions.active.set(count)


def closed(opened_by: Handshake, user_ref: str, code: int, outcome: str, seconds: float) -> None:
    """A connection has ended; ``code`` is that of its close frame, 1006 where there was none."""
    definitions.duration.observe(seconds)
    log.info(
        "connection closed",
        extra={
            "event": "live.closed", "request_id": opened_by.request_id, "ip": opened_by.client,
            **({"user_ref": user_ref} if user_ref else {}),
            "code": code, "outcome": outcome, "duration_ms": round(seconds * 1000, 3),
        },
    )  # fmt: skip


def sent(kind: str, count: int) -> None:
    """A message was sent to so many clients."""
    if count:
        definitions.messages.labels("out", definitions.bounded(kind, definitions.SENT)).inc(count)
        definitions.deliveries.labels("sent").inc(count)


def dropped(count: int) -> None:
    """So many messages never reach a client that reads too slowly."""
    definitions.deliveries.labels("dropped").inc(count)


def suspicious(text: str) -> tuple[scan_text.Finding, ...]:
    """What of a message looks like an attack."""
    return scan_text.scan(text, "websocket")


def stream(video: str, quality: str, outcome: str) -> dict[str, str]:
    """A playback began (``started``) or was refused; ``video`` is bounded by the caller. Gives what a span notes."""
    known = bounded(quality, definitions.QUALITIES)
    outcome = bounded(outcome, definitions.OUTCOMES)
    definitions.video_streams.labels(video, known, outcome).inc()
    facts = {"video": video, "quality": known, "outcome": outcome}
    level = logging.INFO if outcome == "started" else logging.WARNING
    log.log(level, "stream", extra={"event": "video.stream", **facts})
    return facts


def transfer(seconds: float, sent: int) -> None:
    """A connection that took a video has ended, by its end or sooner, after ``sent`` bytes.

    Of its request these were the bytes, too, and not those that it was to have.
    """
    definitions.video_stream_duration.observe(seconds)
    definitions.video_bytes.inc(sent)
    observation = request_observer.under_way()
    if observation is not None:
        observation.sent = sent
    log.debug("transfer", extra={"event": "video.transfer", "seconds": round(seconds, 3), "bytes": sent})


class Budget:
    """A bucket of ``per_second`` tokens, refilled by the clock that only goes forward."""

    def __init__(self, per_second: float) -> None:
        self._rate = per_second
        self._tokens = per_second
        self._at = threads.clock()
        self.withheld = 0

    def spend(self) -> int | None:
        """Take a token: how many were withheld since the last one, or None when there is none to take."""
        now = threads.clock()
        self._tokens = min(self._rate, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            self.withheld += 1
            return None
        self._tokens -= 1
        withheld, self.withheld = self.withheld, 0
        return withheld
