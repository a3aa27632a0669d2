"""Parsing webhook events, valid and malformed ones."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from church.observability.metrics.definitions import STRIPE_EVENTS
from church.services.billing.stripe.event_types import HANDLED, LARGEST_PAYLOAD, MalformedEventError, parse_event

EVENT: dict[str, Any] = {
    "id": "evt_1",
    "object": "event",
    "type": "invoice.paid",
    "created": 1_800_000_000,
    "data": {"object": {"id": "in_1", "object": "invoice", "customer": "cus_1"}},
}


def raw(**changes: Any) -> bytes:
    return json.dumps({**EVENT, **changes}).encode()


def test_event_from_stripe_is_parsed() -> None:
    event = parse_event(raw())
    assert (event.stripe_id, event.type, event.object_id, event.object_kind) == (
        "evt_1", "invoice.paid", "in_1", "invoice",
    )  # fmt: skip
    assert event.created_at == datetime.fromtimestamp(1_800_000_000, UTC)
    assert event.payload == EVENT
    assert event.problem is None


def test_handled_events_are_those_counted_by_name() -> None:
    assert set(STRIPE_EVENTS) == HANDLED


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe\x00", b"[" * 100_000, b'"text"', b"[]", b"null", b"9" * 5000])
def test_event_without_a_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - json's own among them
        parse_event(body)


@pytest.mark.parametrize("changes", [{"id": None}, {"id": 7}, {"id": ""}, {"id": "evt 1"}, {"id": "e" * 256}])
def test_event_without_an_id_is_malformed(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedEventError, match="id"):
        parse_event(raw(**changes))


@pytest.mark.parametrize("kind", [None, 3, "", "Invoice.Paid", "a" * 101, "a\nb"])
def test_event_without_a_type_is_malformed(kind: Any) -> None:
    with pytest.raises(MalformedEventError, match="type"):
        parse_event(raw(type=kind))


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"object": None},
        {"object": "in_1"},
        {"object": {}},
        {"object": {"id": "in_1"}},
        {"object": {"object": "invoice"}},
        {"object": {"id": 5, "object": "invoice"}},
        {"object": {"id": "in_1/../x", "object": "invoice"}},
        {"object": {"id": "in_1", "object": ["invoice"]}},
    ],
)
def test_event_without_an_object_has_a_problem(data: Any) -> None:
    event = parse_event(raw(data=data))
    assert (event.object_id, event.object_kind, event.problem) == (None, None, "no object is named")


def test_event_of_another_type_or_account_has_a_problem() -> None:
    assert parse_event(raw(type="issuing_card.created")).problem == "a type that this site does not handle"
    assert parse_event(raw(account="acct_1")).problem == "an event of a connected account"


@pytest.mark.parametrize("created", [None, "today", -1, True, 1.5, 2**60])
def test_event_with_an_impossible_time_is_dated_1970(created: Any) -> None:
    assert parse_event(raw(created=created)).created_at.timestamp() == 0


def test_event_too_large_is_stored_as_an_outline() -> None:
    event = parse_event(raw(padding="x" * LARGEST_PAYLOAD))
    assert event.object_id == "in_1"
    assert len(json.dumps(event.payload)) < 500
    assert event.payload["truncated"]
    assert event.payload["data"]["object"] == {"id": "in_1", "object": "invoice", "customer": "cus_1"}


def test_event_of_a_connected_account_has_a_problem_at_any_size() -> None:
    assert (
        parse_event(raw(account="acct_1", padding="x" * LARGEST_PAYLOAD)).problem == "an event of a connected account"
    )


@pytest.mark.parametrize("text", ["\ue000", "\ue001"])
def test_event_with_raw_search_marks_is_stored_without_them(text: str) -> None:
    event = parse_event(json.dumps({**EVENT, "n": f"a{text}b"}, ensure_ascii=False).encode())
    assert event.payload["n"] == "ab"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_event_in_another_encoding_of_unicode_is_read(encoding: str) -> None:
    assert parse_event(raw().decode().encode(encoding)).payload == EVENT


def test_event_with_unstorable_characters_is_stored_without_them() -> None:
    event = parse_event(
        b'{"id":"evt_1","type":"invoice.paid","n\\u0000":"a\\u0000b\\ud800","f":[1e999,NaN,1.5],"deep":{"x":"\\u0000"}}'
    )
    assert event.payload == {
        "id": "evt_1", "type": "invoice.paid", "n": "ab", "f": [None, None, 1.5], "deep": {"x": ""},
    }  # fmt: skip
