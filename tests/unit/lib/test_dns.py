"""Names that are looked up within a time, whatever the name server does."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from church.lib.dns import Names
from tests.support.services_fixture import wait_until


def _slow(monkeypatch: pytest.MonkeyPatch, *answers: Any) -> tuple[threading.Event, list[str]]:
    """Have every name wait for the event, and then be told (or raised) what comes next of ``answers``."""
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


def test_address_in_numbers_asks_nobody() -> None:
    names = Names()
    assert names.addresses("127.0.0.1", 80, 0.0)[0][4] == ("127.0.0.1", 80)
    assert names._lookups == {}


def test_late_answer_is_for_who_asks_next(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, asked = _slow(monkeypatch, ["late"], ["fresh"])
    names = Names()
    for _ in range(2):
        with pytest.raises(TimeoutError):
            names.addresses("site.test", 80, 0.01)
    go_on.set()
    assert names.addresses("site.test", 80, 20) == ["late"]
    assert asked == ["site.test"]
    assert names.addresses("site.test", 80, 20) == ["fresh"]


def test_name_that_nobody_knows_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, _ = _slow(monkeypatch, socket.gaierror("unknown"), ["found"])
    go_on.set()
    names = Names()
    with pytest.raises(socket.gaierror):
        names.addresses("site.test", 80, 20)
    wait_until(lambda: names._lookups == {}, "the failure is forgotten")
    assert names.addresses("site.test", 80, 20) == ["found"]
