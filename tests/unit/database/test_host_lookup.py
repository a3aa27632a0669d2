"""The database's host is looked up with a time-out, and each of its addresses is tried."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from church.database import engines
from church.database.host_lookup import resolve_host
from tests.support.services_fixture import site_settings

HOSTS = {"one.test": ["192.0.2.1", "2001:db8::1"], "two.test": ["192.0.2.2"]}


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that has ``HOSTS``."""

    def resolve(host: str, port: int, **options: Any) -> list[tuple[Any, ...]]:
        if options.get("flags") or host not in HOSTS:
            raise socket.gaierror
        return [(2, 1, 6, "", (address, port)) for address in HOSTS[host]]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [
        ("two.test", "6432", ("two.test", "6432", "192.0.2.2")),
        ("one.test", None, ("one.test,one.test", "5432,5432", "192.0.2.1,2001:db8::1")),
        ("two.test,one.test", "1,2", ("two.test,one.test,one.test", "1,2,2", "192.0.2.2,192.0.2.1,2001:db8::1")),
        ("gone.test,two.test", "1", ("two.test", "1", "192.0.2.2")),
    ],
)
def test_each_address_of_each_host_is_tried(host: str, port: str | None, expected: tuple[str, str, str]) -> None:
    parameters: dict[str, Any] = {"host": host, "port": port, "dbname": "church"}
    resolve_host(parameters, 20)
    assert tuple(parameters[name] for name in ("host", "port", "hostaddr")) == expected
    assert parameters["dbname"] == "church"


@pytest.mark.parametrize(
    "parameters", [{}, {"host": "/run/postgresql"}, {"host": "@church"}, {"host": "x.test", "hostaddr": "192.0.2.9"}]
)
def test_socket_or_known_address_needs_no_look_up(parameters: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", None)
    given = dict(parameters)
    resolve_host(parameters, 20)
    assert parameters == given


@pytest.mark.usefixtures("names")
def test_unknown_host_is_named() -> None:
    with pytest.raises(OSError, match=r"cannot be resolved: gone\.test"):
        resolve_host({"host": "gone.test"}, 20)


@pytest.mark.parametrize("make", [lambda site: engines.make_engines(site).reader, engines.make_probe_engine])
def test_engine_with_a_silent_resolver_fails_before_it_answers(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    answered = threading.Event()
    request.addfinalizer(answered.set)

    def resolve(*_words: Any, **options: Any) -> list[tuple[Any, ...]]:
        if not options.get("flags"):
            answered.wait(60)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(engines, "CONNECT_WAIT", 0.01)
    engine = make(site_settings(tmp_path, "postgresql://church@silent.test/church"))
    with pytest.raises(OperationalError, match="cannot be resolved"):
        engine.connect()
    assert not answered.is_set()
    engine.dispose()
