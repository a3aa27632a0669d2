"""What a worker publishes and receives: each line once, to its receiver, and a beat that has to come back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from flask import Flask

from church.extensions import store
from church.live import broadcast_receiver
from church.live.broadcast_receiver import BEAT, PRESENCE, BroadcastReceiver
from church.services import chat, live_broadcast
from church.services.chat import MessageView
from church.services.chat.presenters import encode_message
from church.store import Message, Subscribed
from tests.support.helpers import captured_log
from tests.support.live_stubs import said


class Desk:
    """A receiver that is connected to lists; ``stored`` are the lines that it has published to the store."""

    def __init__(self, app: Flask) -> None:
        self.relay = BroadcastReceiver(app)
        self.lines: list[str] = []
        self.changes: list[MessageView] = []
        self.subscribed = 0
        self.stored: list[tuple[str, str]] = []
        receivers = {PRESENCE: self.lines.append, chat.CONTROL_CHANNEL: self.lines.append}
        self.relay.connect(receivers, self.changes.append, self._on_subscribed)

    def _on_subscribed(self) -> None:
        self.subscribed += 1

    def store(self, channel: str, line: str) -> bool:
        self.stored.append((channel, line))
        return True


@pytest.fixture
def desk(at_work: Flask, monkeypatch: pytest.MonkeyPatch) -> Desk:
    one = Desk(at_work)
    monkeypatch.setattr(store, "publish", one.store)
    return one


def bring(monkeypatch: pytest.MonkeyPatch, *events: Subscribed | Message) -> list[str]:
    """Let the store bring these events; returns the list of the channels that are subscribed to."""
    channels: list[str] = []

    def subscribe(*names: str) -> Iterator[Subscribed | Message]:
        channels.extend(names)
        return iter(events)

    monkeypatch.setattr(store, "subscribe", subscribe)
    return channels


def test_line_reaches_the_receiver_of_its_channel(desk: Desk) -> None:
    desk.relay.hear("chat:public", encode_message(said(1)))
    desk.relay.hear(PRESENCE, "here")
    desk.relay.hear(chat.CONTROL_CHANNEL, "muted")
    assert desk.changes == [said(1)]
    assert desk.lines == ["here", "muted"]


@pytest.mark.parametrize(("channel", "line"), [("chat:public", "[]"), ("chat:public", "{"), ("live:unknown", "x")])
def test_line_that_cannot_be_read_is_logged(desk: Desk, channel: str, line: str) -> None:
    with captured_log() as log:
        desk.relay.hear(channel, line)
    assert [(record["event"], record["channel"]) for record in log.records] == [("live.unreadable", channel)]
    assert (desk.changes, desk.lines) == ([], [])


def test_run_receives_lines_and_each_new_subscription(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    line = encode_message(said(1))
    channels = bring(monkeypatch, Subscribed(), Message("chat:public", line), Message(PRESENCE, "x"), Subscribed())
    desk.relay.run()
    assert set(channels) == {"chat:admins", "chat:premium", "chat:public", chat.CONTROL_CHANNEL, PRESENCE, BEAT}
    assert (desk.subscribed, desk.changes, desk.lines) == (2, [said(1)], ["x"])


def test_own_line_is_handled_at_once_and_not_again_when_the_store_brings_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.relay.listen_here()
    line = encode_message(said(1))
    live_broadcast.publish("chat:public", line)
    assert desk.changes == [said(1)]
    bring(monkeypatch, Message("chat:public", line), Message("chat:public", line))
    desk.relay.run()
    assert desk.changes == [said(1)] * 2, "the second is another worker's"


def test_own_lines_are_remembered_up_to_a_limit(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcast_receiver, "_MOST_OWN", 2)
    desk.relay.listen_here()
    lines = [encode_message(said(number)) for number in range(3)]
    for line in lines:
        live_broadcast.publish("chat:public", line)
    bring(monkeypatch, *(Message("chat:public", line) for line in lines))
    desk.relay.run()
    assert [view.changed for view in desk.changes] == [0, 1, 2, 0]


def test_control_line_is_handled_again_when_the_store_brings_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.relay.listen_here()
    live_broadcast.publish(chat.CONTROL_CHANNEL, '{"user":"ada"}')
    bring(monkeypatch, Message(chat.CONTROL_CHANNEL, '{"user":"ada"}'))
    desk.relay.run()
    assert desk.lines == ['{"user":"ada"}'] * 2


def test_worker_is_heard_for_three_seconds_after_its_own_beat(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(broadcast_receiver, "time", SimpleNamespace(monotonic=lambda: clock.now))
    desk.relay.beat()
    desk.relay.beat()
    clock.now += 1.0
    desk.relay.beat()
    assert desk.stored == [(BEAT, desk.relay.worker)] * 2
    desk.relay.hear(BEAT, "another worker")
    assert not desk.relay.is_heard
    desk.relay.hear(BEAT, desk.relay.worker)
    assert desk.relay.is_heard
    clock.now += 3.0
    assert not desk.relay.is_heard


def test_publish_adds_the_worker_and_is_one_line(desk: Desk) -> None:
    assert desk.relay.publish(PRESENCE, {"rooms": {"public": ["Zoë\n"]}})
    ((channel, line),) = desk.stored
    assert (channel, "\n" in line, "Zoë" in line) == (PRESENCE, False, True)
    assert json.loads(line) == {"worker": desk.relay.worker, "rooms": {"public": ["Zoë\n"]}}
