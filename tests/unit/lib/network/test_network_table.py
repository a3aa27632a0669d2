"""Look-ups in many networks."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from church.lib.network.addresses import IPNetwork
from church.lib.network.network_table import NetworkTable, parse_network

NOW = 1_000.0


def table(*networks: str, ends: float = NOW + 1) -> NetworkTable:
    return NetworkTable((parse_network(network), ends) for network in networks)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("203.0.113.7", "203.0.113.7/32"),
        (" 203.0.113.7/24 ", "203.0.113.0/24"),
        ("2001:DB8::7", "2001:db8::7/128"),
        ("2001:db8::7/64", "2001:db8::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7/32"),
        ("::ffff:203.0.113.7/120", "203.0.113.0/24"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
    ],
)
def test_network_has_one_form(text: str, canonical: str) -> None:
    assert str(parse_network(text)) == canonical


@pytest.mark.parametrize("text", ["", "a", "1.2.3", "1.2.3.4/33", "fe80::1%eth0", "fe80::%eth0/64", "1.2.3.4 5.6.7.8"])
def test_text_that_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_network(text)


def test_empty_table_covers_nothing() -> None:
    empty = NetworkTable()
    assert empty.is_empty
    assert not empty.covers("203.0.113.7", NOW)


def test_address_is_covered_by_networks_of_its_own_kind() -> None:
    found = table("203.0.113.0/24", "198.51.100.9", "2001:db8::/48")
    for covered in ("203.0.113.0", "203.0.113.255", "::ffff:203.0.113.9", "198.51.100.9", "2001:db8::1"):
        assert found.covers(covered, NOW), covered
    for free in ("203.0.114.0", "198.51.100.8", "2001:db9::1", "", "unknown", "203.0.113.1, 1.1.1.1"):
        assert not found.covers(free, NOW), free


def test_network_covers_until_its_end_and_the_longest_of_several_counts() -> None:
    found = NetworkTable([(parse_network("203.0.113.0/24"), NOW), (parse_network("203.0.113.7"), NOW + 10)])
    assert found.covers("203.0.113.7", NOW + 9)
    assert not found.covers("203.0.113.7", NOW + 10)
    assert found.covers("203.0.113.8", NOW - 1)
    assert not found.covers("203.0.113.8", NOW)


_addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))


@st.composite
def _networks(draw: st.DrawFn) -> IPNetwork:
    address = draw(_addresses)
    return ipaddress.ip_network((address, draw(st.integers(0, address.max_prefixlen))), strict=False)


@given(st.lists(_networks(), max_size=20), st.lists(_addresses, max_size=20))
def test_table_agrees_with_a_look_at_each_network(networks: list[IPNetwork], addresses: Iterable[object]) -> None:
    parsed = [parse_network(str(network)) for network in networks]
    found = NetworkTable((network, NOW + 1) for network in parsed)
    inside = [network[0] for network in parsed] + [network[-1] for network in parsed]
    for address in (*addresses, *inside):
        ip = ipaddress.ip_address(str(address))
        plain = getattr(ip, "ipv4_mapped", None) or ip
        assert found.covers(str(ip), NOW) == any(plain in network for network in parsed)
