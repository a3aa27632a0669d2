"""Publish to all workers and receive what they publish, through the store, or directly what this worker publishes.

A worker knows that publishing works by receiving its own: a beat that it publishes every second has to come back.
"""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import gevent

from church.errors import UnavailableError
from church.extensions import store
from church.services import chat, live_broadcast
from church.services.chat import MessageView
from church.store import Message, Subscribed

if TYPE_CHECKING:
    from flask import Flask

BEAT = "live:beat"
PRESENCE = "live:presence"
TYPING = "live:typing"
_ROOM = "chat:"
_BEAT_SECONDS = 1.0
_HEARD_SECONDS = 3.0
_MOST_OWN = 256  # own lines that are remembered until the store brings them back

log = logging.getLogger("church.live")


class BroadcastReceiver:
    """The store's channels for one worker; ``worker`` is its random name. ``connect`` sets who receives what."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self.worker = secrets.token_hex(8)
        self._beat_at = 0.0
        self._heard_at = 0.0
        self._own: dict[str, None] = {}
        self._receivers: dict[str, Callable[[str], None]] = {BEAT: self._on_beat}
        self._on_room_change: Callable[[MessageView], None] = lambda _view: None
        self._on_subscribed: Callable[[], None] = lambda: None

    def connect(
        self,
        receivers: Mapping[str, Callable[[str], None]],
        on_room_change: Callable[[MessageView], None],
        on_subscribed: Callable[[], None],
    ) -> None:
        """Set the receiver of each channel's lines, of the rooms' changes, and of each new subscription.

        After a new subscription, anything may have been missed. Call this before ``run`` and ``listen_here``.
        """
        self._receivers.update(receivers)
        self._on_room_change = on_room_change
        self._on_subscribed = on_subscribed

    @property
    def is_heard(self) -> bool:
        """Whether published lines reach this worker."""
        return time.monotonic() - self._heard_at < _HEARD_SECONDS

    def listen_here(self) -> None:
        """Receive this worker's own lines directly, even while the store is down; needs the app's context."""
        live_broadcast.add_listener(self._on_own)

    def run(self) -> None:
        """Receive lines from the store, for ever."""
        with self._app.app_context():
            events = store.subscribe(*[_ROOM + name for name in self._room_names()], *self._receivers)
        for event in events:
            if isinstance(event, Subscribed):
                self._on_subscribed()
            elif isinstance(event, Message) and self._own.pop(event.text, self) is self:
                self.hear(event.channel, event.text)

    def _room_names(self) -> list[str]:
        while True:
            try:
                return sorted(chat.list_newest_changes())
            except UnavailableError:
                gevent.sleep(_BEAT_SECONDS)

    def beat(self) -> None:
        """Publish a beat if a second has passed since the last; call this often."""
        if time.monotonic() - self._beat_at >= _BEAT_SECONDS:
            self._beat_at = time.monotonic()
            store.publish(BEAT, self.worker)

    def publish(self, channel: str, facts: dict[str, Any]) -> bool:
        """Publish to the other workers; False while the store is down, and the line is lost."""
        line = json.dumps({"worker": self.worker, **facts}, ensure_ascii=False, separators=(",", ":"))
        return store.publish(channel, line)

    def hear(self, channel: str, line: str) -> None:
        """Pass a published line to its receiver; logs a line that cannot be read."""
        try:
            if channel.startswith(_ROOM) and channel != chat.CONTROL_CHANNEL:
                self._on_room_change(chat.decode_message(line))
            else:
                self._receivers[channel](line)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            log.warning(
                "unreadable broadcast", extra={"event": "live.unreadable", "channel": channel, "reason": repr(error)}
            )

    def _on_own(self, channel: str, line: str) -> None:
        """Handle a line that this worker publishes, and remember it: the store will bring it back.

        Other workers may publish the same line on the control channel, so it is not remembered. It is then handled
        twice, which is harmless.
        """
        if channel != chat.CONTROL_CHANNEL:
            self._own[line] = None
            if len(self._own) > _MOST_OWN:
                del self._own[next(iter(self._own))]
        self.hear(channel, line)

    def _on_beat(self, line: str) -> None:
        if line == self.worker:
            self._heard_at = time.monotonic()
