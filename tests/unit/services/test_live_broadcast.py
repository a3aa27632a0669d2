"""Notices: who gets which, and only after the commit."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import update

from church.errors import ConflictError, FieldErrors
from church.extensions import db
from church.models import User, Video
from church.models.base import utc_now
from church.services import billing, live_broadcast
from church.services.audit import Actor
from church.services.live_broadcast import Notice
from church.services.pages.content import Pages
from church.services.sessions import SignedIn
from church.services.videos.importing import import_job
from church.services.videos.importing.import_job import ImportResult
from tests.support.chat_fixture import acting, audited, published, speaker
from tests.support.stripe_fixture import DAY, START, SiteWithFakeStripe, make_event

WEEK = timedelta(days=7)


def notices(heard: list[tuple[str, str]]) -> list[Notice]:
    assert {channel for channel, _ in heard} <= {live_broadcast.NOTICE_CHANNEL}
    return [live_broadcast.decode_notice(line) for _, line in heard]


def test_notice_is_for_its_audience(at_work: Flask) -> None:
    ada, boss = speaker(at_work), speaker(at_work, "Boss", role="admin")
    new = SignedIn(9, "f" * 16, "New", "", "admin", False, 0, "")
    with published() as heard:
        for audience in ("all", "members", "admins", ada.ref):
            live_broadcast.notify(audience, "notice", "Hello")
    reached = [[one.name for one in (ada, boss, new) if notice.is_for(one)] for notice in notices(heard)]
    assert reached == [["Ada", "Boss", "New"], ["Ada", "Boss"], ["Boss"], ["Ada"]]
    assert len({notice.id for notice in notices(heard)}) == 4


def test_grant_and_its_removal_notify_the_member_and_a_refused_grant_does_not(at_work: Flask) -> None:
    ada, boss = speaker(at_work), speaker(at_work, "Boss", role="admin")
    with published() as heard:
        number = billing.grant_premium(ada.ref, utc_now() + WEEK, "helps", acting(boss))
        billing.revoke_grant(number, acting(boss))
        with pytest.raises(ConflictError):
            billing.revoke_grant(number, acting(boss))
    assert [(one.audience, one.kind) for one in notices(heard)] == [(ada.ref, "membership")] * 2


def test_changed_subscription_notifies_the_member_and_a_renewal_does_not(app: Flask) -> None:
    shop = SiteWithFakeStripe(app.config["CHURCH"])
    user_id, subscription = shop.subscriber(status="incomplete")

    def heard_of(**values: object) -> list[str]:
        subscription.update(values)
        with shop.app.app_context(), published() as heard:
            shop.deliver(make_event("customer.subscription.updated", subscription))
            ref = db_ref(user_id)
        assert {one.audience for one in notices(heard)} <= {ref}
        return [one.kind for one in notices(heard)]

    assert heard_of() == []  # the first payment is still open
    assert heard_of(status="active") == ["membership"]
    assert heard_of(latest_invoice=None) == []
    assert heard_of(cancel_at=START + 30 * DAY) == ["membership"]
    shop.close()


def db_ref(user_id: int) -> str:
    with db.read() as session:
        return session.get_one(User, user_id).ref


def test_failed_transaction_sends_no_notice(at_work: Flask) -> None:
    ada = speaker(at_work)

    def fail() -> None:
        with db.write() as session:
            live_broadcast.notify_membership_changed(session, ada.user_id)
            raise ZeroDivisionError

    with published() as heard, pytest.raises(ZeroDivisionError):
        fail()
    assert heard == []


def test_new_page_is_announced_once_and_a_first_index_is_not(at_work: Flask, tmp_path: Path) -> None:
    folder = tmp_path / "pages"
    folder.mkdir()

    def write(slug: str, access: str = "public") -> None:
        text = f"---\ntitle: On {slug}\ndate: 2026-01-01\naccess: {access}\nsummary: s\n---\nText.\n"
        (folder / f"{slug}.md").write_text(text)

    pages = Pages(folder, drafts=False)

    def index() -> list[Notice]:
        pages.refresh()
        with published() as heard:
            pages.reindex(db)
        return notices(heard)

    write("first")
    write("second")
    assert index() == []
    write("third", "premium")
    assert [(one.kind, one.title, one.url) for one in index()] == [("page", "New page: On third", "/pages/third")]
    (folder / "first.md").unlink()
    assert index() == []
    for number in range(6):
        write(f"more-{number}")
    assert [one.title for one in index()] == ["6 new pages"]


def test_video_is_announced_when_it_is_first_ready(at_work: Flask) -> None:
    made = ImportResult(Path(), duration_ms=1000, width=16, height=16, files=())
    facts = {"access_level": "members", "description": "", "source_name": "a.mp4", "source_bytes": 1}
    with db.write() as session:
        session.add(Video(ref="a" * 16, slug="a-film", title="A film", created_at=utc_now(), **facts))
    with published() as heard:
        assert import_job.mark_ready("a" * 16, made)
        with db.write() as session:
            session.execute(update(Video).values(state="queued"))  # imported again
        assert import_job.mark_ready("a" * 16, made)
    assert [(one.audience, one.title, one.url) for one in notices(heard)] == [
        ("all", "New video: A film", "/video/a-film")
    ]


def test_admin_notice_is_checked_audited_and_sent(at_work: Flask) -> None:
    boss = speaker(at_work, "Boss", role="admin")
    with published() as heard:
        live_broadcast.send_admin_notice(" Meet \n at noon ", "/pages/meet", "members", acting(boss))
    (sent,) = notices(heard)
    assert (sent.audience, sent.kind, sent.title, sent.url) == ("members", "notice", "Meet at noon", "/pages/meet")
    assert audited() == [("notice.sent", boss.user_id, None)]
    for title, url, audience, wrong in (
        (" ", "", "all", "title"),
        ("x" * 201, "", "all", "title"),
        ("x", "//evil.example", "all", "url"),
        ("x", "https://evil.example", "all", "url"),
        ("x", "/\\evil.example", "all", "url"),
        ("x", "", boss.ref, "audience"),
    ):
        with pytest.raises(FieldErrors) as caught:
            live_broadcast.send_admin_notice(title, url, audience, Actor())
        assert set(caught.value.errors) == {wrong}
