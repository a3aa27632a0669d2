"""Host names looked up with a time-out, whatever the name server does."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from church.lib.dns import HostResolver
from tests.support.services_fixture import wait_until


def _slow(monkeypatch: pytest.MonkeyPatch, *answers: Any) -> tuple[threading.Event, list[str]]:
    """Make every look-up wait for the event, and then return or raise the next of ``answers``."""
    go_on, asked, coming = threading.Event(), [], iter(answers)

    def resolve(host: str, _port: int, **options: Any) -> Any:
        if options.get("flags"):
            raise socket.gaierror
        asked.append(host)
        go_on.wait(20)
        answer = next(coming)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return go_on, asked


def test_ip_address_needs_no_look_up() -> None:
    names = HostResolver()
    assert names.addresses("127.0.0.1", 80, 0.0)[0][4] == ("127.0.0.1", 80)
    assert names._lookups() == {}


def test_late_answer_goes_to_the_next_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, asked = _slow(monkeypatch, ["late"], ["fresh"])
    names = HostResolver()
    for _ in range(2):
        with pytest.raises(TimeoutError):
            names.addresses("site.test", 80, 0.01)
    go_on.set()
    assert names.addresses("site.test", 80, 20) == ["late"]
    assert asked == ["site.test"]
    assert names.addresses("site.test", 80, 20) == ["fresh"]


def test_unknown_name_is_looked_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, _ = _slow(monkeypatch, socket.gaierror("unknown"), ["found"])
    go_on.set()
    names = HostResolver()
    with pytest.raises(socket.gaierror):
        names.addresses("site.test", 80, 20)
    wait_until(lambda: names._lookups() == {}, "the failure is forgotten")
    assert names.addresses("site.test", 80, 20) == ["found"]
