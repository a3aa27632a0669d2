"""The metrics that a process counts: bounded labels, and zeros for the label sets that alerts read."""

from __future__ import annotations

import pytest

from church.observability.metrics import definitions
from church.observability.metrics.definitions import bound_label


def label_sets(metric: str, sample: str) -> set[tuple[str, ...]]:
    """Values of the labels of each sample called ``sample``."""
    families = {family.name: family for family in definitions.CATALOGUE.collect()}
    return {tuple(one.labels.values()) for one in families[metric].samples if one.name == sample}


@pytest.mark.parametrize(("value", "label"), [("GET", "GET"), ("get", "other"), ("BREW", "other"), ("", "other")])
def test_value_outside_the_set_becomes_other(value: str, label: str) -> None:
    assert bound_label(value, definitions.METHODS) == label


def test_every_security_event_starts_at_zero_with_its_severity() -> None:
    assert label_sets("security_events", "security_events_total") >= set(definitions.SECURITY_EVENTS.items())


def test_every_outcome_of_authentication_starts_at_zero() -> None:
    expected = {(kind, outcome) for kind in definitions.AUTH_TYPES for outcome in definitions.AUTH_OUTCOMES}
    assert label_sets("auth_attempts", "auth_attempts_total") >= expected


def test_refused_webhook_starts_at_zero_without_its_event() -> None:
    """An unsigned body could claim any event, so the claim is not a label."""
    found = label_sets("stripe_webhooks", "stripe_webhooks_total")
    assert {event for event, status in found if status == "invalid_signature"} == {definitions.OTHER}


def test_event_of_a_limit_is_a_security_event() -> None:
    assert set(definitions.LIMIT_EVENTS.values()) <= set(definitions.SECURITY_EVENTS)
    assert set(definitions.LIMIT_EVENTS) | set(definitions.AUTH_LIMITS) <= set(definitions.LIMITS)
