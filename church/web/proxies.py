"""Take the client's address and scheme from the proxies in CHURCH_TRUSTED_PROXIES, and from no other peer."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from church.config import Network
from church.lib.network.addresses import client_network, parse_address

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class ProxyList:
    """The proxies that are trusted, and the clients behind them."""

    def __init__(self, networks: tuple[Network, ...]) -> None:
        self._networks = networks
        self._is_proxy = lru_cache(maxsize=1024)(self._in_networks)

    def trusts(self, address: str) -> bool:
        """Whether the peer at ``address`` is a trusted proxy."""
        return bool(self._networks) and self._is_proxy(address)

    def find_client(self, proxy: str, forwarded_for: str) -> str:
        """Return the address of the client behind a trusted ``proxy``, by its X-Forwarded-For.

        That is read from the right, past trusted addresses, to the first untrusted one: that client could have written
        anything to the left of it.
        """
        client = proxy
        hops = [hop.strip() for hop in forwarded_for.split(",") if hop.strip()]
        for hop in reversed(hops):
            if (address := _address(hop)) is None:
                break
            client = address
            if not self.trusts(address):
                break
        return client

    def _in_networks(self, address: str) -> bool:
        try:
            ip = parse_address(address)
        except ValueError:
            return False
        return any(ip in network for network in self._networks)


class TrustedProxies:
    """WSGI middleware that sets the client's address and scheme from the headers of trusted proxies.

    Sets ``church.trusted`` if the peer itself is trusted (for ``traceparent``).
    """

    def __init__(self, app: WSGIApplication, networks: tuple[Network, ...]) -> None:
        self._app = app
        self._proxies = ProxyList(networks)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        """Rewrite REMOTE_ADDR and the scheme if the peer is trusted, then call the app."""
        peer = environ.get("REMOTE_ADDR", "")
        if self._proxies.trusts(peer):
            environ["church.trusted"] = True
            environ["REMOTE_ADDR"] = self._proxies.find_client(peer, environ.get("HTTP_X_FORWARDED_FOR", ""))
            scheme = environ.get("HTTP_X_FORWARDED_PROTO", "").strip().lower()
            if scheme in {"http", "https"}:
                environ["wsgi.url_scheme"] = scheme
        return self._app(environ, start_response)


def counting_by_network(trusted: tuple[Network, ...]) -> Callable[[str], str | None]:
    """Return a function from a peer's address to what its connections are counted by: the client's network.

    None for a trusted proxy, behind which are many clients, and for the peer of a Unix socket, which has no address.
    """

    @lru_cache(maxsize=4096)
    def network_of(address: str) -> str | None:
        try:
            ip = parse_address(address)
        except ValueError:
            return None
        return None if any(ip in network for network in trusted) else client_network(address)

    return network_of


def _address(hop: str) -> str | None:
    """The IP address in an entry of X-Forwarded-For, without its port; None if there is none."""
    host = hop[1:].partition("]")[0] if hop.startswith("[") else hop
    if host.count(":") == 1:
        host = host.partition(":")[0]
    if "%" in host:  # an IPv6 zone may be any text, and means nothing on another machine
        return None
    try:
        return str(parse_address(host))
    except ValueError:
        return None
