"""The store on the embedded server and on Debian's redis-server: working, hanging, dying, coming back."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading

import pytest

from church.store import (
    KeyLimit,
    Message,
    RateCounters,
    StoreClient,
    StoreDownError,
    Subscribed,
    embedded_command,
    socket_path,
)
from church.store.rate_counters import _ADD_ALL_OR_NONE
from tests.support.clock import Clock
from tests.support.counting_store import CountingStore
from tests.support.helpers import with_settings
from tests.support.services_fixture import RedisServer, site_settings, wait_until

PATIENT = {"CHURCH_STORE_TIMEOUT": "10"}
"""A longer time-out than the site's, so that calls succeed on a busy machine."""
IMPATIENT = 1.0
"""Seconds for a call to a server that hangs."""


class Embedded:
    """The embedded server, with the same methods as RedisServer."""

    def __init__(self, settings):
        self.settings = settings
        settings.instance.mkdir(exist_ok=True)
        settings.log_dir.mkdir(exist_ok=True)
        self.process = None

    def start(self):
        self.process = subprocess.Popen(embedded_command(self.settings))
        wait_until(lambda: StoreClient(self.settings).ping(), "the embedded server answers")

    def stop(self):
        self.process.kill()
        self.process.wait(timeout=60)

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)


@pytest.fixture(params=["embedded", pytest.param("redis", marks=pytest.mark.needs("redis-server"))])
def server(request, tmp_path):
    if request.param == "redis":
        found = request.getfixturevalue("redis_server")
        found.settings = site_settings(tmp_path, REDIS_URL=found.url, **PATIENT)
        yield found
        found.go_on()
        return
    found = Embedded(site_settings(tmp_path, **PATIENT))
    found.start()
    yield found
    found.stop()


@pytest.fixture
def store(server):
    return StoreClient(server.settings)


def counters(settings):
    """The counters of one worker, which settle when a test says so."""
    return RateCounters(StoreClient(settings), wake=lambda: None)


def test_store_keeps_a_value_only_for_its_ttl(store):
    store.set("greeting", "grüß dich", ttl=50)
    assert store.get("greeting") == "grüß dich"
    assert 0 < store.client.pttl("church:greeting") <= 50_000
    assert store.get("nothing") is None


def test_store_sends_messages_to_every_subscriber_of_the_channel(store):
    first, second = store.subscribe("rooms", "notes"), store.subscribe("rooms")
    assert next(first) == next(second) == Subscribed()
    assert store.publish("elsewhere", "not for them")
    assert store.publish("rooms", "a\r\nb ☃")
    assert next(first) == next(second) == Message("rooms", "a\r\nb ☃")


def test_exact_limits_are_counted_across_processes(server):
    limit = KeyLimit("limit:203.0.113.7", 3, 3600)
    waits = [counters(server.settings).take(limit, exact=True) for _ in range(5)]  # each with a client of its own
    assert waits[:3] == [None] * 3
    assert all(3500 < wait <= 3600 for wait in waits[3:])
    assert counters(server.settings).take(limit._replace(key="limit:203.0.113.8"), exact=True) is None


def test_exact_limit_of_two_keys_counts_both_or_neither(server, store):
    narrow, wide = KeyLimit("narrow", 1, 60), KeyLimit("wide", 3, 60)
    worker = counters(server.settings)
    assert [worker.take(narrow, wide, exact=True) is None for _ in range(3)] == [True, False, False]
    assert (store.get("narrow"), store.get("wide")) == ("1", "1")


def test_limits_are_settled_across_processes(server, store):
    limit = KeyLimit("limit:page", 5, 60)
    first, second = counters(server.settings), counters(server.settings)
    assert [worker.take(limit) for worker in (first, first, first, second, second)] == [None] * 5
    assert first.settle()
    assert second.settle()
    assert store.get("limit:page") == "5"
    assert 0 < second.take(limit) <= 60


def test_limits_work_after_the_server_lost_its_scripts(server, store):
    worker = counters(server.settings)
    assert worker.add(KeyLimit("a", 5, 3600)) == 1
    store.client.script_flush()
    assert worker.add(KeyLimit("a", 5, 3600)) == 2


def test_keys_of_limits_expire_with_their_window(server, store):
    worker = counters(server.settings)
    worker.take(KeyLimit("exact", 5, 60), exact=True)
    worker.add(KeyLimit("added", 5, 60))
    worker.seconds_until_free(KeyLimit("looked at", 5, 60))
    worker.take(KeyLimit("settled", 5, 60))
    worker.settle()
    keys = set(store.client.scan_iter())
    assert keys == {b"church:exact", b"church:added", b"church:settled"}
    assert all(0 < store.client.pttl(key) <= 60_000 for key in keys)


def test_window_longer_than_its_limit_is_cut_when_it_is_used(server, store):
    """The server's clock was set back, or the limit had a longer window before."""
    worker = counters(server.settings)
    for key in ("exact", "looked at", "settled"):
        store.set(key, "9", ttl=31_536_000)
    worker.take(KeyLimit("settled", 3, 60))
    worker.settle()
    waits = [
        worker.take(KeyLimit("exact", 3, 60), exact=True),
        worker.seconds_until_free(KeyLimit("looked at", 3, 60)),
        worker.take(KeyLimit("settled", 3, 60)),
    ]
    assert all(0 < wait <= 60 for wait in waits)
    assert all(store.client.pttl(f"church:{key}") <= 60_000 for key in ("exact", "looked at", "settled"))


def test_script_counts_like_the_store_that_the_unit_tests_use(server, store):
    """The unit tests replace the server by a model of it, so the model must do the same."""
    model = CountingStore(Clock())
    chances = random.Random(7)
    for _ in range(300):
        keys = chances.sample(["a", "b", "c"], chances.randint(1, 3))
        args = []
        for _key in keys:
            args += [chances.randint(0, 3), chances.choice(["", 5, 20]), chances.choice([500_000, 600_000]), 3_600_000]
        found, expected = (one.run_script(_ADD_ALL_OR_NONE, keys, args) for one in (store, model))
        assert (found[0], found[1::2]) == (expected[0], expected[1::2])
        assert all(abs(one - other) < 50_000 for one, other in zip(found[2::2], expected[2::2], strict=True))
        if chances.random() < 0.1:
            store.delete(keys[0])
            model.delete(keys[0])


def test_hung_server_blocks_no_call_and_is_not_called_again_at_once(server):
    settings = with_settings(server.settings, store_timeout=IMPATIENT)
    store, worker = StoreClient(settings), counters(settings)
    limit = KeyLimit("a", 2, 3600)
    wait_until(store.ping, "the store answers")
    assert worker.take(limit._replace(key="b"), exact=True) is None
    server.pause()
    results = []

    def use():
        results.append(store.ping())
        results.append(store.publish("rooms", "x"))
        with pytest.raises(StoreDownError):
            store.get("a")
        results.extend(worker.take(limit, exact=True) is None for _ in range(3))

    thread = threading.Thread(target=use, daemon=True)
    thread.start()
    thread.join(timeout=60)  # the server still hangs: only their own deadlines can end the calls
    assert results == [False, False, True, True, False], "limits are counted in the process meanwhile"
    server.go_on()
    wait_until(worker.settle, "the store is used again when it answers")
    assert worker.take(limit, exact=True) is not None, "and has what was counted meanwhile"


def test_server_that_hangs_and_goes_on_has_not_counted_each_attempt(server, store):
    worker = counters(with_settings(server.settings, store_timeout=IMPATIENT))
    limit = KeyLimit("a", 100, 3600)
    store.set("a", "1", ttl=3600)
    server.pause()
    for _ in range(10):
        worker.take(limit)
        assert worker.settle() is False
    server.go_on()
    wait_until(worker.settle, "the store answers")
    assert int(store.get("a")) in {11, 12}, "the first attempt may have been counted twice, no other"


def test_store_works_again_after_a_restart_of_the_server(server, store):
    assert store.ping()
    server.stop()
    assert store.ping() is False
    server.start()
    wait_until(store.ping, "the store is used again")


def test_subscriber_after_a_restart_of_the_server_yields_subscribed_again(server, store):
    events = store.subscribe("rooms")
    assert next(events) == Subscribed()
    server.stop()
    server.start()
    assert next(events) == Subscribed()
    wait_until(lambda: store.publish("rooms", "back"), "publishing works again")
    assert next(events) == Message("rooms", "back")


def test_client_in_a_forked_child_has_its_own_connection(store):
    store.set("who", "parent", ttl=60)
    parent_s = store.client
    child = os.fork()
    if child == 0:
        ok = False
        try:
            ok = store.client is not parent_s and store.get("who") == "parent"
        finally:  # even after an exception, the child must not run the other tests
            os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store.get("who") == "parent"


GEVENT = """
from gevent import monkey; monkey.patch_all()
import gevent, json, os, signal, sys
from church.config import load_settings
from church.store import StoreClient, Subscribed
settings = load_settings(_env_file=None, **json.loads(sys.argv[1]))
store = StoreClient(settings)
heard, ready, beats = [], gevent.event.Event(), []
def listen():
    for event in store.subscribe("rooms"):
        ready.set() if event == Subscribed() else heard.append(event.text)
def beat():
    while True:
        beats.append(1)
        gevent.sleep(0.001)
listener = gevent.spawn(listen)
assert ready.wait(60)
calls = [gevent.spawn(store.publish, "rooms", str(n)) for n in range(200)]
gevent.joinall(calls, timeout=60)
assert all(call.value for call in calls), "200 greenlets share 16 connections"
with gevent.Timeout(60):
    while len(heard) < 200:
        gevent.sleep(0.01)
hung = StoreClient(settings.model_copy(update={"store_timeout": float(sys.argv[3])}))
with gevent.Timeout(60):
    while not hung.ping():
        gevent.sleep(0.01)
os.kill(int(sys.argv[2]), signal.SIGSTOP)
pulse = gevent.spawn(beat)
with gevent.Timeout(60):
    waits = [gevent.spawn(hung.ping) for _ in range(50)]
    gevent.joinall(waits)
assert not any(wait.value for wait in waits)
assert len(beats) > 5, "the hub stood still while the store hung"
listener.kill()
"""


def test_store_under_gevent_never_blocks_the_hub(server):
    values = {
        "CHURCH_INSTANCE": str(server.settings.instance),
        "CHURCH_CONTENT": str(server.settings.content),
        "CHURCH_LOG_DIR": str(server.settings.log_dir),
        **PATIENT,
    }
    if server.settings.redis_url:
        values["REDIS_URL"] = server.settings.redis_url.get_secret_value()
    pid = (server._process if isinstance(server, RedisServer) else server.process).pid
    command = [sys.executable, "-c", GEVENT, json.dumps(values), str(pid), str(IMPATIENT)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=240)
    server.go_on()
    assert done.returncode == 0, done.stderr


def test_embedded_server_listens_only_for_its_user_and_writes_nothing(tmp_path):
    server = Embedded(site_settings(tmp_path, **PATIENT))
    server.start()
    try:
        store = StoreClient(server.settings)
        store.set("a", "b", ttl=60)
        assert socket_path(server.settings).stat().st_mode & 0o777 == 0o700
        assert store.client.config_get("port") == {"port": "0"}
        server.process.terminate()
        assert server.process.wait(timeout=60) == 0
        assert list(server.settings.instance.glob("*.rdb")) == []
    finally:
        server.stop()


def test_embedded_server_replaces_the_process_that_started_it(tmp_path):
    settings = site_settings(tmp_path, **PATIENT)
    environment = {**os.environ, "CHURCH_INSTANCE": str(settings.instance), "CHURCH_LOG_DIR": str(settings.log_dir)}
    process = subprocess.Popen([sys.executable, "-m", "church.store.embedded"], env=environment)
    try:
        wait_until(lambda: StoreClient(settings).ping(), "the store answers")
        process.terminate()
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.wait(timeout=60)
