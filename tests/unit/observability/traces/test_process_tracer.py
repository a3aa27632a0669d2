"""The tracer of this process: off without its variables, and the spans that it makes within a request."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest
from flask import Flask
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from church.config import Settings
from church.extensions import db
from church.observability.traces import process_tracer, tracing
from tests.support.databases import bring_to_head
from tests.support.membership_fixture import FRIEND, Membership
from tests.support.stripe_fixture import make_event


class Traced(Membership):
    """A site with payments, all of whose requests are traced."""

    def __init__(self, settings: Settings, exporter: InMemorySpanExporter) -> None:
        super().__init__(settings)
        self._exporter = exporter

    def spans(self) -> dict[str, ReadableSpan]:
        """What was made since the last time, by name."""
        assert process_tracer.active is not None
        process_tracer.active.processor.force_flush()
        found = {span.name: span for span in self._exporter.get_finished_spans()}
        self._exporter.clear()
        return found


@pytest.fixture
def traced(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Traced]:
    bring_to_head(settings)
    exporter = InMemorySpanExporter()
    monkeypatch.setattr(process_tracer, "active", None)
    monkeypatch.setattr(tracing, "build_exporter", lambda: exporter)
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")
    made = Traced(settings, exporter)
    made.tell()
    made.spans()
    yield made
    with made.app.app_context():
        db.dispose()
    assert process_tracer.active is not None
    process_tracer.active.provider.shutdown()


def assert_within(inner: ReadableSpan, server: ReadableSpan) -> None:
    assert server.kind is trace.SpanKind.SERVER
    assert inner.parent is not None
    assert server.context is not None
    assert (inner.parent.trace_id, inner.parent.span_id) == (server.context.trace_id, server.context.span_id)


def test_webhook_is_a_span_that_names_its_event(traced: Traced) -> None:
    told = make_event("price.updated", {"id": FRIEND, "object": "price"})
    assert traced.post(json.dumps(told).encode()).status_code == 200
    spans = traced.spans()
    span = spans["stripe.webhook"]
    assert dict(span.attributes or {}) == {"event_type": "price.updated", "event_id": told["id"]}
    assert_within(span, spans["POST /stripe/webhook"])


def test_webhook_with_a_wrong_signature_has_no_span(traced: Traced) -> None:
    assert traced.post(b"{}", "t=1,v1=0").status_code == 400
    assert "stripe.webhook" not in traced.spans()


def test_checkout_is_a_span_without_the_member(traced: Traced) -> None:
    user = traced.add()
    browser = traced.browser(user)
    assert browser.submit("/stripe/checkout", {"price": FRIEND}).status_code in {200, 303}
    spans = traced.spans()
    span = spans["stripe.checkout"]
    assert_within(span, spans["POST /stripe/checkout"])
    assert not {user.ref, user.email} & {str(value) for value in (span.attributes or {}).values()}


def test_start_without_its_variables_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_tracer, "active", None)
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    assert process_tracer.start(Flask("test"), {}, (), lambda *_: None) is None
    assert process_tracer.active is None


def test_start_without_an_exporter_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_tracer, "active", None)
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    assert process_tracer.start(Flask("test"), {}, (), lambda *_: None) is None
    assert process_tracer.active is None


def test_linked_span_and_stop_do_nothing_while_tracing_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_tracer, "active", None)
    with process_tracer.linked_span("work", ("a", "b"), {}) as ids:
        assert ids is None
    process_tracer.stop()


def test_linked_span_begins_a_trace_with_a_link_to_the_other(traced: Traced) -> None:
    opened_by = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    with process_tracer.linked_span("work", opened_by, {"room": "lobby"}) as ids:
        assert ids is not None
    span = traced.spans()["work"]
    assert span.context is not None
    assert ids == (f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}")
    assert ids[0] != opened_by[0]
    [link] = span.links
    assert (f"{link.context.trace_id:032x}", f"{link.context.span_id:016x}") == opened_by
    assert dict(span.attributes or {}) == {"room": "lobby"}
