"""Look up the database's host before a connection, with a time-out.

psycopg looks it up for each connection and waits for the resolver, which has no time-out, on a thread that page
rendering needs too. While names cannot be resolved, requests for the database would hold all these threads.
"""

from __future__ import annotations

from typing import Any

from church.lib.dns import host_resolver

_PORT = "5432"


def resolve_host(parameters: dict[str, Any], seconds: float) -> None:
    """Add the addresses of ``host`` to the parameters of a connection; the certificate is checked by ``host`` still.

    Several hosts are tried in turn by libpq, and so are several addresses of one. Raises OSError if no host
    has an address, or the resolver does not answer.
    """
    hosts = str(parameters.get("host") or "").split(",")
    if parameters.get("hostaddr") or any(host.startswith(("/", "@")) or not host for host in hosts):
        return  # known already, or a socket of this machine
    ports = str(parameters.get("port") or _PORT).split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    pairs = zip(hosts, ports, strict=True)
    found = [(host, port, address) for host, port in pairs for address in _look_up(host, port, seconds)]
    if not found:
        raise OSError(f"the name of the database's host cannot be resolved: {', '.join(hosts)}")
    for name, values in zip(("host", "port", "hostaddr"), zip(*found, strict=True), strict=True):
        parameters[name] = ",".join(values)


def _look_up(host: str, port: str, seconds: float) -> list[str]:
    """Return the addresses of one host; none if it has none or the resolver does not answer."""
    try:
        return [str(address[0]) for *_, address in host_resolver.addresses(host, int(port), seconds)]
    except OSError:
        return []
