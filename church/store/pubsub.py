"""Subscribe to channels of the store, reconnecting for as long as the caller listens."""

# mypy: allow-untyped-calls
# (redis-py leaves the methods of its connections unannotated)

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from redis.connection import AbstractConnection
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from church.store.client import BUDGET, time_limit

log = logging.getLogger("church.store")

_IDLE = 15.0  # seconds of silence after which the server gets a PING
_FIRST_PAUSE = 0.1  # seconds; doubles with each failure in a row
_MAX_PAUSE = 5.0


@dataclass(frozen=True)
class Subscribed:
    """All channels are subscribed from now on. Messages sent before are lost."""


@dataclass(frozen=True)
class Message:
    """A published message."""

    channel: str
    text: str


def listen(
    connect: Callable[[], AbstractConnection],
    channels: Sequence[str],
    prefix: str = "",
    sleep: Callable[[float], object] = time.sleep,
    budget: float = BUDGET,
) -> Iterator[Subscribed | Message]:
    """Yield messages for ever, reconnecting after failures with back-off and jitter.

    Connecting may take ``budget`` seconds. ``sleep`` waits between connections.
    """
    failures = 0
    while True:
        connection = connect()
        try:
            for event in _receive(connection, [prefix + channel for channel in channels], prefix, budget):
                failures = 0
                yield event
        except (RedisError, OSError) as error:
            failures += 1
            # only for debugging: the circuit of the commands says that the store is down, once an outage
            log.debug("subscription lost", extra={"event": "store.unsubscribed", "reason": type(error).__name__})
        finally:
            connection.disconnect()
        sleep(_pause(failures))


def _pause(failures: int) -> float:
    """Seconds of the next back-off, jittered so that workers do not reconnect in step."""
    back_off = min(_MAX_PAUSE, _FIRST_PAUSE * 2.0 ** min(failures, 16))
    return back_off * random.uniform(0.5, 1.0)  # noqa: S311 (not a secret)


def _receive(
    connection: AbstractConnection, channels: Sequence[str], prefix: str, budget: float
) -> Iterator[Subscribed | Message]:
    with time_limit(budget):
        connection.connect()
        connection.send_command("SUBSCRIBE", *channels)
    pinged = False
    subscribed = 0
    while True:
        try:
            kind, channel, payload = connection.read_response(timeout=_IDLE, disconnect_on_error=False)[:3]
        except ValueError:
            pinged = False  # the answer to PING has two parts
            continue
        except RedisTimeoutError:
            if pinged:
                raise
            connection.send_command("PING")
            pinged = True
            continue
        pinged = False
        if kind == b"subscribe":
            subscribed += 1
            if subscribed == len(channels):
                yield Subscribed()
        elif kind == b"message":
            yield Message(channel.decode().removeprefix(prefix), payload.decode("utf-8", "replace"))
