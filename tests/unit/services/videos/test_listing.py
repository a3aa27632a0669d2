"""The list of videos in parts: each video once in both directions, whatever is added or removed meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import delete, event

from church.extensions import db
from church.models import Video
from church.services import videos
from church.services.videos.listing import UnknownKeyError
from tests.support.people import add_user
from tests.support.video_fixture import add_rows

NOON = datetime(2025, 3, 14, 12, tzinfo=UTC)


def slugs(part: videos.VideoPart) -> list[str]:
    return [one.slug for one in part.videos]


def walk(limit: int, **start: Any) -> Iterator[videos.VideoPart]:
    part = videos.list_videos(limit=limit, **start)
    yield part
    while part.next is not None:
        part = videos.list_videos(limit=limit, after=part.next)
        yield part


def add_week() -> list[str]:
    """Add ten videos, three of them at one moment. Returns their slugs, newest first."""
    add_rows([{"slug": f"v{n}", "published_at": NOON - timedelta(days=max(0, n - 3))} for n in range(10, 0, -1)])
    # Of those at one moment the one that was added last comes first.
    return [f"v{n}" for n in range(1, 11)]


@pytest.mark.parametrize("limit", [1, 3, 4, 10, 11])
def test_list_walked_forth_and_back_has_every_video_once(on_both: Flask, limit: int) -> None:
    ordered = add_week()
    add_rows([{"slug": "hidden", "state": "working", "published_at": None}])
    parts = list(walk(limit))
    assert [slug for part in parts for slug in slugs(part)] == ordered
    assert all(len(part.videos) == limit for part in parts[:-1])
    part, back = parts[-1], [parts[-1]]
    while part.previous is not None:
        part = videos.list_videos(limit=limit, before=part.previous)
        back.insert(0, part)
    assert [slugs(part) for part in back] == [slugs(part) for part in parts]


def test_list_stays_in_its_place_while_videos_come_and_go(at_work: Flask) -> None:
    ordered = add_week()
    first = videos.list_videos(limit=4)
    add_rows([{"slug": "newer", "published_at": NOON + timedelta(days=1)}])
    with db.write() as session:
        session.execute(delete(Video).where(Video.slug == ordered[3]))  # the key's own video
    second = videos.list_videos(limit=4, after=first.next)
    assert slugs(second) == ordered[4:8]
    before = videos.list_videos(limit=4, before=second.previous)
    assert slugs(before) == ["newer", *ordered[:3]]
    assert before.previous is None
    assert slugs(videos.list_videos(limit=2, before=first.next)) == ordered[1:3]


def test_list_from_a_day_begins_with_it_and_leads_back(on_both: Flask) -> None:
    ordered = add_week()
    part = videos.list_videos(limit=2, from_day=date(2025, 3, 12))
    assert slugs(part) == ordered[4:6]
    assert slugs(videos.list_videos(limit=10, before=part.previous)) == ordered[:4]
    assert slugs(videos.list_videos(limit=20, from_day=date(9999, 12, 31))) == ordered
    assert videos.list_videos(from_day=date(1, 1, 1)).videos == ()


@pytest.mark.parametrize(
    "key",
    ["", "x", "2025-03-14", "2025-02-30T120000.000000~1", "2025-03-14T120000.000000~0", "٢025-03-14T120000.000000~1"],
)
def test_key_that_no_list_has_given_is_refused(at_work: Flask, key: str) -> None:
    with pytest.raises(UnknownKeyError):
        videos.list_videos(after=key)
    with pytest.raises(UnknownKeyError):
        videos.list_videos(before=key)
    with pytest.raises(UnknownKeyError):
        videos.search_videos("nets", after=key)


def test_list_takes_the_same_few_statements_however_deep_and_for_members(at_work: Flask) -> None:
    ada = add_user(at_work)
    add_week()
    second = videos.list_videos(limit=2).next
    statements: list[str] = []
    with db.read() as session:
        engine = session.get_bind().engine
    event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    for asked, most in (({}, 1), ({"after": second}, 2), ({"user_id": ada.id}, 2)):
        statements.clear()
        videos.list_videos(limit=5, **asked)
        assert len([one for one in statements if " FROM videos" in one or "watch_positions" in one]) <= most
