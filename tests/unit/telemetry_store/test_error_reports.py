"""Errors of this host are told to the site: grouped, once they are taken, and again if they were not."""

from __future__ import annotations

import json
from typing import Any

from church.telemetry_store.error_reports import MOST, PATH, ErrorReports
from church.telemetry_store.site import SiteError, Target
from church.telemetry_store.tables import TABLES, Row
from tests.support.helpers import captured_log

SITE = Target("127.0.0.1:8000", "t" * 32)
SECOND = 1_000_000


def row(fingerprint: str, second: int, message: str = "no page", **values: Any) -> Row:
    given = {
        "ts": second * SECOND,
        "fingerprint": fingerprint,
        "message": message,
        "error_type": "LookupError",
        **values,
    }
    return tuple(given.get(column.name) for column in TABLES["errors"].columns)


class Site:
    """Takes reports, or fails."""

    def __init__(self) -> None:
        self.errors: list[dict[str, str]] = []
        self.is_down = False

    def post(self, target: Target, path: str, body: bytes) -> str:
        assert (target, path) == (SITE, PATH)
        if self.is_down:
            raise SiteError("answered 503")
        self.errors += json.loads(body)["errors"]
        return "{}"


def test_report_has_each_group_once_with_its_first_and_last_time() -> None:
    site = Site()
    reports = ErrorReports(SITE, site.post)
    reports.note([row("a" * 16, 20, "newest"), row("b" * 16, 15), row("a" * 16, 10, "oldest")])
    assert reports.report()
    first = site.errors[0]
    assert (first["fingerprint"], first["message"]) == ("a" * 16, "newest")
    assert (first["first"], first["last"]) == ("1970-01-01T00:00:10+00:00", "1970-01-01T00:00:20+00:00")
    assert [error["fingerprint"] for error in site.errors] == ["a" * 16, "b" * 16]
    assert reports.report()
    assert len(site.errors) == 2, "nothing is told twice"


def test_report_that_was_not_taken_is_sent_again_and_logged_once() -> None:
    site = Site()
    reports = ErrorReports(SITE, site.post)
    site.is_down = True
    reports.note([row("a" * 16, 10)])
    with captured_log() as sink:
        assert not reports.report()
        assert not reports.report()
    assert [record["event"] for record in sink.records] == ["observe.report_failed"]
    site.is_down = False
    assert reports.report()
    assert [error["fingerprint"] for error in site.errors] == ["a" * 16]


def test_report_is_bounded_and_the_rest_comes_with_the_next() -> None:
    site = Site()
    reports = ErrorReports(SITE, site.post)
    reports.note([row(f"{number:016x}", 1, "x" * 9000) for number in range(MOST + 5)])
    reports.report()
    assert len(site.errors) == MOST
    assert {len(error["message"]) for error in site.errors} == {300}
    reports.report()
    assert len(site.errors) == MOST + 5


def test_error_that_occurs_while_a_report_is_sent_is_in_the_next() -> None:
    site = Site()
    reports = ErrorReports(SITE, lambda target, path, body: (reports.note([row("a" * 16, 99)]), "")[1])
    reports.note([row("a" * 16, 10)])
    reports.report()
    reports = _with(reports, site)
    assert reports.report()
    assert [error["last"] for error in site.errors] == ["1970-01-01T00:01:39+00:00"]


def _with(reports: ErrorReports, site: Site) -> ErrorReports:
    reports._send = site.post
    return reports
