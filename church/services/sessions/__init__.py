"""Sessions: the devices on which members are signed in.

A session's token is 256 random bits that only the browser holds; the database stores its SHA-256. Each process caches
sessions for 1.5 s (``cache``): when a session ends, the workers of the same host see it at once, those of other hosts
within two seconds.
"""

from church.services.sessions import cleanup  # noqa: F401 - registers the hourly job
from church.services.sessions.cache import forget_cached
from church.services.sessions.devices import Device, DeviceView, list_devices
from church.services.sessions.lookup import (
    MAX_PER_QUERY,
    SessionFacts,
    SignedIn,
    count_active,
    find_live,
    find_premium_members,
    init_app,
    load,
    load_facts,
    load_ref,
    peek_ref,
    reader_of,
)
from church.services.sessions.start import end, end_all, end_device, start_session

__all__ = [
    "MAX_PER_QUERY",
    "Device",
    "DeviceView",
    "SessionFacts",
    "SignedIn",
    "count_active",
    "end",
    "end_all",
    "end_device",
    "find_live",
    "find_premium_members",
    "forget_cached",
    "init_app",
    "list_devices",
    "load",
    "load_facts",
    "load_ref",
    "peek_ref",
    "reader_of",
    "start_session",
]
