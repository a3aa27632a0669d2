"""The store on the embedded server and on Debian's redis-server: working, hanging, dying, coming back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading

import pytest
from limits import parse
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter

from church.store import (
    Message,
    StoreClient,
    StoreDownError,
    Subscribed,
    embedded_command,
    socket_path,
)
from church.web.rate_limits import limiter_storage
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


def limiter(settings):
    uri, options = limiter_storage(StoreClient(settings))
    return FixedWindowRateLimiter(storage_from_string(uri, **options))


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


def test_limits_are_counted_across_processes(server):
    rate = parse("3/hour")
    answers = [limiter(server.settings).hit(rate, "203.0.113.7") for _ in range(5)]  # each with a client of its own
    assert answers == [True, True, True, False, False]
    assert limiter(server.settings).hit(rate, "203.0.113.8")


def test_limits_work_after_the_server_lost_its_scripts(server, store):
    counting = limiter(server.settings)
    assert counting.hit(parse("5/hour"), "a")
    store.client.script_flush()
    assert counting.hit(parse("5/hour"), "a")


def test_hung_server_blocks_no_call_and_is_not_called_again_at_once(server):
    settings = with_settings(server.settings, store_timeout=IMPATIENT)
    store, counting = StoreClient(settings), limiter(settings)
    wait_until(store.ping, "the store answers")
    assert counting.hit(parse("2/hour"), "b")
    server.pause()
    results = []

    def use():
        results.append(store.ping())
        results.append(store.publish("rooms", "x"))
        with pytest.raises(StoreDownError):
            store.get("a")
        results.extend(counting.hit(parse("2/hour"), "a") for _ in range(3))

    thread = threading.Thread(target=use, daemon=True)
    thread.start()
    thread.join(timeout=60)  # the server still hangs: only their own deadlines can end the calls
    assert results == [False, False, True, True, False], "limits are counted in the process meanwhile"
    server.go_on()
    wait_until(store.ping, "the store is used again when it answers")


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
