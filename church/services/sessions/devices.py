"""Devices: what a member signs in with, its label such as "Firefox on Linux", and the list on the account page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache

from sqlalchemy import bindparam, select

from church.config import current_settings
from church.database.direct import DirectStatement
from church.extensions import db
from church.models.accounts import SignIn
from church.models.base import utc_now
from church.services.sessions.lookup import LIVE, live_values

_LONGEST = 256

# The first match counts: most browsers also name the browsers they imitate.
_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Vivaldi", "Vivaldi"),
    ("Firefox/", "Firefox"),
    ("FxiOS", "Firefox"),
    ("CriOS", "Chrome"),
    ("Chromium", "Chromium"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
    ("python", "Python"),
)
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
    browser = _first(_BROWSERS, user_agent)
    system = _first(_SYSTEMS, user_agent)
    if browser and system:
        return f"{browser} on {system}"
    return browser or system or "Unknown device"


def _first(names: tuple[tuple[str, str], ...], text: str) -> str | None:
    return next((name for mark, name in names if mark in text), None)
