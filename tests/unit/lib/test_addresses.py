"""Addresses of clients, and the network that one customer has."""

from __future__ import annotations

import pytest

from church.lib.addresses import client_network, parse_address


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:0:7:1:2:3:4", "2001:db8:0:7::/64"),
        ("unknown", "unknown"),
        ("", ""),
    ],
)
def test_client_network_of_an_address_is_what_one_customer_has(address: str, network: str) -> None:
    assert client_network(address) == network


def test_parse_address_without_one_raises_value_error() -> None:
    with pytest.raises(ValueError, match="localhost"):
        parse_address("localhost")
