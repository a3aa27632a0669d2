"""IP addresses of clients, and the networks that they are counted by."""

from __future__ import annotations

import pytest

from church.lib.network.addresses import client_network, network_of, parse_address


@pytest.mark.parametrize(
    ("address", "bits", "network"),
    [
        ("203.0.113.9", 64, "203.0.113.9"),
        ("::ffff:203.0.113.9", 56, "203.0.113.9"),
        ("2001:db8:0:7:1:2:3:4", 64, "2001:db8:0:7::/64"),
        ("2001:db8:0:7:1:2:3:4", 56, "2001:db8::/56"),
        ("unknown", 48, "unknown"),
        ("", 64, ""),
    ],
)
def test_network_of_an_address_keeps_ipv4_and_cuts_ipv6(address: str, bits: int, network: str) -> None:
    assert network_of(address, bits) == network


def test_client_network_is_what_one_customer_has() -> None:
    assert client_network("2001:db8:0:7:1:2:3:4") == "2001:db8:0:7::/64"


def test_parse_address_without_one_raises_value_error() -> None:
    with pytest.raises(ValueError, match="localhost"):
        parse_address("localhost")
