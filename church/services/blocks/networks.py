"""Which networks may be blocked, for how long, and how they are written."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from church.errors import FieldErrors
from church.lib.network.addresses import IPNetwork, parse_address
from church.lib.network.network_table import parse_network
from church.models.base import plain, utc_now

MAX_REASON_LENGTH = 200
MAX_TIME = timedelta(days=366)
"""Addresses change hands, so that a block has an end."""

_WIDEST = {4: 8, 6: 16}
_LOOPBACK = (ipaddress.IPv4Network("127.0.0.0/8"), ipaddress.IPv6Network("::1/128"))


@dataclass(frozen=True)
class Own:
    """What must stay reachable: the trusted proxies, and the address from which the admin asks, if there is one."""

    proxies: tuple[IPNetwork, ...] = ()
    address: str | None = None


def read_network(text: str) -> IPNetwork:
    """Read an address or network that a person typed. Raises FieldErrors."""
    try:
        return parse_network(text)
    except ValueError:
        raise FieldErrors(
            {"network": "Enter an IP address or a network, such as 203.0.113.7 or 203.0.113.0/24."}
        ) from None


def check_block(network: IPNetwork, until: datetime, reason: str, own: Own) -> str:
    """Return the reason in one line. Raises FieldErrors if the block would shut out the site's own side, or all."""
    reason, now = " ".join(plain(reason).split()), utc_now()
    errors: dict[str, str] = {}
    if problem := _find_problem(network, own):
        errors["network"] = problem
    if not now < until <= now + MAX_TIME:
        errors["until"] = f"Choose a time within the next {MAX_TIME.days} days."
    if len(reason) > MAX_REASON_LENGTH:
        errors["reason"] = f"Use at most {MAX_REASON_LENGTH} characters."
    if errors:
        raise FieldErrors(errors)
    return reason


def _find_problem(network: IPNetwork, own: Own) -> str | None:
    if network.prefixlen < _WIDEST[network.version]:
        return f"This network is too wide. Block at most a /{_WIDEST[4]}, of IPv6 a /{_WIDEST[6]}."
    if _overlaps(network, _LOOPBACK):
        return "This network has addresses of the server itself."
    if _overlaps(network, own.proxies):
        return "This network has a trusted proxy, through which all visitors come."
    if own.address is not None and _contains(network, own.address):
        return f"Your own address is in this network ({own.address})."
    return None


def _overlaps(network: IPNetwork, others: Iterable[IPNetwork]) -> bool:
    return any(network.version == _plain_form(one).version and network.overlaps(_plain_form(one)) for one in others)


def _plain_form(network: IPNetwork) -> IPNetwork:
    return parse_network(str(network))


def _contains(network: IPNetwork, address: str) -> bool:
    try:
        return parse_address(address) in network
    except ValueError:
        return False
