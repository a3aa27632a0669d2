"""The names of a log record's fields lead from one scheme to the other."""

from __future__ import annotations

import pytest

from church.lib.log_fields import OTEL_NAMES, to_otel, to_plain


@pytest.mark.parametrize("name", [*OTEL_NAMES, "request_id", "user_ref", "attempts"])
def test_otel_name_leads_back_to_the_plain_one(name: str) -> None:
    assert to_plain(to_otel(name)) == name


def test_plain_name_stays() -> None:
    assert to_plain("status") == "status"


def test_name_without_a_convention_gets_our_prefix() -> None:
    assert to_otel("request_id") == "church.request_id"
