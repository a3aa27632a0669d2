"""What is said to the live connections of every worker: through the store, and to those of this worker directly.

The store may be down and a message lost; who listens takes it for a hint to look, or can do without. This worker's
own listeners get each message twice where the store is up, and so must know it again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from flask import current_app

from church.extensions import store

Listener = Callable[[str, str], None]
"""Told the channel and the line that was published; returns at once."""

_EXTENSION = "live_listeners"

log = logging.getLogger("church.live")


def on_change(listener: Listener) -> Callable[[], None]:
    """Have ``listener`` told of all that this worker publishes; the returned function ends it."""
    listeners: list[Listener] = current_app.extensions.setdefault(_EXTENSION, [])
    listeners.append(listener)
    return lambda: listeners.remove(listener)


def publish(channel: str, line: str) -> None:
    """Tell everybody; to be called after the commit. Never raises."""
    for listener in tuple(current_app.extensions.get(_EXTENSION, ())):
        try:
            listener(channel, line)
        except Exception:
            log.exception("a listener failed", extra={"event": "live.listener_failed", "channel": channel})
    store.publish(channel, line)
