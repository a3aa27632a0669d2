"""What a process knows of the blocked networks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask

from church import create_app
from church.config import Settings
from church.database.engines import sqlite_path
from church.errors import FieldErrors
from church.lib.network.network_table import parse_network
from church.models.base import utc_now
from church.services import blocks as service
from church.services.audit import Actor
from church.services.blocks import ActiveBlocks, Own
from church.web import blocks
from church.web.blocks import BlockWatch, watch_of
from tests.support.helpers import with_settings

CLI = Actor(via="cli")
CLIENT = "203.0.113.7"
HOUR = timedelta(hours=1)


def run_at_once(_name: str, run: Callable[[], None]) -> None:
    run()


@pytest.fixture(autouse=True)
def _without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "start_beside", run_at_once)


def block_elsewhere(app: Flask, network: str = CLIENT) -> None:
    """Block a network as another host does."""
    with app.app_context():
        service.block_network(network, utc_now() + HOUR, "", Own(), CLI)


def test_block_is_known_at_once_here_and_at_the_next_look_in_other_processes(app: Flask) -> None:
    here, there = watch_of(app), BlockWatch(app)
    with app.app_context():
        assert blocks.block(CLIENT, utc_now() + HOUR, "", CLI) == f"{CLIENT}/32"
    assert here.refuses(CLIENT)
    assert not there.refuses(CLIENT)
    there.look()
    assert there.refuses(CLIENT)
    with app.app_context():
        blocks.unblock(CLIENT, CLI)
    there.look()
    assert not here.refuses(CLIENT)
    assert not there.refuses(CLIENT)


def test_process_that_starts_knows_the_copy_without_the_database(app: Flask, settings: Settings) -> None:
    with app.app_context():
        blocks.block(CLIENT, utc_now() + HOUR, "", CLI)
        app.extensions["database"]().engines.dispose()
    sqlite_path(settings).unlink()
    started = watch_of(create_app(settings))
    assert started.refuses(CLIENT)
    started.ask()
    assert started.refuses(CLIENT)


def test_change_of_another_host_is_found_in_the_database(app: Flask) -> None:
    watch = watch_of(app)
    changes: list[bool] = []
    watch.on_change = lambda: changes.append(watch.refuses(CLIENT))
    block_elsewhere(app)
    watch.step()
    assert watch.refuses(CLIENT)
    watch.step()
    assert changes == [True]


def test_one_process_of_a_host_asks_the_database_at_a_time(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    watches = [BlockWatch(app), BlockWatch(app)]
    for name, watch in zip("ab", watches, strict=True):
        monkeypatch.setattr(watch, "ask", lambda name=name: asked.append(name))
    now = [5_000.0]
    monkeypatch.setattr(blocks.time, "monotonic", lambda: now[0])
    for watch in watches:
        watch.step()
    assert asked == ["a"]
    now[0] += 5
    watches[1].step()
    assert asked == ["a", "b"]
    now[0] = 10.0  # the machine was started again
    watches[0]._asks = False
    watches[0].step()
    assert asked == ["a", "b", "a"]


def test_process_asks_no_second_time_while_the_database_hangs(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    monkeypatch.setattr(blocks, "start_beside", lambda name, _run: started.append(name))
    now = [5_000.0]
    monkeypatch.setattr(blocks.time, "monotonic", lambda: now[0])
    watch = BlockWatch(app)
    for _ in range(3):
        watch.step()
        now[0] += 60
    assert started == ["blocks"]


def test_copy_that_was_changed_while_the_database_was_down_is_renewed(app: Flask, settings: Settings) -> None:
    with app.app_context():
        blocks.block(CLIENT, utc_now() + HOUR, "", CLI)
        assert blocks.unblock_here(CLIENT)
    watch = watch_of(app)
    watch.look()
    assert not watch.refuses(CLIENT)
    watch.ask()
    assert watch.refuses(CLIENT)


def test_damaged_or_missing_copy_lifts_no_block(app: Flask, settings: Settings) -> None:
    block_elsewhere(app)
    watch = watch_of(app)
    watch.ask()
    service.copy_file(settings).write_text("{")
    watch.look()
    assert watch.refuses(CLIENT)
    service.copy_file(settings).unlink()
    watch.look()
    assert watch.refuses(CLIENT)
    watch.ask()
    assert service.read_copy(settings) is not None


def test_disk_that_is_full_loses_no_block(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(service, "keep_copy", full)
    with app.app_context():
        blocks.block(CLIENT, utc_now() + HOUR, "", CLI)
    monkeypatch.undo()
    watch = watch_of(app)
    watch.ask()
    assert watch.refuses(CLIENT)


def test_admin_cannot_block_their_own_address(app: Flask) -> None:
    with app.app_context(), pytest.raises(FieldErrors):
        blocks.block("203.0.113.0/24", utc_now() + HOUR, "", Actor(None, "web", CLIENT))
    assert not watch_of(app).refuses(CLIENT)


def test_address_that_became_a_proxy_is_not_refused(app: Flask, settings: Settings) -> None:
    app.config["CHURCH"] = with_settings(settings, trusted_proxies=(parse_network("10.0.0.5"),))
    service.keep_copy(settings, lambda: ActiveBlocks(1, (("10.0.0.0/24", 9e9), ("203.0.113.7/32", 9e9))))
    watch = BlockWatch(app)
    assert not watch.refuses("10.0.0.5")
    assert watch.refuses("10.0.0.6")


def test_error_in_the_watch_is_recorded_and_the_watch_goes_on(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []

    class EnoughError(Exception):
        pass

    def step() -> None:
        steps.append(1)
        raise ValueError

    def sleep(_seconds: float) -> None:
        if len(steps) == 2:
            raise EnoughError

    watch = watch_of(app)
    monkeypatch.setattr(watch, "step", step)
    monkeypatch.setattr(blocks.time, "sleep", sleep)
    with pytest.raises(EnoughError):
        watch.run()
