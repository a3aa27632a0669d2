"""Counting playbacks: the first request of each, and the videos that metrics name."""

from __future__ import annotations

import pytest
from flask import Flask

from church.extensions import store
from church.services.videos.streaming import playbacks
from church.services.videos.streaming.playbacks import choose_label, is_first_request
from tests.support.video_fixture import add_ready


def test_first_request_of_a_playback_counts_once_while_the_store_is_down(at_work: Flask) -> None:
    assert is_first_request("harbour", "one")  # no store runs in this test
    assert not is_first_request("harbour", "one")
    assert is_first_request("harbour", "two")
    assert is_first_request("pier", "one")


def test_first_request_on_another_worker_does_not_count(at_work: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "claim", lambda _name, _seconds: False)
    assert not is_first_request("harbour", "one")


def test_memory_drops_the_playback_that_was_not_used_for_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playbacks, "_MAX_REMEMBERED", 2)
    memory = playbacks._Memory()
    assert [memory.add(name) for name in ("a", "b", "a", "c", "a", "b")] == [True, True, False, True, False, True]


def test_label_is_the_slug_of_the_oldest_videos_only(at_work: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playbacks, "MAX_NAMED", 2)
    for slug in ("first", "second", "third"):
        add_ready(slug)
    assert [choose_label(slug) for slug in ("first", "second", "third")] == ["first", "second", "other"]


def test_label_of_a_new_video_is_its_slug_at_once(at_work: Flask) -> None:
    add_ready("first")
    assert choose_label("first") == "first"
    add_ready("second")
    assert choose_label("second") == "second"
