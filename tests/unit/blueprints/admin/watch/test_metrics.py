"""The page of metrics, with the answers of a telemetry store that the tests make."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from church.services import telemetry_queries
from church.services.telemetry_queries import Answer, TelemetryQueryError, TelemetryStoreDownError
from tests.support.desk import AdminBrowser

HOSTILE = '"><svg onload=x>{{7*7}}'
HITS = {
    "name": "hits_total",
    "kind": "counter",
    "source": "P",
    "help": f"Hits. {HOSTILE}",
    "labels": {"route": ["/", HOSTILE], "method": ["GET"]},
}
TOOK = {"name": "took_seconds", "kind": "histogram", "source": "P", "help": "Time.", "labels": {"route": ["/"]}}
RANGE = "from=2026-11-30T00:00:00Z&to=2026-11-30T01:00:00Z"
BEGIN = 1_795_996_800_000_000
MINUTE = 60_000_000


class FakeStore:
    """Answers each range with two series; ``asked`` has all ranges."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.is_running, self.is_busy = True, False
        self.labels: Callable[[dict[str, Any]], list[dict[str, str]]] = lambda one: [
            dict.fromkeys(one["by"], "/"),
            dict.fromkeys(one["by"], HOSTILE),
        ]

    def ask(self, _settings: Any, query: str, **args: Any) -> Answer:
        if not self.is_running:
            raise TelemetryStoreDownError
        if query == "metrics.catalogue":
            return Answer([HITS, TOOK])
        if self.is_busy:
            raise TelemetryQueryError("busy", "Four questions are under way.")
        self.asked += args["ranges"]
        points = [[BEGIN + number * MINUTE, None if number == 1 else number / 4] for number in range(4)]
        return Answer(
            [
                {"index": index, "labels": labels, "points": points}
                for index, one in enumerate(args["ranges"])
                for labels in (self.labels(one) if one["by"] else [{}])
            ]
        )


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> FakeStore:
    fake = FakeStore()
    monkeypatch.setattr(telemetry_queries, "ask", fake.ask)
    return fake


def shown(*texts: str) -> str:
    return "&".join([RANGE, *(f"show={quote(text)}" for text in texts)])


def test_page_shows_the_usual_charts_and_every_metric(desk: AdminBrowser, store: FakeStore) -> None:
    page = desk.get("/admin/metrics").text
    assert page.count('<figure class="chart"') == 6
    assert "took_seconds" in page
    assert "<svg onload" not in page
    assert {one["name"] for one in store.asked} >= {"http_requests_total", "http_request_duration_seconds"}


def test_page_draws_a_chart_for_each_unit(desk: AdminBrowser, store: FakeStore) -> None:
    page = desk.get(
        f"/admin/metrics?{shown('rate(hits_total) by (route)', 'p95(took_seconds)', 'mean(took_seconds)')}"
    ).text
    assert page.count('<figure class="chart"') == 2
    assert "<svg onload" not in page
    assert [(one["fn"], one["from"], one["to"]) for one in store.asked] == [
        (fn, BEGIN, BEGIN + 60 * MINUTE) for fn in ("rate", "quantile", "mean")
    ]
    assert "<td>0.25/s</td>" not in page  # no value
    assert "<td>0.5/s</td><td>0.5/s</td>" in page
    assert "500 ms" in page


def test_json_and_csv_have_the_same_values(desk: AdminBrowser, store: FakeStore) -> None:
    query = shown("rate(hits_total) by (route)", "p95(took_seconds)")
    data = desk.data(f"/admin/metrics?{query}")
    downloaded = desk.get(f"/admin/metrics.json?{query}")
    assert downloaded.headers["Content-Disposition"] == "attachment; filename=metrics.json"
    assert downloaded.json["shown"] == data["shown"]
    first = data["shown"][0]
    assert (first["expression"], first["unit"]) == ("rate(hits_total) by (route)", "rate")
    assert first["series"][0]["labels"] == {"route": "/"}
    assert first["series"][0]["points"][:3] == [
        ["2026-11-30T00:00:00Z", 0], ["2026-11-30T00:01:00Z", None], ["2026-11-30T00:02:00Z", 0.5],
    ]  # fmt: skip
    answer = desk.get(f"/admin/metrics.csv?{query}")
    assert answer.headers["Content-Disposition"] == "attachment; filename=metrics.csv"
    head, *lines = csv.reader(answer.text.splitlines())
    assert head == [
        "time",
        "rate(hits_total) by (route) /",
        f"rate(hits_total) by (route) {HOSTILE}",
        "p95(took_seconds)",
    ]
    assert lines[1:3] == [["2026-11-30T00:01:00Z", "", "", ""], ["2026-11-30T00:02:00Z", "0.5", "0.5", "0.5"]]


def test_form_makes_an_address_that_can_be_shared(desk: AdminBrowser, store: FakeStore) -> None:
    def follow(fields: str) -> list[str]:
        answer = desk.get(f"/admin/metrics?{shown('rate(hits_total)', 'p95(took_seconds)')}&{fields}")
        assert answer.status_code == 302
        query = parse_qs(urlsplit(answer.headers["Location"]).query)
        assert query["from"] == ["2026-11-30T00:00:00Z"]
        return query["show"]

    both = ["rate(hits_total)", "p95(took_seconds)"]
    assert follow("metric=took_seconds&fn=mean&by=route&is=&is=route%3D/a%3Db") == [
        *both, 'mean(took_seconds{route="/a=b"}) by (route)',
    ]  # fmt: skip
    assert follow("metric=hits_total&fn=increase&at=1") == [both[0], "increase(hits_total)", both[1]]
    assert follow("metric=took_seconds&fn=increase") == [*both, "p95(took_seconds)"]  # another kind's function
    usual = desk.get("/admin/metrics?metric=hits_total")
    assert usual.headers["Location"] == "/admin/metrics?show=rate(hits_total)&range=24h"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("show=nonsense", "is not such as"),
        ("metric=unknown", "There is no metric"),
        ("&".join(f"show=rate(a{n})" for n in range(13)), "at most 12"),
        ("range=2y", "range"),
    ],
)
def test_wrong_questions_are_refused(desk: AdminBrowser, store: FakeStore, query: str, said: str) -> None:
    answer = desk.get(f"/admin/metrics?{query}")
    assert answer.status_code == 400
    assert said in answer.text


def test_download_of_nothing_is_refused(desk: AdminBrowser, store: FakeStore) -> None:
    assert desk.get("/admin/metrics.csv").status_code == 400
    assert desk.get("/admin/metrics.json").status_code == 400


def test_page_without_the_store_says_so(desk: AdminBrowser, store: FakeStore) -> None:
    store.is_running = False
    answer = desk.get(f"/admin/metrics?{shown('rate(hits_total)')}")
    assert answer.status_code == 200
    assert "flask church observe" in answer.text
    assert desk.data("/admin/metrics") == {"is_running": False}
    assert desk.get(f"/admin/metrics.csv?{shown('rate(hits_total)')}").status_code == 503


def test_page_says_why_a_question_has_no_answer(desk: AdminBrowser, store: FakeStore) -> None:
    store.is_busy = True
    answer = desk.get(f"/admin/metrics?{shown('rate(hits_total)')}")
    assert answer.status_code == 200
    assert "Four questions are under way." in answer.text
    assert desk.data("/admin/metrics") == {"is_running": True, "problem": "Four questions are under way."}


def test_line_has_no_gaps_where_old_samples_stand_for_more_time(desk: AdminBrowser, store: FakeStore) -> None:
    query = "from=2026-11-30T00:00:00Z&to=2026-11-30T00:05:00Z&show=rate(hits_total)"  # steps of 15 s, points of 60
    page = desk.get(f"/admin/metrics?{query}").text
    [line] = re.findall(r'<path class="chart-line series-1" d="(M[^"]+)"/>\s*</svg>', page)
    assert line.count("M") == 2  # before and after the minute without a value
    assert line.count("h0") == 1  # the first one is alone
