"""Addresses of the parts of a list, and the choice of months to jump to."""

from __future__ import annotations

from collections import namedtuple
from datetime import date

import pytest
from flask import Flask
from werkzeug.exceptions import NotFound

from church.web.list_parts import AskedPart, make_choices, make_links, read_part

Month = namedtuple("Month", "year month")


def read(query: str) -> AskedPart:
    with Flask("test").test_request_context(f"/pages/?{query}"):
        return read_part()


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("", AskedPart()),
        ("after=&month=", AskedPart()),
        ("before=a~b&after=c", AskedPart(after="c")),
        ("month=2024-02", AskedPart(month="2024-02")),
    ],
)
def test_part_is_read_from_the_first_of_its_parameters(query: str, asked: AskedPart) -> None:
    assert read(query) == asked


@pytest.mark.parametrize("query", ["month=2024-00", "month=2024-2", "month=0000-01", "after=" + 401 * "x"])
def test_part_that_cannot_be_is_not_found(query: str) -> None:
    with pytest.raises(NotFound):
        read(query)


@pytest.mark.parametrize(
    ("month", "day"),
    [
        ("2024-02", date(2024, 2, 29)),
        ("2025-12", date(2025, 12, 31)),
        ("9999-12", date.max),
        ("0001-01", date(1, 1, 31)),
    ],
)
def test_month_begins_a_list_at_its_last_day(month: str, day: date) -> None:
    assert AskedPart(month=month).from_day == day


def test_links_keep_what_the_list_is_chosen_by() -> None:
    links = make_links("/pages/", AskedPart(after="2025-01-01~a/b"), previous="p&q", next=None, tag="über", other=None)
    assert links.here == "/pages/?tag=%C3%BCber&after=2025-01-01~a%2Fb"
    assert (links.first, links.previous, links.next) == (
        "/pages/?tag=%C3%BCber", "/pages/?tag=%C3%BCber&before=p%26q", None,
    )  # fmt: skip
    assert make_links("/video/", AskedPart(), previous=None, next=None).first is None


def test_choice_of_very_many_months_offers_the_newest_of_each_year() -> None:
    months = [Month(year, month) for year in range(2030, 2009, -1) for month in range(12, 0, -1)]
    some = make_choices(months[:24])
    assert [len(choice.months) for choice in some] == [12, 12]
    assert some[0].months[0] == ("2030-12", "December 2030")
    assert [choice.months for choice in make_choices(months)][1] == (("2029-12", "December 2029"),)
    assert make_choices([]) == ()
