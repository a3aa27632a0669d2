"""One subscriber's connection to the store, made again for as long as somebody listens."""

# mypy: allow-untyped-calls
# (redis-py leaves the methods of its connections unannotated)

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from redis.connection import AbstractConnection
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from church.store.client import BUDGET, Circuit, StoreDownError

_IDLE = 15.0  # seconds of silence after which the server is asked whether it is still there
_FIRST_PAUSE = 0.1  # seconds; doubles with each failure in a row
_LONGEST_PAUSE = 5.0


@dataclass(frozen=True)
class Subscribed:
    """The channels are heard from now on; what was sent before is lost."""


@dataclass(frozen=True)
class Message:
    """One message as it was published."""

    channel: str
    text: str


def listen(
    connect: Callable[[], AbstractConnection],
    channels: Sequence[str],
    prefix: str = "",
    sleep: Callable[[float], object] = time.sleep,
    budget: float = BUDGET,
) -> Iterator[Subscribed | Message]:
    """Yield what arrives, for ever; between failed connections ``sleep`` with back-off and jitter.

    Connecting may take ``budget`` seconds.
    """
    failures = 0
    while True:
        connection = connect()
        try:
            for event in _receive(connection, [prefix + channel for channel in channels], prefix, budget):
                failures = 0
                yield event
        except (RedisError, OSError, StoreDownError):
            failures += 1
        finally:
            connection.disconnect()
        sleep(_pause(failures))


def _pause(failures: int) -> float:
    """Between half and all of the back-off, so that the workers do not come back in step."""
    longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(failures, 16))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 (nobody gains by guessing it)


def _receive(
    connection: AbstractConnection, channels: Sequence[str], prefix: str, budget: float
) -> Iterator[Subscribed | Message]:
    with Circuit(budget).call():  # a deadline for connecting; a circuit of its own, since it paces itself
        connection.connect()
        connection.send_command("SUBSCRIBE", *channels)
    asked = False
    heard = 0
    while True:
        try:
            kind, channel, payload = connection.read_response(timeout=_IDLE, disconnect_on_error=False)[:3]
        except ValueError:
            asked = False  # the answer to PING has two parts
            continue
        except RedisTimeoutError:
            if asked:
                raise
            connection.send_command("PING")
            asked = True
            continue
        asked = False
        if kind == b"subscribe":
            heard += 1
            if heard == len(channels):
                yield Subscribed()
        elif kind == b"message":
            yield Message(channel.decode().removeprefix(prefix), payload.decode("utf-8", "replace"))
