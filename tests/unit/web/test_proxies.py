"""The client's address and scheme behind trusted and untrusted proxies."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from church.web.proxies import TrustedProxies, counting_by_network

TRUSTED = tuple(ipaddress.ip_network(n) for n in ("10.0.0.0/8", "2001:db8:aa::/48"))


def through(peer: str, networks: tuple[Any, ...] = TRUSTED, **headers: str) -> dict[str, Any]:
    seen: dict[str, Any] = {}

    def app(environ: Any, _start: Any) -> list[bytes]:
        seen.update(environ)
        return []

    environ = {
        "REMOTE_ADDR": peer,
        "wsgi.url_scheme": "http",
        **{f"HTTP_X_FORWARDED_{k}": v for k, v in headers.items()},
    }
    TrustedProxies(app, networks)(environ, lambda *_: None)  # type: ignore[arg-type, return-value]
    return seen


@pytest.mark.parametrize("peer", ["203.0.113.1", "11.0.0.1", "2001:db8:bb::1", "", "unix:", "10.0.0.1.evil"])
def test_untrusted_peer_headers_are_ignored(peer: str) -> None:
    seen = through(peer, FOR="192.0.2.1", PROTO="https")
    assert seen["REMOTE_ADDR"] == peer
    assert seen["wsgi.url_scheme"] == "http"
    assert "church.trusted" not in seen


def test_no_peer_is_trusted_by_default() -> None:
    seen = through("127.0.0.1", networks=(), FOR="192.0.2.1", PROTO="https")
    assert (seen["REMOTE_ADDR"], seen["wsgi.url_scheme"]) == ("127.0.0.1", "http")


@pytest.mark.parametrize(
    ("chain", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1 ", "192.0.2.1"),
        ("6.6.6.6, 192.0.2.1", "192.0.2.1"),
        ("6.6.6.6, 192.0.2.1, 10.1.1.1, 10.2.2.2", "192.0.2.1"),
        ("10.9.9.9, 192.0.2.1, 10.1.1.1", "192.0.2.1"),
        ("10.1.1.1, 10.2.2.2", "10.1.1.1"),
        ("192.0.2.1:5678", "192.0.2.1"),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]:443", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("2001:DB8:0:0::7", "2001:db8::7"),
        ("6.6.6.6, 2001:db8:aa::5", "6.6.6.6"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("6.6.6.6, ::ffff:10.1.1.1", "6.6.6.6"),
        ("192.0.2.1,,", "192.0.2.1"),
        ("", "10.0.0.1"),
        (" , ", "10.0.0.1"),
        ("unknown", "10.0.0.1"),
        ("192.0.2.1, garbage", "10.0.0.1"),
        ("192.0.2.1, garbage, 10.3.3.3", "10.3.3.3"),
        ("192.0.2.999", "10.0.0.1"),
        ("[", "10.0.0.1"),
        ("_hidden:80", "10.0.0.1"),
        ('fe80::1%", "level": "x', "10.0.0.1"),
        ("1" * 5000, "10.0.0.1"),
    ],
)
def test_client_is_the_first_untrusted_address_from_the_right(chain: str, client: str) -> None:
    assert through("10.0.0.1", FOR=chain)["REMOTE_ADDR"] == client


def test_trusted_peer_by_ipv6_or_mapped_ipv4_is_trusted() -> None:
    for peer in ("2001:db8:aa::1", "::ffff:10.0.0.1"):
        seen = through(peer, FOR="192.0.2.1")
        assert seen["REMOTE_ADDR"] == "192.0.2.1"
        assert seen["church.trusted"] is True


@pytest.mark.parametrize(
    ("sent", "scheme"),
    [("https", "https"), ("HTTPS", "https"), (" http ", "http"), ("ws", "http"), ("", "http"), ("https,http", "http")],
)
def test_scheme_of_a_trusted_peer_counts_if_valid(sent: str, scheme: str) -> None:
    assert through("10.0.0.1", PROTO=sent)["wsgi.url_scheme"] == scheme


def test_trusted_peer_without_headers_is_the_client() -> None:
    seen = through("10.0.0.1")
    assert (seen["REMOTE_ADDR"], seen["wsgi.url_scheme"]) == ("10.0.0.1", "http")
    assert seen["church.trusted"] is True


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("10.1.2.3", None),
        ("::ffff:10.1.2.3", None),
        ("2001:db8:aa::1", None),
        ("", None),
    ],
)
def test_connections_are_counted_by_network_but_those_of_proxies_and_unix_sockets(
    address: str, network: str | None
) -> None:
    assert counting_by_network(TRUSTED)(address) == network
