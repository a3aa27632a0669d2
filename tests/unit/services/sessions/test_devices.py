"""Labels and lists of devices."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask

from church.models.accounts import User
from church.models.base import utc_now
from church.services import sessions
from church.services.sessions import Device
from church.services.sessions.devices import clean_user_agent, label_device
from tests.support.people import add_user, sign_in
from tests.support.sessions_fixture import change, row_of

_WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("user_agent", "label"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_WEBKIT} Chrome/140.0 Safari/537.36", "Chrome on Windows"),
        (f"Mozilla/5.0 (Windows NT 10.0) {_WEBKIT} Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on Windows"),
        (f"Mozilla/5.0 (Linux; Android 15; Pixel 9) {_WEBKIT} Chrome/140 Mobile Safari/537.36", "Chrome on Android"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1", "Safari on iPhone"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/18.0 Safari/605.1.15", "Safari on macOS"),
        ("curl/8.5.0", "curl"),
        ("Mozilla/5.0 (X11; Linux x86_64)", "Linux"),
        ("", "Unknown device"),
        ("<script>alert(1)</script>", "Unknown device"),
    ],
)
def test_label_names_browser_and_system(user_agent: str, label: str) -> None:
    assert label_device(user_agent) == label


def test_user_agent_is_stored_as_one_bounded_line() -> None:
    assert clean_user_agent("Firefox\r\nX: y\x00\x1b[2J") == "Firefox  X: y  [2J"
    assert len(clean_user_agent("x" * 5000)) == 256


def test_list_devices_has_live_sessions_of_the_member_only(app: Flask, ada: User) -> None:
    sign_in(app, add_user(app, "bob@church.example"))
    gone, old, new = sign_in(app, ada), sign_in(app, ada), sign_in(app, ada, Device("2001:db8::1", "curl/8.5.0\n"))
    change(gone, expires_at=utc_now())
    change(old, last_seen_at=utc_now() - timedelta(hours=1))
    shown = sessions.list_devices(ada.id, row_of(old).id)
    assert [(one.label, one.address, one.current) for one in shown] == [
        ("curl", "2001:db8::1", False),
        ("Firefox on Linux", "192.0.2.7", True),
    ]
    assert [one.ref for one in shown] == [row_of(new).ref, row_of(old).ref]
    assert shown[1].last_seen_at < shown[1].created_at <= utc_now()
