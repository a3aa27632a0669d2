"""Find out quickly whether an address is in one of many networks, each of which ends at a time of its own."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache

from church.lib.network.addresses import IPAddress, IPNetwork, parse_address

_NEVER = 0.0
_BITS = {4: 32, 6: 128}
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
_MAPPED_BITS = 96


def parse_network(text: str) -> IPNetwork:
    """Parse an address or a network; bits behind its prefix are dropped. Raises ValueError.

    A network of IPv4 clients of an IPv6 socket (::ffff:a.b.c.0/120) becomes their IPv4 network.
    """
    network = ipaddress.ip_network(text.strip(), strict=False)
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        address = int(network.network_address) & 0xFFFF_FFFF
        return ipaddress.IPv4Network((address, network.prefixlen - _MAPPED_BITS))
    if "%" in str(network):
        raise ValueError("a zone means nothing on another machine")
    return network


class NetworkTable:
    """Networks, each with the Unix time at which it ends. A look-up asks once for each length of a prefix."""

    def __init__(self, networks: Iterable[tuple[IPNetwork, float]] = ()) -> None:
        by_length: dict[tuple[int, int], dict[int, float]] = defaultdict(dict)
        for network, ends in networks:
            shift = _BITS[network.version] - network.prefixlen
            by_length[network.version, shift][int(network.network_address) >> shift] = ends
        self._lengths = {
            version: [(shift, found) for (family, shift), found in by_length.items() if family == version]
            for version in _BITS
        }
        self._find_end = lru_cache(maxsize=4096)(self._look_up)
        self.is_empty = not by_length

    def covers(self, address: str, now: float) -> bool:
        """Whether ``address`` is in a network that has not ended at the Unix time ``now``. Text that is none is not."""
        return not self.is_empty and self._find_end(address) > now

    def _look_up(self, text: str) -> float:
        """When the last of the networks around an address ends."""
        try:
            address: IPAddress = parse_address(text)
        except ValueError:
            return _NEVER
        number = int(address)
        found = (ends.get(number >> shift, _NEVER) for shift, ends in self._lengths[address.version])
        return max(found, default=_NEVER)
