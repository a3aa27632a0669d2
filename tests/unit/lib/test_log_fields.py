"""The names of a log record's fields lead from one scheme to the other."""

from __future__ import annotations

import pytest

from church.lib.log_fields import OTEL_NAMES, SCHEMES, read_plainly, to_otel, to_plain, to_scheme


@pytest.mark.parametrize("name", [*OTEL_NAMES, "request_id", "user_ref", "attempts"])
def test_otel_name_leads_back_to_the_plain_one(name: str) -> None:
    assert to_plain(to_otel(name)) == name


def test_plain_name_stays() -> None:
    assert to_plain("status") == "status"


def test_name_without_a_convention_gets_our_prefix() -> None:
    assert to_otel("request_id") == "church.request_id"


def test_names_of_both_schemes_are_no_names_of_the_other() -> None:
    """A record can be read without knowing its scheme."""
    changed = {plain: otel for plain, otel in OTEL_NAMES.items() if plain != otel}
    assert changed.keys().isdisjoint(changed.values())
    assert len(set(OTEL_NAMES.values())) == len(OTEL_NAMES)


def test_record_of_either_scheme_is_read_plainly() -> None:
    record = {"event": "http.request", "status": 200, "request_id": "r"}
    assert [read_plainly({to_scheme(k, scheme): v for k, v in record.items()}) for scheme in SCHEMES] == [record] * 2
