"""Which networks may be blocked."""

from __future__ import annotations

from datetime import timedelta

import pytest

from church.errors import FieldErrors
from church.lib.network.network_table import parse_network
from church.models.base import utc_now
from church.services.blocks.networks import MAX_REASON_LENGTH, MAX_TIME, Own, check_block, read_network

HOUR = timedelta(hours=1)
OWN = Own((parse_network("10.0.0.5"), parse_network("2001:db8:1::/48"), parse_network("192.0.2.0/28")), "198.51.100.9")


def problems(network: str, lasts: timedelta = HOUR, reason: str = "", own: Own = OWN) -> set[str]:
    try:
        check_block(parse_network(network), utc_now() + lasts, reason, own)
    except FieldErrors as error:
        return set(error.errors)
    return set()


@pytest.mark.parametrize("network", ["203.0.113.7", "203.0.113.0/24", "8.0.0.0/8", "2001:db8:2::/48", "2a00::/16"])
def test_network_of_others_may_be_blocked(network: str) -> None:
    assert problems(network) == set()


@pytest.mark.parametrize(
    "network",
    [
        *("0.0.0.0/0", "8.0.0.0/7", "::/0", "2a00::/15", "::ffff:0:0/96"),  # too wide
        *("127.0.0.1", "127.8.0.0/16", "::1", "::/64", "::ffff:127.0.0.1"),  # the server itself
        *("10.0.0.5", "10.0.0.0/8", "2001:db8:1:2::/64", "2001:db8::/32", "192.0.2.3"),  # a proxy, or a part of some
        *("198.51.100.9", "198.51.100.0/24", "::ffff:198.51.100.9"),  # the admin
    ],
)
def test_network_of_the_site_itself_or_too_wide_is_refused(network: str) -> None:
    assert problems(network) == {"network"}


@pytest.mark.parametrize("address", ["2001:db8:7::1", "::ffff:203.0.113.5"])
def test_own_address_in_any_form_is_refused(address: str) -> None:
    own = Own((), address)
    assert problems("2001:db8:7::/48" if address.startswith("2001") else "203.0.113.0/24", own=own) == {"network"}


def test_proxy_that_is_written_as_a_mapped_address_is_refused() -> None:
    assert problems("203.0.113.0/24", own=Own((parse_network("::ffff:203.0.113.5"),))) == {"network"}


def test_command_line_has_no_address_to_protect() -> None:
    assert problems("198.51.100.9", own=Own(OWN.proxies)) == set()


def test_block_has_an_end_within_a_year_and_a_short_reason() -> None:
    assert problems("203.0.113.7", -HOUR) == problems("203.0.113.7", MAX_TIME + HOUR) == {"until"}
    assert problems("203.0.113.7", reason="x" * (MAX_REASON_LENGTH + 1)) == {"reason"}
    assert check_block(parse_network("203.0.113.7"), utc_now() + HOUR, " too \n many\0 ", OWN) == "too many"


def test_text_that_is_no_network_names_the_field() -> None:
    with pytest.raises(FieldErrors) as raised:
        read_network("my neighbour")
    assert set(raised.value.errors) == {"network"}
