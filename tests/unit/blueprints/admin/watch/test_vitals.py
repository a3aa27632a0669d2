"""The page of web vitals: their values, verdicts and courses, and those of each route."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from church.blueprints.admin.watch.vitals import VITALS, Device
from church.observability.metrics.definitions import DEVICES
from tests.support.desk import AdminBrowser
from tests.support.store_stand_in import StoreStandIn, running_stand_in

Values = Callable[[dict[str, Any]], list[tuple[dict[str, str], Any]]]


@pytest.fixture
def store(desk: AdminBrowser) -> Iterator[StoreStandIn]:
    with running_stand_in(desk.app.config["CHURCH"].instance) as stand_in:
        yield stand_in


def answer(store: StoreStandIn, desk: AdminBrowser, values: Values) -> None:
    """Let the store answer what the page asks for: ``values`` gives labels and a value for a question."""
    desk.data("/admin/vitals")
    rows = [
        {"index": index, "labels": labels, "points": [[asked["from"], value]]}
        for index, asked in enumerate(store.args_of("metrics.many")["ranges"])
        for labels, value in values(asked)
    ]
    store.give("metrics.many", *rows)


def test_vitals_are_judged_by_three_of_four_visits(store: StoreStandIn, desk: AdminBrowser) -> None:
    p75 = {"web_vitals_lcp_seconds": 2.5, "web_vitals_inp_seconds": 0.3, "web_vitals_cls": 0.3}
    answer(
        store,
        desk,
        lambda asked: [({}, p75.get(asked["name"]))] if asked["fn"] == "quantile" and not asked.get("by") else [],
    )
    assert desk.data("/admin/vitals")["vitals"] == {
        "lcp": {"p75": 2.5, "verdict": "good"},
        "inp": {"p75": 0.3, "verdict": "fair"},
        "cls": {"p75": 0.3, "verdict": "poor"},
        "ttfb": {"p75": None, "verdict": ""},
    }
    assert {one["q"] for one in store.args_of("metrics.many")["ranges"] if one["fn"] == "quantile"} == {0.75}
    page = desk.get("/admin/vitals").text
    assert "Main part is there (LCP): 2.5 s" in page
    assert "Good is up to 200 ms, poor above 500 ms." in page


def test_routes_have_views_errors_and_vitals_most_viewed_first(store: StoreStandIn, desk: AdminBrowser) -> None:
    def values(asked: dict[str, Any]) -> list[tuple[dict[str, str], Any]]:
        if asked.get("by") != ["route"]:
            return []
        return {
            "count": [({"route": "/"}, 4.0), ({"route": "/pages/<slug>"}, 9.0), ({"route": "/gone"}, 0.0)],
            "increase": [({"route": "/broken"}, 2.0)],
            "quantile": [({"route": "/"}, 0.05)],
        }[asked["fn"]]

    answer(store, desk, values)
    rows = desk.data("/admin/vitals")["routes"]
    assert [(row["route"], row["views"], row["errors"]) for row in rows] == [
        ("/pages/<slug>", 9, 0),
        ("/", 4, 0),
        ("/broken", 0, 2),
    ]
    assert (rows[1]["lcp"], rows[0]["lcp"]) == (0.05, None)
    assert "&lt;slug&gt;" in desk.get("/admin/vitals").text


def test_course_is_drawn_by_device(store: StoreStandIn, desk: AdminBrowser) -> None:
    answer(
        store,
        desk,
        lambda asked: (
            [({"device": "phone"}, 1.0), ({"device": "tablet"}, 2.0)] if asked.get("by") == ["device"] else []
        ),
    )
    page = desk.get("/admin/vitals").text
    assert page.count("</svg>phone</li>") == page.count("</svg>tablet</li>") == len(VITALS)


def test_visits_of_one_device_can_be_shown(store: StoreStandIn, desk: AdminBrowser) -> None:
    desk.get("/admin/vitals?device=phone")
    assert all(one["where"] == {"device": ["phone"]} for one in store.args_of("metrics.many")["ranges"])
    assert desk.get("/admin/vitals?device=watch").status_code == 400
    assert {device.value for device in Device} == set(DEVICES)


def test_page_without_the_store_says_so(desk: AdminBrowser) -> None:
    assert "flask church observe" in desk.get("/admin/vitals").text
    assert desk.data("/admin/vitals")["store_is_down"] is True
