"""Filters and pages of the admin's lists."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from church.blueprints.admin.list_filters import read_number, read_text
from church.errors import InvalidError
from church.extensions import db
from church.models import Job, Mail
from church.models.accounts import User
from church.models.base import utc_now
from church.services import audit
from tests.support.desk import JSON, AdminBrowser, call_in_context


def add_audit(count: int, actor: User) -> None:
    with db.write() as session:
        for number in range(count):
            audit.record(session, "account.renamed", subject_id=actor.id, number=number)


def add_jobs(count: int, _actor: User) -> None:
    with db.write() as session:
        facts = {"payload": {}, "max_attempts": 5, "created_at": utc_now(), "run_at": utc_now()}
        session.add_all(Job(kind="test", **facts) for _ in range(count))


def add_mails(count: int, _actor: User) -> None:
    with db.write() as session:
        facts: dict[str, Any] = {"template": "verify", "recipient": "a@b.example", "context": {}}
        session.add_all(Mail(created_at=utc_now(), **facts) for _ in range(count))


@pytest.mark.parametrize(
    "query", ["members?role=root", "members?state=x", "members?day=2026-02-30", "audit?day=x", "jobs?after=²",
              "jobs?state=sent",               "mails?state=dead", "jobs?before=1e3",
              f"audit?before={'9' * 30}", "membership?status=root",
              "membership/events?state=dead", "membership/grants?state=x", "membership?before=-1",
              "membership/ledger?before=x", "live?state=dead"],
)  # fmt: skip
def test_unknown_filter_value_is_refused(desk: AdminBrowser, query: str) -> None:
    assert desk.get(f"/admin/{query}").status_code == 400


@pytest.mark.parametrize(
    ("path", "name", "add"),
    [
        ("/admin/audit?action=account.renamed", "entries", add_audit),
        ("/admin/jobs?state=pending", "jobs", add_jobs),
        ("/admin/mails?state=pending", "mails", add_mails),
    ],
)
def test_lists_are_paged_to_the_end_and_keep_the_filter(
    desk: AdminBrowser, app: Flask, path: str, name: str, add: Callable[[int, User], None]
) -> None:
    call_in_context(app, add, 100, desk.user)
    seen: list[int] = []
    pages = 0
    address: str | None = path
    while address is not None:
        found = desk.get(address, **JSON).json[name]  # type: ignore[index]
        seen += [row["id"] for row in found["rows"]]
        pages += 1
        links = re.findall(r'<a href="([^"]+)" rel="next">', desk.get(address).text)
        address = links[0].replace("&amp;", "&") if links else None
        assert (found["older"] is None) == (address is None)
    assert pages == 2
    assert seen == sorted(set(seen), reverse=True)
    assert len(seen) == 100


def test_text_with_control_characters_become_one_line_of_limited_length(app: Flask) -> None:
    with app.test_request_context(query_string={"q": f" a\tb\n{'c' * 200}"}):
        assert read_text("q", most=8) == "a b ccc"
        assert read_text("absent") == ""


def test_number_largest_allowed_fits_and_one_more_digit_is_refused(app: Flask) -> None:
    with app.test_request_context(query_string={"good": "9" * 18, "long": "9" * 19, "empty": ""}):
        assert (read_number("good"), read_number("empty")) == (10**18 - 1, None)
        with pytest.raises(InvalidError):
            read_number("long")
