"""IP addresses of clients, and the networks that they are counted by."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

CUSTOMER_PREFIX = 64
"""Bits of the IPv6 network that one customer usually has."""
SITE_PREFIX = 48
"""Bits of the largest IPv6 network that one customer has."""
_CUT_PREFIX = 24


def parse_address(text: str) -> IPAddress:
    """Parse an IP address. An IPv4 client of an IPv6 socket (::ffff:a.b.c.d) gets its IPv4 address.

    Raises ValueError for anything else.
    """
    ip = ipaddress.ip_address(text)
    return (ip.ipv4_mapped or ip) if isinstance(ip, ipaddress.IPv6Address) else ip


@lru_cache(maxsize=4096)
def network_of(address: str, bits: int) -> str:
    """The IPv4 address itself, or the IPv6 network of ``bits`` around it; text that is no address stays as it is."""
    try:
        ip = parse_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((ip, bits), strict=False)) if ip.version == 6 else str(ip)


def cut_address(address: str) -> IPNetwork | None:
    """The network around an address that is kept when the address is not: a /24, or a /48 of IPv6.

    None for text that is no address, such as a network.
    """
    try:
        ip = parse_address(address)
    except ValueError:
        return None
    return ipaddress.ip_network((ip, SITE_PREFIX if ip.version == 6 else _CUT_PREFIX), strict=False)


def client_network(address: str) -> str:
    """The client that ``address`` belongs to: an IPv4 address, or the /64 that one IPv6 customer usually has."""
    return network_of(address, CUSTOMER_PREFIX)
