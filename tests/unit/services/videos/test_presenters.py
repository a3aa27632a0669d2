"""Computed fields of video cards and of the admin's view of a video."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from flask import Flask

from church.models.videos import VideoState
from church.services import videos
from church.services.videos.presenters import VideoCard, WatchProgress
from tests.support.video_fixture import add_ready

NOW = datetime(2026, 3, 4, tzinfo=UTC)
CARD = VideoCard("0" * 16, "harbour", "The Harbour", "", "public", True, 60_000, 1280, 720, False, NOW)


@pytest.mark.parametrize(
    ("position_ms", "finished", "percent"), [(0, False, 0), (15_000, False, 25), (90_000, False, 100), (0, True, 100)]
)
def test_card_percent_is_the_watched_share(position_ms: int, finished: bool, percent: int) -> None:
    assert replace(CARD, watched=WatchProgress(position_ms, finished, NOW)).percent == percent


def test_card_percent_without_a_position_or_a_length_is_0_or_full() -> None:
    assert CARD.percent == 0
    assert replace(CARD, duration_ms=0, watched=WatchProgress(5, False, NOW)).percent == 100


@pytest.mark.parametrize(
    ("state", "settled"),
    [(VideoState.QUEUED, False), (VideoState.WORKING, False), (VideoState.READY, True), (VideoState.FAILED, True)],
)
def test_admin_video_is_settled_once_its_import_has_ended(at_work: Flask, state: VideoState, settled: bool) -> None:
    found = videos.load_for_admin(add_ready(state=state.value).ref)
    assert found.settled is settled
    assert found.url == CARD.url == "/video/harbour"
