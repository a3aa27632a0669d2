"""The page of delivery figures, and the same figures as JSON."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from flask import Flask
from sqlalchemy import insert

from church import create_app
from church.config import Settings
from church.extensions import db
from church.models import Deployment
from church.models.accounts import Role
from tests.support.delivery_fixture import FIGURES, INCIDENTS, WEEK, Machine
from tests.support.helpers import with_settings
from tests.support.people import add_user, client_of

JSON = {"Accept": "application/json"}


def test_dora_as_json_follows_its_contract(app: Flask, machine: Machine) -> None:
    machine.tell_the_week()
    admin = client_of(app, add_user(app, role=Role.ADMIN.value))
    answer = admin.get("/dora", query_string=WEEK, headers=JSON)
    found = answer.get_json()
    assert found["window"] == WEEK
    assert {name: (one["value"], one["n"]) for name, one in found["metrics"].items()} == FIGURES
    assert set(found["metrics"]["mttr_seconds"]) == {"value", "n", "unit", "band", "edition"}
    assert set(found) == {"window", "metrics", "message", "metricsAvailable", "grafanaIntegration", "documentation"}
    exposed = machine.client.get("/metrics").text
    assert all(f"# TYPE {name} " in exposed for name in found["metricsAvailable"])
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert admin.get("/dora?environment=moon", headers=JSON).get_json(force=True)["errors"].keys() == {"environment"}


def test_dora_page_shows_figures_charts_and_their_data(app: Flask, machine: Machine) -> None:
    machine.tell_the_week()
    machine.tell("incident", {**INCIDENTS[2], "id": "x", "title": "<b>bold</b>"}, 201)
    page = client_of(app, add_user(app, role=Role.ADMIN.value)).get("/dora", query_string=WEEK).text
    for words in ("1 h 30 min", "0.71 a day", "40 %", "Of 6 commits.", "&lt;b&gt;bold&lt;/b&gt;", ">open<"):
        assert words in page, words
    assert page.count('class="point-hotfix"') == 1
    assert page.count('class="point-ring"') == 2
    assert 'class="bar-broken"' in page
    assert "Of 1 commit." in machine_page(app, environment="staging")


def test_dora_page_of_many_deployments_draws_the_newest_and_counts_them_all(app: Flask) -> None:
    day, facts = datetime(2024, 3, 5, tzinfo=UTC), {"environment": "production", "status": "success", "kind": "normal"}
    rows = [
        {"ref": f"many-{number}", "finished_at": day + timedelta(minutes=number), "recorded_at": day, "commits": []}
        for number in range(430)
    ]
    with app.app_context(), db.write() as session:
        session.execute(insert(Deployment), [{**facts, **row} for row in rows])
    page = machine_page(app)
    assert "The newest 20 of 430; the newest 400 are in the chart." in page
    assert page.count('class="point-normal"') == 400
    assert "many-429, 5 March 2024" in page
    assert "many-29, 5 March 2024" not in page
    assert "430 without an incident" in page
    assert ">600</text>" in page  # the top of the weeks' scale


def test_dora_page_of_a_day_shows_hours_and_of_years_what_is_left_out(app: Flask, machine: Machine) -> None:
    machine.tell_the_week()
    for number in range(51):
        machine.tell("incident", {**INCIDENTS[2], "id": f"more-{number}"}, 201)
    admin = client_of(app, add_user(app, role=Role.ADMIN.value))
    day = admin.get("/dora?from=2024-03-06&to=2024-03-07").text
    assert (">06:00</text>" in day, "of the window." in day) == (True, False)
    years = admin.get("/dora?from=2023-01-01&to=2025-01-01").text
    for words in ("0.0068 a day", ">Jul 2023</text>", "The last 53 weeks of the window.", "The newest 50 of 55."):
        assert words in years, words


def machine_page(app: Flask, **query: str) -> str:
    admin = client_of(app, add_user(app, "eve@church.example", role=Role.ADMIN.value))
    return admin.get("/dora", query_string={**WEEK, **query}).text


def test_dora_page_without_data_or_with_a_wrong_window_is_shown(app: Flask) -> None:
    admin = client_of(app, add_user(app, role=Role.ADMIN.value))
    assert admin.get("/dora").text.count("no data") == 6
    answer = admin.get("/dora?from=2026-02-30&to=x")
    assert (answer.status_code, answer.text.count('class="field-error"')) == (422, 2)


def test_dora_is_for_admins_unless_made_public(app: Flask, settings: Settings) -> None:
    member = client_of(app, add_user(app))
    assert (member.get("/dora").status_code, app.test_client().get("/dora").status_code) == (403, 303)
    assert app.test_client().get("/dora", headers={"Authorization": "Bearer eyJx.e30.x", **JSON}).status_code == 401
    open_to_all = create_app(with_settings(settings, dora_public=True))
    assert open_to_all.test_client().get("/dora").status_code == 200


def test_dora_page_keeps_the_admin_menu_for_admins_only(app: Flask, settings: Settings) -> None:
    current = re.compile('<a href="/dora"[^>]* aria-current="page">Delivery</a>')
    assert current.search(client_of(app, add_user(app, role=Role.ADMIN.value)).get("/dora").text)
    open_to_all = create_app(with_settings(settings, dora_public=True))
    for client in (open_to_all.test_client(), client_of(open_to_all, add_user(app, "eve@church.example"))):
        page = client.get("/dora").text
        assert "Admin area" not in page
        assert 'aria-label="Site"' in page
