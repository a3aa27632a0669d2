"""Subscriptions: back-off between failed connections, and the server's messages."""

from __future__ import annotations

import itertools

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from church.store.pubsub import Message, Subscribed, listen


class Connection:
    """Returns ``frames`` in order, and raises those that are exceptions."""

    def __init__(self, *frames):
        self.frames = iter(frames)
        self.sent = []
        self.open = True

    def connect(self):
        pass

    def send_command(self, *command):
        self.sent.append(command)

    def read_response(self, **options):
        frame = next(self.frames, RedisConnectionError("closed"))
        if isinstance(frame, Exception):
            raise frame
        return frame

    def disconnect(self):
        self.open = False


def subscribed(channel):
    return [b"subscribe", channel, 1]


def message(channel, text):
    return [b"message", channel, text]


def test_listen_yields_subscribed_once_all_channels_are_subscribed():
    connection = Connection(subscribed(b"p:a"), message(b"p:a", b"early"), subscribed(b"p:b"))
    events = listen(lambda: connection, ["a", "b"], prefix="p:")
    assert list(itertools.islice(events, 2)) == [Message("a", "early"), Subscribed()]
    assert connection.sent == [("SUBSCRIBE", "p:a", "p:b")]


def test_listen_after_a_lost_connection_reconnects_and_yields_subscribed():
    made = [Connection(subscribed(b"a"), message(b"a", b"1")), Connection(subscribed(b"a"), message(b"a", b"2"))]
    connections = iter(made)
    events = listen(lambda: next(connections), ["a"], sleep=lambda seconds: None)
    assert list(itertools.islice(events, 4)) == [Subscribed(), Message("a", "1"), Subscribed(), Message("a", "2")]
    assert not made[0].open


def test_listen_while_the_store_is_down_backs_off_to_a_maximum():
    pauses = []

    def pause(seconds):
        pauses.append(seconds)
        if len(pauses) == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        next(listen(Connection, ["a"], sleep=pause))
    assert pauses[0] <= 0.2
    assert max(pauses) <= 5.0
    assert all(seconds >= 2.5 for seconds in pauses[-3:])
    assert len(set(pauses)) == len(pauses), "without jitter the workers come back in step"


def test_listen_after_a_success_resets_the_back_off():
    frames = [[], [], [], [], [], [subscribed(b"a")], []]
    connections = (Connection(*each) for each in frames)
    pauses = []

    def pause(seconds):
        pauses.append(seconds)
        if len(pauses) == len(frames):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(listen(lambda: next(connections), ["a"], sleep=pause))
    assert pauses[4] >= 1.6
    assert pauses[5] <= 0.2


def test_listen_in_silence_pings_and_goes_on_after_the_answer():
    silence = RedisTimeoutError()
    connection = Connection(subscribed(b"a"), silence, [b"pong", b""], silence, [b"pong", b""], message(b"a", b"x"))
    events = listen(lambda: connection, ["a"])
    assert list(itertools.islice(events, 2)) == [Subscribed(), Message("a", "x")]
    assert connection.sent.count(("PING",)) == 2


def test_listen_without_an_answer_to_ping_reconnects():
    silent = Connection(subscribed(b"a"), RedisTimeoutError(), RedisTimeoutError())
    connections = iter([silent, Connection(subscribed(b"a"))])
    events = listen(lambda: next(connections), ["a"], sleep=lambda seconds: None)
    assert list(itertools.islice(events, 2)) == [Subscribed(), Subscribed()]
    assert not silent.open


def test_listen_when_closed_leaves_no_connection():
    connection = Connection(subscribed(b"a"))
    events = listen(lambda: connection, ["a"])
    next(events)
    events.close()
    assert not connection.open
