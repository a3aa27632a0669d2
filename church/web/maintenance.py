"""Maintenance mode and basic checks of every request.

Two announcements close the site to visitors: the row in the database, for all hosts, and a file in the instance folder,
for this host alone. Each host keeps a copy of the row, so that a closed site stays closed while its database does not
answer. The announced end is an estimate: only ``turn_off`` opens the site.
"""

from __future__ import annotations

import logging
import math
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from flask import current_app, request
from werkzeug.exceptions import BadRequest, NotFound, UnsupportedMediaType

from church.config import Settings
from church.database.maintenance import Announcement, copy_file, host_file, keep_copy, read_file, write_file
from church.errors import UnavailableError
from church.lib.per_process import PerProcess
from church.lib.threads import start_beside
from church.models.base import utc_now
from church.services import maintenance as service
from church.services.audit import Actor

if TYPE_CHECKING:
    from flask import Flask

log = logging.getLogger("church.maintenance")

# Seconds. A process looks for the file, and for the row, at most this often.
_FRESH = 1.0
# A request waits this long for the row. If the database takes longer, no request waits until it answers again.
_PATIENCE = 0.25
_DEFAULT_RETRY = 300
_MIN_RETRY = 60
_EXTENSION = "maintenance"
_ADMIN_AREA = "admin."

_seen: dict[Path, tuple[float, Announcement | None]] = {}


# -- this host -------------------------------------------------------------------------------------------------------


def turn_on(settings: Settings, announcement: Announcement | None = None) -> None:
    """Close this host to visitors until ``turn_off``; its ``/ready`` fails, so that a load balancer avoids it.

    Works without the database. Raises OSError.
    """
    write_file(host_file(settings), announcement or Announcement())
    _seen.pop(host_file(settings), None)


def turn_off(settings: Settings) -> bool:
    """Open this host, if the site is not closed on all. Return whether it was closed. Other processes notice in 1 s."""
    was_on = host_file(settings).exists()
    host_file(settings).unlink(missing_ok=True)
    _seen.pop(host_file(settings), None)
    return was_on


def find_on_host(settings: Settings) -> Announcement | None:
    """The announcement for this host alone. Reads the file at most once a second."""
    return _find_at(host_file(settings))


def _find_at(path: Path) -> Announcement | None:
    now = time.monotonic()
    checked, announcement = _seen.get(path, (-_FRESH, None))
    if now - checked >= _FRESH or path not in _seen:
        announcement = read_file(path)
        _seen[path] = (now, announcement)
    return announcement


# -- all hosts -------------------------------------------------------------------------------------------------------


class _SiteWatch:
    """The announcement for all hosts, as this process knows it: read once a second at most, and only for requests.

    A thread (in a gevent worker a greenlet) reads it, so that a database that hangs holds up no request.
    """

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._settings: Settings = app.config["CHURCH"]
        self._host_file = host_file(self._settings)
        self._announcement = read_file(copy_file(self._settings))
        self._checked = -_FRESH
        self._changes = 0  # made by this process: a reading that began before the latest one is out of date
        self._answers = False
        self._prompt = True
        self._reading: threading.Event | None = None

    @property
    def answers(self) -> bool:
        """Whether the last reading was the row itself, and not this host's copy of it."""
        return self._answers

    def find(self) -> Announcement | None:
        """The announcement, at most about a second old while the database answers."""
        if time.monotonic() - self._checked >= _FRESH:
            reading = self._reading or self._start()
            if self._prompt:
                self._prompt = reading.wait(_PATIENCE)
        return self._announcement

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Read nothing in the block, and at the next request after it."""
        self._checked = math.inf
        try:
            yield
        finally:
            self.read_again()

    def find_on_host(self) -> Announcement | None:
        """The announcement for this host alone."""
        return _find_at(self._host_file)

    def read_again(self) -> None:
        """Read the row at the next request, even if that is within a second."""
        self._checked = -_FRESH

    def set(self, announcement: Announcement | None) -> None:
        """Know a change that this process has just made."""
        self._changes += 1
        self._announcement = announcement
        self.read_again()

    def _start(self) -> threading.Event:
        self._reading = done = threading.Event()
        start_beside("maintenance", self._read, done)
        return done

    def _read(self, done: threading.Event) -> None:
        """Read the row and copy it. If the database does not answer, what this process or its host knew last stays."""
        changes = self._changes
        try:
            with self._app.app_context():
                announcement = service.load_announcement()
            self._answers = self._prompt = True
            if changes == self._changes:
                self._announcement = announcement
                keep_copy(self._settings, announcement)
        except Exception as error:  # noqa: BLE001 - down, not migrated, a full disk: nothing of this may open the site
            self._answers = False
            self._announcement = read_file(copy_file(self._settings)) or self._announcement
            log.debug("announcement not read", extra={"event": "maintenance.unread", "reason": type(error).__name__})
        finally:
            self._checked, self._reading = time.monotonic(), None
            done.set()


@dataclass(frozen=True)
class MaintenanceState:
    """What closes the site: the announcement for all hosts, the one for this host, or both.

    ``remembered`` means that the database does not answer: ``site`` is what this host heard last.
    """

    site: Announcement | None
    host: Announcement | None
    remembered: bool = False

    @property
    def shown(self) -> Announcement | None:
        """The announcement that visitors are shown; None while the site is open."""
        return self.site or self.host


def find_state(app: Flask) -> MaintenanceState:
    """What closes ``app`` to visitors now. Never waits longer than a moment for the database."""
    watch = _watch_of(app)
    site = watch.find()
    return MaintenanceState(site, watch.find_on_host(), remembered=not watch.answers)


def _watch_of(app: Flask) -> _SiteWatch:
    watch: PerProcess[_SiteWatch] = app.extensions[_EXTENSION]
    return watch()


@contextmanager
def unwatched(app: Flask) -> Iterator[None]:
    """Do not look for announcements in the block; it starts threads to do so."""
    with _watch_of(app).paused():
        yield


def begin_for_all(announcement: Announcement, actor: Actor) -> None:
    """Close the current app on all hosts. Other processes notice within a second. Raises what the database raises."""
    service.begin_maintenance(announcement, actor)
    _apply(announcement)


def end_for_all(actor: Actor) -> bool:
    """Open the current app on all hosts except those with a file. Return whether it was closed."""
    ended = service.end_maintenance(actor)
    _apply(None)
    return ended


def _apply(announcement: Announcement | None) -> None:
    with suppress(OSError):  # a full disk; the row is what counts
        keep_copy(current_app.config["CHURCH"], announcement)
    _watch_of(current_app).set(announcement)


# -- a process that stops --------------------------------------------------------------------------------------------

_is_stopping = False


def start_stopping() -> None:
    """Note that this process got the signal to stop: connections that are still open find ``/ready`` failing."""
    global _is_stopping  # noqa: PLW0603 - a fact of the process, set by a signal handler
    _is_stopping = True


def find_drain_reason(settings: Settings) -> str | None:
    """Why a load balancer should send no visitors to this host; None if it may."""
    if _is_stopping:
        return "this process is stopping"
    return "this host is in maintenance" if find_on_host(settings) is not None else None


# -- visitors --------------------------------------------------------------------------------------------------------


def describe(announcement: Announcement) -> str:
    """Describe maintenance to visitors: the reason, and the announced end as long as it is one."""
    why = f": {announcement.reason.rstrip('.')}" if announcement.reason else ""
    return f"The site is under maintenance{why}. {_describe_end(announcement)}"


def _describe_end(announcement: Announcement) -> str:
    if announcement.until is None:
        return "It is not known yet when it will be back."
    if announcement.until <= utc_now():
        return "It takes longer than announced. It will be back as soon as possible."
    return f"It should be back by {announcement.until:%H:%M} UTC on {announcement.until:%-d %B}."


def retry_after(announcement: Announcement) -> int:
    """Seconds for the Retry-After header: the rest of the estimate, at least one minute."""
    if announcement.until is None:
        return _DEFAULT_RETRY
    return max(_MIN_RETRY, round((announcement.until - utc_now()).total_seconds()))


_HOST = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=%-]{1,255}|\[[0-9A-Fa-f:.]{2,64}\])(?::\d{0,5})?")


def is_open_in_maintenance(endpoint: str) -> bool:
    """Whether a route answers during maintenance: for machines, the files of the error page, and the way in for admins.

    The admin area checks for itself that its visitors are admins.
    """
    always_open = current_app.extensions["open_in_maintenance"]
    return endpoint in always_open or endpoint == "static" or endpoint.startswith(_ADMIN_AREA)


def _check_request() -> None:
    """Refuse malformed requests, and visitors during maintenance."""
    environ = request.environ
    if "HTTP_CONTENT_ENCODING" in environ:
        raise UnsupportedMediaType  # a compressed body could expand to any size
    if not is_host(environ.get("HTTP_HOST"), environ.get("SERVER_PROTOCOL", "")):
        raise BadRequest
    if "\0" in request.path:
        raise NotFound  # no route has one, and C code would read the path only up to it
    if is_open_in_maintenance(request.endpoint or ""):
        return
    announcement = find_state(current_app).shown
    if announcement is not None:
        raise UnavailableError(describe(announcement), retry_after=retry_after(announcement))


def is_host(host: str | None, protocol: str) -> bool:
    """Whether the Host header is valid (RFC 3986) or may be missing: HTTP/1.1 requires one (RFC 9112, section 3.2)."""
    return protocol != "HTTP/1.1" if host is None else _HOST.fullmatch(host) is not None


def init_app(app: Flask, always_open: frozenset[str]) -> None:
    """Check every request. ``always_open`` are endpoints that answer during maintenance: health, webhooks, sign-in."""
    app.extensions["open_in_maintenance"] = always_open
    app.extensions[_EXTENSION] = PerProcess(partial(_SiteWatch, app))
    app.before_request(_check_request)
