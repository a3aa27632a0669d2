"""What is said to all workers: heard through the store and, where it comes from here, directly.

A worker knows that it can be told by hearing itself: what it publishes every second has to come back.
"""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gevent

from church.errors import UnavailableError
from church.extensions import store
from church.live import client_messages
from church.services import chat, live_broadcast
from church.services.live_broadcast import Notice
from church.store import Message, Subscribed

if TYPE_CHECKING:
    from flask import Flask

    from church.live.hub import Hub

BEAT = "live:beat"
PRESENCE = "live:presence"
TYPING = "live:typing"
_ROOM = "chat:"
_BEAT_SECONDS = 1.0
_HEARD_SECONDS = 3.0
_KNOWN = 256  # lines of its own that have yet to come back

log = logging.getLogger("church.live")


class Relay:
    """The channels of the store, passed on to the parts of a hub; ``worker`` is the name of this one."""

    def __init__(self, app: Flask, hub: Hub) -> None:
        self._app = app
        self._hub = hub
        self.worker = secrets.token_hex(8)
        self._beat_at = 0.0
        self._heard_at = 0.0
        self._own: dict[str, None] = {}

    @property
    def is_heard(self) -> bool:
        """Whether what is published reaches this worker."""
        return time.monotonic() - self._heard_at < _HEARD_SECONDS

    def listen_here(self) -> None:
        """Be told of what this worker publishes, the store up or down; in the app's context."""
        live_broadcast.on_change(self._on_own)

    def run(self) -> None:
        """Listen, for ever."""
        with self._app.app_context():
            events = store.subscribe(*[_ROOM + name for name in self._names()], *self._parts())
        for event in events:
            if isinstance(event, Subscribed):
                self._hub.rooms.look_all()
                self._hub.presence.renew()
            elif isinstance(event, Message) and self._own.pop(event.text, self) is self:
                self.hear(event.channel, event.text)

    def _names(self) -> list[str]:
        while True:
            try:
                return sorted(chat.heads())
            except UnavailableError:
                gevent.sleep(_BEAT_SECONDS)

    def beat(self) -> None:
        """Say that this worker is here, so that it hears whether it can be heard; to be called often."""
        if time.monotonic() - self._beat_at >= _BEAT_SECONDS:
            self._beat_at = time.monotonic()
            store.publish(BEAT, self.worker)

    def publish(self, channel: str, facts: dict[str, Any]) -> bool:
        """Tell the other workers; False where it is lost, while the store is down."""
        line = json.dumps({"worker": self.worker, **facts}, ensure_ascii=False, separators=(",", ":"))
        return store.publish(channel, line)

    def hear(self, channel: str, line: str) -> None:
        """Pass on what was published; a line that makes no sense is written down and left."""
        try:
            if channel.startswith(_ROOM) and channel != chat.CONTROL:
                self._hub.rooms.hear(chat.decode(line))
            else:
                self._parts()[channel](line)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            log.warning("unreadable", extra={"event": "live.unreadable", "channel": channel, "reason": repr(error)})

    def _on_own(self, channel: str, line: str) -> None:
        """This worker publishes a line, which is known again when the store brings it back.

        What is said to ``CONTROL`` may be said by others in the same words: that is heard twice, and does no harm.
        """
        if channel != chat.CONTROL:
            self._own[line] = None
            if len(self._own) > _KNOWN:
                del self._own[next(iter(self._own))]
        self.hear(channel, line)

    def _parts(self) -> dict[str, Callable[[str], None]]:
        return {
            BEAT: self._on_beat,
            PRESENCE: self._hub.presence.hear,
            TYPING: self._on_typing,
            chat.CONTROL: self._hub.standing.hear,
            live_broadcast.CHANNEL: self._on_notice,
        }

    def _on_beat(self, line: str) -> None:
        if line == self.worker:
            self._heard_at = time.monotonic()

    def _on_typing(self, line: str) -> None:
        facts = json.loads(line)
        if facts["worker"] != self.worker:
            self._hub.typing(str(facts["room"]), dict(facts["from"]))

    def _on_notice(self, line: str) -> None:
        notice = live_broadcast.decode(line)
        gevent.spawn(self._tell, notice)

    def _tell(self, notice: Notice) -> None:
        frame = client_messages.frame(
            "notification", kind=notice.kind, title=notice.title, url=notice.url or None, at=notice.at.isoformat()
        )
        self._hub.tell_all("notification", frame, notice.is_for)
