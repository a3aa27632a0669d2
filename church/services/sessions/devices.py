"""Devices: what a member signs in with, its label such as "Firefox on Linux", and the list on the account page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache

from sqlalchemy import bindparam, select

from church.config import current_settings
from church.database.direct import DirectStatement
from church.extensions import db
from church.lib.user_agents import find_browser
from church.models.accounts import SignIn
from church.models.base import utc_now
from church.services.sessions.lookup import LIVE, live_values

_LONGEST = 256

_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)


@dataclass(frozen=True)
class Device:
    """The client of a request: its IP address and its User-Agent header."""

    address: str
    user_agent: str


@dataclass(frozen=True)
class DeviceView:
    """One signed-in device, for its owner and for admins. ``ref`` identifies its session."""

    ref: str
    label: str
    """Such as "Firefox on Linux"."""
    address: str
    created_at: datetime
    last_seen_at: datetime
    current: bool
    """Whether the request that lists the devices comes from this one."""


@cache
def _devices_query() -> DirectStatement:
    columns = (SignIn.id, SignIn.ref, SignIn.user_agent, SignIn.address, SignIn.created_at, SignIn.last_seen_at)
    query = select(*columns).where(SignIn.user_id == bindparam("user_id"), *LIVE)
    return DirectStatement(query.order_by(SignIn.last_seen_at.desc(), SignIn.id.desc()))


def list_devices(user_id: int, current_id: int | None) -> list[DeviceView]:
    """List the devices on which a member is signed in, the last used first.

    ``current_id`` is the session that asks. Raises DatabaseDownError, DatabaseBusyError.
    """
    values = {"user_id": user_id, **live_values(current_settings(), utc_now())}
    with db.read_connection() as connection:
        rows = _devices_query().run(connection, values).rows
    return [
        DeviceView(ref, label_device(user_agent), address, created_at, last_seen_at, session_id == current_id)
        for session_id, ref, user_agent, address, created_at, last_seen_at in rows
    ]


def clean_user_agent(user_agent: str) -> str:
    """Reduce a User-Agent to one line of at most 256 characters, as it is stored."""
    return "".join(c if c.isprintable() else " " for c in user_agent[:_LONGEST])


def label_device(user_agent: str) -> str:
    """Name a device, such as "Firefox on Linux". A client may send any User-Agent, so the label proves nothing."""
    browser = find_browser(user_agent)
    system = next((name for mark, name in _SYSTEMS if mark in user_agent), None)
    if browser and system:
        return f"{browser} on {system}"
    return browser or system or "Unknown device"
