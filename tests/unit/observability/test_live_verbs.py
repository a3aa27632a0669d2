"""A message of a live connection is observed as one of its own: its records, its span, and never as a request."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from church import telemetry
from church.observability import request_observer, verbs
from church.observability.metrics import definitions
from church.observability.traces.tracing import Tracing
from church.observability.verbs import Handshake
from tests.support.helpers import captured_log, grows

OPENED = Handshake("opened.1", "192.0.2.7", ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"))


def test_message_is_a_trace_of_its_own_linked_to_the_request_that_opened_its_connection() -> None:
    exporter = InMemorySpanExporter()
    tracing = Tracing(exporter, {"service.name": "church"}, ())
    with verbs.message(OPENED, "chat", "ada", tracing), tracing.span("inner", None, {}):
        observation = request_observer.under_way()
        assert observation is not None
        assert observation.context()["request_id"] == "opened.1"
        ids = observation.ids
    assert request_observer.under_way() is None
    tracing.stop()
    inner, outer = exporter.get_finished_spans()
    assert (inner.name, outer.name) == ("inner", "chat.message")
    assert inner.parent is not None
    assert outer.parent is None
    assert [f"{link.context.trace_id:032x}" for link in outer.links] == ["0af7651916cd43dd8448eb211c80319c"]
    assert ids == (f"{outer.context.trace_id:032x}", f"{outer.context.span_id:016x}")
    assert outer.attributes is not None
    assert outer.attributes["church.request_id"] == "opened.1"


def test_message_of_any_kind_is_counted_under_a_bounded_name() -> None:
    with grows(definitions.messages.labels("in", "other")), verbs.message(OPENED, "x" * 1000, None, None):
        pass


def test_message_is_in_flight_nowhere() -> None:
    before = definitions.http_requests_in_flight._value.get()
    with verbs.message(OPENED, "chat", "ada", None):
        assert definitions.http_requests_in_flight._value.get() == before
    assert definitions.http_requests_in_flight._value.get() == before


@pytest.mark.parametrize(("text", "found"), [("hello there", False), ("' UNION SELECT password FROM users --", True)])
def test_text_that_looks_like_an_attack_is_one_finding_of_the_websocket(text: str, found: bool) -> None:
    series = [definitions.suspicious_activity.labels(kind, "websocket") for kind in telemetry.scan_text.ACTIVITY_TYPES]
    before = sum(one._value.get() for one in series)
    with captured_log() as sink:
        assert telemetry.track_live_text(text) is found
    assert bool(sink.records) is found
    assert "password" not in str(sink.records)
    assert (sum(one._value.get() for one in series) > before) is found
