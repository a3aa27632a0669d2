"""Alertmanager's notifications: which open or resolve incidents, repeats, and links to deployments."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from church.extensions import db
from church.models import Deployment, Incident
from church.observability.metrics import definitions
from tests.support.delivery_fixture import Machine
from tests.support.helpers import captured_log, grows

NEVER = "0001-01-01T00:00:00Z"  # Alertmanager's end of an alert that still fires
Row = tuple[str, float | None, str | None, float | None]


@pytest.fixture
def machine(app: Flask) -> Iterator[Machine]:
    yield Machine(app)
    with app.app_context():
        db.dispose()


def ago(**time: float) -> str:
    return (datetime.now(UTC) - timedelta(**time)).isoformat()


def alert(starts: str, ends: str | None = None, /, fingerprint: str = "f1", **labels: str) -> dict[str, Any]:
    """Make an alert as Alertmanager sends it."""
    return {
        "status": "resolved" if ends else "firing",
        "labels": {"alertname": "ChurchErrors", "severity": "critical", "environment": "production", **labels},
        "annotations": {"summary": "A twentieth of all requests fails", "runbook_url": "https://church.example/"},
        "startsAt": starts,
        "endsAt": ends or NEVER,
        "generatorURL": "http://prometheus:9090/graph?g0.expr=rate%28x%5B5m%5D%29+%3E+0.05",
        "fingerprint": fingerprint,
    }


def outcomes(machine: Machine, *alerts: dict[str, Any]) -> list[str]:
    sent = {"version": "4", "status": "firing", "receiver": "church", "groupLabels": {}, "alerts": list(alerts)}
    return [answer["outcome"] for answer in machine.tell("alerts", sent, 200)["alerts"]]


def incidents(app: Flask) -> list[Row]:
    """List title, seconds, deployment and confidence of each incident, oldest first."""
    query = (
        select(Incident.title, Incident.seconds, Deployment.ref, Incident.confidence)
        .outerjoin(Deployment, Deployment.id == Incident.deployment_id)
        .order_by(Incident.id)
    )
    with app.app_context(), db.read() as session:
        return [(row[0], row[1], row[2], row[3]) for row in session.execute(query)]


def deployed(machine: Machine, ref: str, finished: str, **more: str) -> None:
    base = {"id": ref, "environment": "production", "status": "success", "finished_at": finished}
    machine.tell("deployment", {**base, **more}, 201)


def test_alert_opens_an_incident_once_and_its_end_resolves_it(app: Flask, machine: Machine) -> None:
    start, end = ago(hours=2), ago(hours=1)
    assert outcomes(machine, alert(start), alert(start)) == ["opened", "unchanged"]
    assert outcomes(machine, alert(ago(minutes=90))) == ["unchanged"]  # another host's; the first is still open
    with captured_log() as log:
        assert outcomes(machine, alert(start, end)) == ["resolved"]
    (record,) = [one for one in log.records if one["event"] == "delivery.incident_resolved"]
    assert record["target"] == "production"
    assert outcomes(machine, alert(start, end), alert(start)) == ["unchanged", "unchanged"]  # late ones
    ((title, seconds, deployment, _),) = incidents(app)
    assert (title, deployment) == ("A twentieth of all requests fails", None)
    assert seconds == pytest.approx(3600, abs=1)
    assert outcomes(machine, alert(ago(minutes=5))) == ["opened"]  # it fires again: another incident


def test_alert_with_only_its_end_received_is_recorded_whole(app: Flask, machine: Machine) -> None:
    start, end = ago(hours=2), ago(hours=1)
    assert outcomes(machine, alert(start, end), alert(start, end)) == ["resolved", "unchanged"]
    ((_, seconds, _, _),) = incidents(app)
    assert seconds == pytest.approx(3600, abs=1)


def test_alert_from_another_alertmanager_is_the_same_incident(app: Flask, machine: Machine) -> None:
    start, end = ago(hours=2), ago(hours=1)
    assert outcomes(machine, alert(start), alert(start, end)) == ["opened", "resolved"]
    assert outcomes(machine, alert(ago(hours=2, seconds=-7))) == ["unchanged"]
    assert outcomes(machine, alert(ago(hours=2, seconds=5), ago(hours=1, seconds=-3))) == ["unchanged"]
    assert outcomes(machine, alert(start, end, fingerprint="f2"), alert(ago(minutes=59))) == ["resolved", "opened"]
    assert len(incidents(app)) == 3


@pytest.mark.parametrize(
    "labels",
    [
        {"severity": "warning"},
        {"severity": ""},
        {"alertname": "Watchdog"},
        {"alertname": "DoraChangeFailureRate"},
        {"environment": "moon"},
    ],
)
def test_alert_that_is_not_an_incident_is_ignored_with_a_reason(
    app: Flask, machine: Machine, labels: dict[str, str]
) -> None:
    (answer,) = machine.tell("alerts", {"alerts": [alert(ago(hours=1), **labels)]}, 200)["alerts"]
    assert answer["outcome"] == "ignored"
    assert answer["reason"]
    assert incidents(app) == []


def test_incident_is_linked_to_the_last_successful_deployment_within_the_window(app: Flask, machine: Machine) -> None:
    deployed(machine, "long ago", ago(hours=100))
    deployed(machine, "old", ago(hours=30))
    deployed(machine, "cause", ago(hours=8))
    deployed(machine, "elsewhere", ago(hours=7), environment="staging")
    deployed(machine, "failed", ago(hours=7), status="failure")
    deployed(machine, "later", ago(hours=1))
    outcomes(machine, alert(ago(hours=2), fingerprint="a"), alert(ago(hours=40), fingerprint="b"))
    found = {(deployment, confidence) for _, _, deployment, confidence in incidents(app)}
    assert found == {("cause", 0.75), (None, None)}  # 6 of 24 hours after it; 60 after the other's


def test_guessed_deployment_can_be_corrected(app: Flask, machine: Machine) -> None:
    deployed(machine, "first", ago(hours=8))
    deployed(machine, "second", ago(hours=3))
    (opened,) = machine.tell("alerts", {"alerts": [alert(ago(hours=2))]}, 200)["alerts"]
    machine.tell("incident", {"id": opened["incident"], "deployment": "first"}, 200)
    assert incidents(app)[0][2:] == ("first", 1.0)
    machine.tell("incident", {"id": opened["incident"], "deployment": ""}, 200)
    assert incidents(app)[0][2:] == (None, None)


def test_alert_with_any_summary_opens_an_incident(app: Flask, machine: Machine) -> None:
    base = alert(ago(hours=1))
    for summary, fingerprint in (("Much\nis\tbroken ", "a"), ("x" * 301, "b"), ("\n", "c"), (5, "d")):
        assert outcomes(machine, {**base, "annotations": {"summary": summary}, "fingerprint": fingerprint}) == [
            "opened"
        ]
    titles = [title for title, *_ in incidents(app)]
    assert titles == ["Much is broken", "x" * 299 + "…", "ChurchErrors", "ChurchErrors"]


def unusable_alerts() -> list[tuple[Any, str | None, str]]:
    """List alerts that can't be used: each with the fingerprint in the answer and a part of the reason."""
    good = alert(ago(hours=1), fingerprint="bad")
    return [
        ({**good, "startsAt": NEVER}, "bad", "startsAt: This is before the year 2000."),
        ({**good, "startsAt": "2500-01-01T00:00:00Z"}, "bad", "startsAt: This is in the future."),
        ({**good, "startsAt": None}, "bad", "startsAt: This is missing."),
        ({**good, "status": "resolved", "endsAt": ago(hours=2)}, "bad", "endsAt: This is before the alert began."),
        ({**good, "status": "resolved", "endsAt": None}, "bad", "endsAt: This is missing."),
        ({**good, "status": "on"}, "bad", "status: This must be one of: firing, resolved."),
        ({**good, "labels": {"severity": "critical"}}, "bad", "labels.alertname: This is missing."),
        ({**good, "labels": []}, "bad", "labels: This must be an object."),
        ({**good, "fingerprint": None}, None, "fingerprint: This is missing."),
        ({**good, "fingerprint": 5}, None, "fingerprint: This must be one line of text."),
        ({**good, "fingerprint": "a\nb"}, "a b", "fingerprint: This must be one line of text."),
        ("alert", None, "This must be an object."),
        (None, None, "This must be an object."),
    ]


@pytest.mark.parametrize("case", range(13))
def test_unusable_alert_is_named_and_does_not_refuse_the_others(app: Flask, machine: Machine, case: int) -> None:
    bad, fingerprint, reason = unusable_alerts()[case]
    sent = {"alerts": [alert(ago(hours=1), fingerprint="a"), bad, alert(ago(hours=1), fingerprint="b")]}
    with captured_log() as log, grows(definitions.delivery_items_ignored.labels("alert")):
        answer = machine.tell("alerts", sent, 200)
    assert [one["outcome"] for one in answer["alerts"]] == ["opened", "ignored", "opened"]
    assert answer["unusable"] == 1
    assert answer["alerts"][1]["fingerprint"] == fingerprint
    assert reason in answer["alerts"][1]["reason"]
    (record,) = [one for one in log.records if one["event"] == "delivery.items_ignored"]
    assert (record["kind"], record["count"]) == ("alert", 1)
    assert reason in record["reason"]
    assert len(incidents(app)) == 2


def test_large_notification_is_taken_in_order(machine: Machine) -> None:
    start = ago(hours=1)
    sent: list[Any] = [alert(start, fingerprint=f"{n}", severity="warning") for n in range(250)]
    sent[120:120] = ["bad", alert(start, fingerprint="critical")]
    answer = machine.tell("alerts", {"alerts": sent}, 200)
    assert [one["fingerprint"] for one in answer["alerts"]][118:123] == ["118", "119", None, "critical", "120"]
    assert (len(answer["alerts"]), answer["alerts"][121]["outcome"], answer["unusable"]) == (252, "opened", 1)


def test_what_is_no_notification_is_refused_with_the_field(machine: Machine) -> None:
    assert list(machine.refused("alerts")) == ["alerts"]
    assert machine.refused("alerts", alerts={}) == {"alerts": "This must be a list."}


def test_notification_of_bad_alerts_alone_names_each_with_its_reason(app: Flask, machine: Machine) -> None:
    """Alertmanager does not send a refused group again, and counts it as its own failure."""
    assert machine.tell("alerts", {"alerts": []}, 200) == {"alerts": [], "unusable": 0}
    bad = {**alert(ago(hours=1)), "startsAt": NEVER}
    spoiled = {**alert(ago(hours=1), ago(hours=2)), "fingerprint": None}
    answer = machine.tell("alerts", {"alerts": [bad, 5, spoiled, {**spoiled, "labels": []}]}, 200)
    assert ({one["outcome"] for one in answer["alerts"]}, answer["unusable"]) == ({"ignored"}, 4)
    reasons = [one["reason"] for one in answer["alerts"]]
    for name, reason in zip(("startsAt", "", "fingerprint", "labels"), reasons, strict=True):
        assert name in reason
    assert "endsAt" in reasons[2]
    assert incidents(app) == []
