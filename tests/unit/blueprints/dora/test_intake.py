"""Reports of deployments and incidents over HTTP: fields, errors, and who may report."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from pydantic import SecretStr
from sqlalchemy import select

from church import create_app
from church.config import Settings
from church.extensions import db
from church.models import Deployment
from church.observability.metrics import definitions
from church.services import machine_tokens
from church.services.audit import Actor
from church.web import maintenance
from tests.support.delivery_fixture import DEPLOYMENTS, Machine, at
from tests.support.helpers import STRONG, captured_log, grows, with_settings

JSON = {"Accept": "application/json"}
D1: dict[str, Any] = {"id": "x1", "environment": "production", "status": "success"}
I1: dict[str, Any] = {"id": "i1", "environment": "production", "title": "Broken"}


def later(**time: float) -> str:
    return (datetime.now(UTC) + timedelta(**time)).isoformat()


# -- deployments ----------------------------------------------------------------------------------------------------


def test_deployment_is_recorded_once_and_repeats_change_nothing(machine: Machine) -> None:
    with captured_log() as log:
        assert machine.tell("deployment", D1, 201) == {"id": "x1", "outcome": "recorded"}
        assert machine.tell("deployment", {**D1, "status": "failure"}, 200) == {"id": "x1", "outcome": "unchanged"}
    (record,) = [one for one in log.records if one["event"] == "delivery.deployment"]
    assert (record["deployment"], record["outcome"], record["target"]) == ("x1", "success", "production")


def test_deployment_with_all_fields_and_some_clock_skew_is_recorded(machine: Machine) -> None:
    commits = [{"sha": f"{number:040X}", "committed_at": at("04T08:00")} for number in range(1000)]
    sent = {"kind": "hotfix", "version": "1.2 ü", "commit": "a" * 40, "commits": commits, "url": "https://ci.example/1"}
    machine.tell("deployment", {**D1, **sent, "started_at": at("04T08:00"), "finished_at": later(minutes=4)}, 201)


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"id": None}, "id"),
        ({"id": 5}, "id"),
        ({"id": "a\nb"}, "id"),
        ({"id": "\ud800"}, "id"),
        ({"id": "x" * 201}, "id"),
        ({"environment": "moon"}, "environment"),
        ({"status": "SUCCESS"}, "status"),
        ({"status": ""}, "status"),
        ({"kind": "rework"}, "kind"),
        ({"commit": "not a sha"}, "commit"),
        ({"url": "javascript:alert(1)"}, "url"),
        ({"url": "https://[broken"}, "url"),
        ({"finished_at": "2024-03-04"}, "finished_at"),
        ({"finished_at": "2024-03-04T10:00:00"}, "finished_at"),
        ({"finished_at": "2023-02-29T10:00:00Z"}, "finished_at"),
        ({"finished_at": 1709546400}, "finished_at"),
        ({"finished_at": "1999-12-31T23:59:59Z"}, "finished_at"),
        ({"finished_at": "2500-01-01T00:00:00Z"}, "finished_at"),
        ({"finished_at": "0001-01-01T00:00:00+14:00"}, "finished_at"),
        ({"started_at": at("05T10:00"), "finished_at": at("04T10:00")}, "finished_at"),
        ({"commits": {"sha": "a"}}, "commits"),
        ({"commits": [{"sha": "b"}, {"sha": "c"}]}, "commits[1].committed_at"),
        ({"commits": ["a"]}, "commits[0]"),
        (
            {"finished_at": at("04T10:00"), "commits": [{"sha": "a", "committed_at": at("04T10:06")}]},
            "commits[0].committed_at",
        ),
    ],
)
def test_invalid_deployment_names_the_field(machine: Machine, sent: dict[str, Any], field: str) -> None:
    errors = machine.refused("deployment", **{**D1, **sent})
    assert field in errors
    machine.tell("deployment", D1, 201)  # nothing was recorded


def test_unusable_commits_are_named_and_do_not_refuse_the_deployment(machine: Machine) -> None:
    good = {"sha": "a", "committed_at": at("04T08:00")}
    bad = [
        {"sha": "b"},
        {"sha": "c", "committed_at": at("04T10:06")},
        "d",
        {"sha": "x", "committed_at": at("04T08:00")},
    ]
    sent = {**D1, "finished_at": at("04T10:00"), "commits": [bad[0], good, *bad[1:]]}
    with captured_log() as log, grows(definitions.delivery_items_ignored.labels("commit"), 4):
        answer = machine.tell("deployment", sent, 201)
    assert (answer["outcome"], answer["ignored"]) == ("recorded", 4)
    assert [one["commit"] for one in answer["ignored_commits"]] == [0, 2, 3, 4]
    assert answer["ignored_commits"][1]["reason"] == "committed_at: This is after the deployment finished."
    assert [one["count"] for one in log.records if one["event"] == "delivery.items_ignored"] == [4]
    with machine.client.application.app_context(), db.read() as session:
        assert [commit["sha"] for commit in session.scalars(select(Deployment.commits)).one()] == ["a"]
    assert machine.tell("deployment", sent, 200)["outcome"] == "unchanged"


def test_commits_after_the_first_thousand_are_left_out(machine: Machine) -> None:
    commits = [{"sha": f"{number:x}", "committed_at": at("04T08:00")} for number in range(1030)]
    answer = machine.tell("deployment", {**D1, "commits": commits}, 201)
    assert (answer["ignored"], len(answer["ignored_commits"])) == (30, 20)
    assert answer["ignored_commits"][0] == {"commit": 1000, "reason": "Only the first 1000 commits are kept."}


def test_time_more_than_five_minutes_ahead_is_refused(machine: Machine) -> None:
    assert machine.refused("deployment", **D1, finished_at=later(minutes=6)) == {
        "finished_at": "This is in the future."
    }


def test_body_other_than_a_json_object_is_refused(app: Flask, machine: Machine) -> None:
    for what in ("deployment", "incident", "alerts"):
        path = f"/api/telemetry/{what}"
        assert machine.client.post(path, data={"id": "x1"}).status_code == 415
        assert machine.client.post(path, data=b"{}", content_type="text/plain").status_code == 415
        assert machine.client.post(path, data=b"[1]", content_type="application/json").status_code == 400
        assert machine.client.post(path, data=b"{", content_type="application/json").status_code == 400
        assert machine.client.get(path).status_code == 405


# -- incidents ------------------------------------------------------------------------------------------------------


def test_incident_is_opened_changed_and_resolved_for_good(machine: Machine) -> None:
    opened = machine.tell("incident", {**I1, "opened_at": at("04T10:00")}, 201)
    assert (opened["outcome"], opened["severity"], opened["deployment"]) == ("opened", "critical", None)
    assert machine.tell("incident", {"id": "i1", "severity": "warning"}, 200)["outcome"] == "updated"
    with captured_log() as log:
        resolved = machine.tell("incident", {"id": "i1", "resolved_at": at("04T11:00")}, 200)
    assert (resolved["outcome"], resolved["severity"]) == ("resolved", "warning")
    (record,) = [one for one in log.records if one["event"] == "delivery.incident_resolved"]
    assert record["seconds"] == 3600
    again = machine.tell("incident", {"id": "i1", "resolved_at": None}, 200)
    assert (again["outcome"], again["resolved_at"]) == ("unchanged", "2024-03-04T11:00:00+00:00")


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"title": None}, "title"),
        ({"environment": None}, "environment"),
        ({"severity": "awful"}, "severity"),
        ({"deployment": "never"}, "deployment"),
        ({"deployment": "D6"}, "deployment"),
        ({"deployment": "D7", "opened_at": at("08T10:00")}, "deployment"),
        ({"opened_at": at("05T10:00"), "resolved_at": at("05T09:00")}, "resolved_at"),
        ({"resolved_at": "2500-01-01T00:00:00Z"}, "resolved_at"),
    ],
)
def test_invalid_incident_names_the_field(machine: Machine, sent: dict[str, Any], field: str) -> None:
    for one in DEPLOYMENTS[5:]:
        machine.tell("deployment", one, 201)
    assert list(machine.refused("incident", **{**I1, **sent})) == [field]


def test_invalid_change_of_an_incident_is_refused(machine: Machine) -> None:
    machine.tell("incident", {**I1, "opened_at": at("04T10:00")}, 201)
    assert list(machine.refused("incident", id="i1", environment="staging")) == ["environment"]
    assert list(machine.refused("incident", id="i1", resolved_at=at("04T09:00"))) == ["resolved_at"]
    machine.tell("deployment", DEPLOYMENTS[0], 201)  # finished at 10:00
    machine.tell("incident", {"id": "i1", "deployment": "D1"}, 200)
    assert list(machine.refused("incident", id="i1", opened_at=at("04T09:00"))) == ["opened_at"]


# -- access ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def guarded(app: Flask, settings: Settings) -> Iterator[Flask]:
    """The same site with a METRICS_TOKEN."""
    guarded = create_app(with_settings(settings, metrics_token=SecretStr(STRONG)))
    guarded.testing = True
    yield guarded
    with guarded.app_context():
        db.dispose()


def token_for(app: Flask, *scopes: str) -> str:
    with app.app_context():
        return machine_tokens.create("test", scopes, Actor(via="cli")).token


def test_token_opens_its_scopes_until_it_is_revoked(guarded: Flask) -> None:
    writer, reader = token_for(guarded, "delivery:write"), token_for(guarded, "dora:read", "metrics:read")
    Machine(guarded, STRONG).tell("deployment", D1, 201)
    Machine(guarded, writer).tell("deployment", D1, 200)
    with grows(definitions.security_events.labels("invalid_token", "medium"), by=0):
        refusal = Machine(guarded, reader).tell("deployment", D1, 403)
    assert "delivery:write" in refusal["detail"]
    client = guarded.test_client()
    for path in ("/dora", "/metrics"):
        answers = {
            token: client.get(path, headers={**JSON, "Authorization": f"Bearer {token}"}).status_code
            for token in (STRONG, reader, writer)
        }
        assert list(answers.values()) == [200, 200, 403]
    with guarded.app_context():
        machine_tokens.revoke(machine_tokens.list_tokens()[1].ref, Actor(via="cli"))
    with grows(definitions.security_events.labels("invalid_token", "medium")):
        Machine(guarded, writer).tell("deployment", D1, 401)


def test_missing_or_wrong_token_is_401_and_a_wrong_one_is_counted(guarded: Flask) -> None:
    for what in ("deployment", "incident", "alerts"):
        Machine(guarded).tell(what, D1, 401)
        with grows(definitions.security_events.labels("invalid_token", "medium")):
            Machine(guarded, "church_000000000000_wrong").tell(what, D1, 401)


def test_wrong_tokens_are_limited_while_a_valid_one_works(app: Flask, settings: Settings) -> None:
    limited = create_app(with_settings(settings, metrics_token=SecretStr(STRONG), limit_telemetry_api="3/hour"))
    wrong, good = Machine(limited, "church_000000000000_wrong"), Machine(limited, token_for(app, "delivery:write"))
    with grows(definitions.security_events.labels("invalid_token", "medium"), by=2):
        wrong.tell("deployment", D1, 401)
        Machine(limited).tell("deployment", D1, 401)
        wrong.tell("incident", D1, 401)
        with grows(definitions.rate_limit_hits.labels("telemetry_api")):
            wrong.tell("deployment", D1, 429)
    good.tell("deployment", D1, 201)
    with limited.app_context():
        db.dispose()


def test_scrape_with_the_configured_token_needs_no_database(guarded: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_token: str) -> None:
        raise AssertionError("the database was read")

    monkeypatch.setattr(machine_tokens, "find_scopes", fail)
    answer = guarded.test_client().get("/metrics", headers={"Authorization": f"Bearer {STRONG}"})
    assert answer.status_code == 200


def test_reports_are_accepted_during_maintenance(app: Flask, machine: Machine) -> None:
    maintenance.turn_on(app.config["CHURCH"])
    machine.tell("deployment", D1, 201)


@pytest.mark.parametrize(("sent", "status"), [({"Authorization": f"Bearer {STRONG}"}, 201), ({}, 401)])
def test_reports_from_another_origin_need_a_token(guarded: Flask, sent: dict[str, str], status: int) -> None:
    headers = {"Origin": "https://ci.example", **sent}
    answer = guarded.test_client().post("/api/telemetry/deployment", json=D1, headers=headers)
    assert answer.status_code == status


def test_reports_without_a_token_are_refused_to_a_page_of_another_origin(machine: Machine) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example", "Origin": "http://evil.example"}):
        answer = machine.client.post("/api/telemetry/deployment", json=D1, headers=headers)
        assert answer.status_code == 403


def test_report_about_an_attack_is_not_counted_as_one(machine: Machine) -> None:
    with grows(definitions.security_events.labels("threat_detected", "high"), by=0):
        machine.tell("incident", {**I1, "title": "<script>alert(1)</script> ' OR 1=1 --"}, 201)
