"""What the security page loads from the telemetry store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from church.config import Settings
from church.services.security_history import SLICES, load_history
from church.services.telemetry_queries import TelemetryQueryError, TelemetryStoreDownError
from tests.support.store_stand_in import StoreStandIn, running_stand_in

BEGIN, END = 1_000_000, 61_000_000


@pytest.fixture
def store(settings: Settings) -> Iterator[StoreStandIn]:
    with running_stand_in(settings.instance) as one:
        yield one


def event(**values: Any) -> dict[str, Any]:
    return {"ts": BEGIN, "event": None, "ip": None, "method": None, "request_id": None, "extra": None} | values


def test_history_has_events_by_type_addresses_and_the_newest(store: StoreStandIn, settings: Settings) -> None:
    store.give(
        "security.counts",
        {"at": BEGIN, "type": "blocked", "severity": "low", "count": 7},
        {"at": BEGIN, "type": "threat_detected", "severity": "high", "count": 5},
        {"at": BEGIN + 1, "type": "threat_detected", "severity": "high", "count": 4},
        {"at": BEGIN + 1, "type": None, "severity": None, "count": 1},
    )
    store.give("security.sign_ins", {"at": BEGIN, "outcome": "failed_credentials", "count": 3})
    address = {"ip": "203.0.113.7", "events": 9, "failed_sign_ins": 3, "last": END, "types": ["blocked"]}
    store.give("security.addresses", address)
    store.give("logs.search", event(event="security.blocked", extra='{"severity":"low","count":7}'), more=True)
    found = load_history(settings, BEGIN, END)
    assert [(one.name, one.severity, one.count) for one in found.types] == [
        ("threat_detected", "high", 9),
        ("blocked", "low", 7),
        ("other", "", 1),
    ]
    assert [(one.kind, one.count) for one in found.events] == [
        ("blocked", 7),
        ("threat_detected", 5),
        ("threat_detected", 4),
        ("other", 1),
    ]
    assert [(one.kind, one.count) for one in found.sign_ins] == [("failed_credentials", 3)]
    assert [(one.ip, one.events, one.failed_sign_ins, one.types) for one in found.addresses] == [
        ("203.0.113.7", 9, 3, ("blocked",))
    ]
    assert [(one.name, one.severity, one.count) for one in found.newest] == [("blocked", "low", 7)]
    assert found.has_more


def test_history_asks_for_its_span_and_the_newest_of_one_type(store: StoreStandIn, settings: Settings) -> None:
    load_history(settings, BEGIN, END, "threat_detected")
    span = {"from": BEGIN, "to": END}
    assert store.args_of("security.counts") == {**span, "buckets": SLICES}
    assert store.args_of("security.sign_ins") == {**span, "buckets": SLICES}
    assert store.args_of("security.addresses").items() >= span.items()
    searched = store.args_of("logs.search")
    assert searched.items() >= span.items()
    assert searched["filters"] == {"logger": "church.security", "event": "security.threat_detected"}
    load_history(settings, BEGIN, END)
    assert store.args_of("logs.search")["filters"] == {"logger": "church.security"}


def test_finding_says_what_matched_and_where(store: StoreStandIn, settings: Settings) -> None:
    facts = '{"severity":"high","activity_type":"xss","source":"query","excerpt":"<script>"}'
    store.give("logs.search", event(event="security.threat_detected", ip="203.0.113.7", method="GET", extra=facts))
    [found] = load_history(settings, BEGIN, END).newest
    assert (found.activity, found.source, found.excerpt, found.ip, found.method) == (
        "xss",
        "query",
        "<script>",
        "203.0.113.7",
        "GET",
    )


@pytest.mark.parametrize("extra", [None, "", "{", "[]", '{"count": "many"}'])
def test_event_with_odd_details_is_one_event(store: StoreStandIn, settings: Settings, extra: str | None) -> None:
    store.give("logs.search", event(extra=extra))
    [found] = load_history(settings, BEGIN, END).newest
    assert (found.count, found.name, found.severity) == (1, "", "")


def test_store_that_is_down_or_fails_is_the_callers_to_explain(settings: Settings) -> None:
    with pytest.raises(TelemetryStoreDownError):
        load_history(settings, BEGIN, END)
    with running_stand_in(settings.instance) as store:
        store.fail("security.addresses", "timeout", "It took too long.")
        with pytest.raises(TelemetryQueryError, match="too long"):
            load_history(settings, BEGIN, END)
