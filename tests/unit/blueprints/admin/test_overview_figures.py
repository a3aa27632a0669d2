"""The figures of the overview: their values, changes, notes and courses."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from church.extensions import db
from church.models import Deployment, Incident
from tests.support.desk import AdminBrowser
from tests.support.store_stand_in import StoreStandIn, running_stand_in

DAY = 86_400_000_000


@pytest.fixture
def store(desk: AdminBrowser) -> Iterator[StoreStandIn]:
    with running_stand_in(desk.app.config["CHURCH"].instance) as stand_in:
        yield stand_in


class Samples:
    """Answers ``metrics.many`` by what each range asks for: the values of a metric over the range, and before it."""

    def __init__(self, store: StoreStandIn, desk: AdminBrowser) -> None:
        self._store = store
        self._desk = desk
        self.values: dict[tuple[str, str], Any] = {}

    def give(self) -> dict[str, Any]:
        """Let the store answer all questions that the page asks, and return the figures by name."""
        self._desk.data("/admin/")
        ranges = self._store.args_of("metrics.many")["ranges"]
        last = max(one["to"] for one in ranges)
        rows = []
        for index, one in enumerate(ranges):
            span = "before" if one["to"] < last else "now" if one.get("whole") else "course"
            for label, points in self._points(one, span):
                rows.append({"index": index, "labels": label, "points": points})
        self._store.give("metrics.many", *rows)
        figures: list[dict[str, Any]] = self._desk.data("/admin/")["figures"]
        return {one["name"]: one for one in figures}

    def _points(self, asked: dict[str, Any], span: str) -> list[tuple[dict[str, str], list[Any]]]:
        where = "".join(value[0] for value in asked.get("where", {}).values()) or str(asked.get("q", ""))
        found = self.values.get((f"{asked['name']} {where}".strip(), span))
        if found is None:
            return []
        groups = found if isinstance(found, dict) else {"": found}
        label = (asked.get("by") or [""])[0]
        return [
            (
                {label: name} if label else {},
                [[asked["from"] + n * 15_000_000, value] for n, value in enumerate(values)],
            )
            for name, values in groups.items()
        ]


@pytest.fixture
def samples(store: StoreStandIn, desk: AdminBrowser) -> Samples:
    return Samples(store, desk)


def test_counts_are_added_up_and_compared_with_the_time_before(samples: Samples, desk: AdminBrowser) -> None:
    samples.values = {
        ("http_requests_total", "course"): [100, None, 50],
        ("http_requests_total", "before"): [100],
        ("http_requests_total 500", "course"): [2, None, 1],
        ("user_registrations_total", "course"): [0, 3],
        ("user_registrations_total", "before"): [0],
    }
    figures = samples.give()
    assert figures["requests"] == {"name": "requests", "value": 150, "change": 0.5}
    assert (figures["failures"]["value"], figures["failures"]["change"]) == (3, None)
    assert (figures["sign_ups"]["value"], figures["sign_ups"]["change"]) == (3, None)
    page = desk.get("/admin/").text
    assert "2 % of requests" in page
    assert '50 % <span class="visually-hidden">more than in the time before' in page


def test_quantiles_are_of_the_whole_time(samples: Samples, desk: AdminBrowser) -> None:
    name = "http_request_duration_seconds"
    samples.values = {(f"{name} {q}", "now"): [value] for q, value in (("0.5", 0.01), ("0.95", 0.2), ("0.99", 1.5))}
    samples.values |= {(f"{name} 0.95", "before"): [0.4], (f"{name} 0.95", "course"): [9, 9]}
    assert samples.give()["response_time"] == {"name": "response_time", "value": 0.2, "change": -0.5}
    assert "p50 10 ms, p99 1.5 s" in desk.get("/admin/").text


def test_revenue_is_payments_less_refunds_of_each_currency(samples: Samples, desk: AdminBrowser) -> None:
    samples.values = {
        ("stripe_payment_value_total", "course"): {"usd": [20.0, 10.0], "eur": [100.0, 0.0], "gbp": [0.0, 0.0]},
        ("stripe_refund_value_total", "course"): {"usd": [0.0, 5.0]},
        ("stripe_payment_value_total", "before"): {"eur": [50.0]},
    }
    figures = samples.give()
    assert [name for name in figures if name.startswith("revenue")] == ["revenue_eur", "revenue_usd"]
    assert (figures["revenue_eur"]["value"], figures["revenue_eur"]["change"]) == (100.0, 1.0)
    assert (figures["revenue_usd"]["value"], figures["revenue_usd"]["change"]) == (25.0, None)
    assert "25.00 USD" in desk.get("/admin/").text


def test_state_is_that_of_the_end_with_the_highest(samples: Samples, desk: AdminBrowser) -> None:
    samples.values = {
        ("websocket_connections_active", "course"): [3, 9, 4, None],
        ("stripe_subscriptions_active active", "course"): [10, 12],
    }
    figures = samples.give()
    assert (figures["live"]["value"], figures["live"]["change"]) == (4, None)
    assert figures["subscribers"] == {"name": "subscribers", "value": 12, "change": 0.2}
    assert "up to 9 in this time" in desk.get("/admin/").text


def test_time_is_named_in_words(store: StoreStandIn, desk: AdminBrowser) -> None:
    for name, words in (("1h", "The last hour"), ("7d", "The last 7 days")):
        assert f">{words}</h2>" in desk.get(f"/admin/?range={name}").text


def test_visitors_are_shown_for_as_long_as_records_are_kept(store: StoreStandIn, desk: AdminBrowser) -> None:
    store.give("visitors.counts", {"at": None, "visitors": 12})
    found = {one["name"]: one for one in desk.data("/admin/?range=24h")["figures"]}
    assert (found["visitors"]["value"], found["visitors"]["change"]) == (12, 0.0)
    assert "visitors" not in {one["name"] for one in desk.data("/admin/?range=30d")["figures"]}


def test_visitors_by_whole_addresses_are_not_compared_with_those_by_networks(
    store: StoreStandIn, desk: AdminBrowser
) -> None:
    store.give("visitors.counts", {"at": None, "visitors": 12})
    found = {one["name"]: one for one in desk.data("/admin/?range=7d")["figures"]}
    assert (found["visitors"]["value"], found["visitors"]["change"]) == (12, None)
    assert "networks from 3 days ago on" in desk.get("/admin/?range=7d").text
    assert "by their addresses" in desk.get("/admin/?range=24h").text


def test_requests_of_admins_are_left_out_unless_asked_for(store: StoreStandIn, desk: AdminBrowser) -> None:
    for query, leaves_out in (("", True), ("?all=1", False)):
        desk.get(f"/admin/{query}")
        asked = store.args_of("metrics.many")["ranges"]
        assert {one["exclude_admin"] for one in asked if one["name"].startswith("http_")} == {leaves_out}
        assert store.args_of("visitors.counts")["exclude_admin"] is leaves_out


def test_overview_without_the_store_says_so_and_shows_what_the_database_knows(desk: AdminBrowser) -> None:
    page = desk.get("/admin/").text
    assert "flask church observe" in page
    assert "devices signed in" in page
    assert 'class="tile"' not in page


def test_deployments_and_incidents_are_named_and_marked(store: StoreStandIn, desk: AdminBrowser) -> None:
    now = datetime.now(UTC)
    with desk.app.app_context(), db.write() as session:
        add = {"environment": "production", "recorded_at": now, "status": "success", "kind": "normal", "commits": []}
        session.execute(
            insert(Deployment),
            [
                {**add, "ref": "d1", "version": "1.2.0", "finished_at": now - timedelta(hours=2)},
                {**add, "ref": "d2", "version": "1.1.0", "finished_at": now - timedelta(days=9), "status": "failure"},
            ],
        )
        told = {"environment": "production", "severity": "critical", "recorded_at": now, "changes": 0}
        session.execute(
            insert(Incident),
            [
                {
                    **told,
                    "ref": "i1",
                    "title": "Checkout fails",
                    "opened_at": now - timedelta(hours=30),
                    "resolved_at": None,
                },
                {
                    **told,
                    "ref": "i2",
                    "title": "Long ago",
                    "opened_at": now - timedelta(days=9),
                    "resolved_at": now - timedelta(days=8),
                },
            ],
        )
    page = desk.get("/admin/?range=24h").text
    assert "1.2.0" in page
    assert "Deployment 1.1.0" not in page
    assert "Checkout fails" in page
    assert "still open" in page
    assert "Long ago" not in page
    found = desk.data("/admin/")["delivery"]
    assert (found["last"]["ref"], [one["ref"] for one in found["open_incidents"]]) == ("d1", ["i1"])


def test_marks_of_an_earlier_time_are_found_beside_many_later_ones(store: StoreStandIn, desk: AdminBrowser) -> None:
    now = datetime.now(UTC)
    add = {"environment": "production", "recorded_at": now, "status": "success", "kind": "normal", "commits": []}
    later = [{**add, "ref": f"d{n}", "version": f"2.{n}", "finished_at": now - timedelta(hours=n)} for n in range(150)]
    early = {**add, "ref": "early", "version": "1.0", "finished_at": now - timedelta(days=30)}
    with desk.app.app_context(), db.write() as session:
        session.execute(insert(Deployment), [*later, early])
    day = (now - timedelta(days=30)).date()
    page = desk.get(f"/admin/?from={day}&to={day}").text
    assert "Deployment 1.0" in page
    assert "Deployment 2." not in page
    assert desk.data(f"/admin/?from={day}&to={day}")["delivery"]["last"]["version"] == "2.0"
