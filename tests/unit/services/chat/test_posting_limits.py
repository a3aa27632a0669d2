"""Rate limits of the chat: what counts, and what is refused."""

from __future__ import annotations

import pytest
from flask import Flask

from church.observability.metrics import definitions
from church.services import chat
from church.services.chat import posting_limits
from church.services.sessions import SignedIn
from tests.support.chat_fixture import ROOM, speaker
from tests.support.helpers import grows
from tests.support.people import DEVICE


def test_rate_limit_stops_new_messages_and_edits_but_not_retries(at_work: Flask, ada: SignedIn) -> None:
    at_work.config["CHURCH"] = at_work.config["CHURCH"].model_copy(update={"limit_chat": "2/hour"})
    first = chat.post_message(ada, ROOM, "one", "1")
    chat.post_message(ada, ROOM, "two", "2")
    with pytest.raises(chat.RateLimitedError) as caught:
        chat.edit_message(ada, ROOM, first.id, "changed")
    assert caught.value.retry_after is not None
    assert 0 < caught.value.retry_after <= 3600
    assert chat.post_message(ada, ROOM, "one", "1") == first
    assert chat.delete_message(ada, ROOM, first.id, DEVICE).deleted
    assert chat.post_message(speaker(at_work, "Bea"), ROOM, "hers", None).text == "hers"


def test_post_without_a_limiter_is_refused(ada: SignedIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting_limits, "_limiter", [])
    with pytest.raises(RuntimeError, match="set_limiter"):
        chat.post_message(ada, ROOM, "hello", None)
    assert chat.list_newest_changes()[ROOM] == 0


def test_posts_and_joins_are_counted_by_the_members_ref(ada: SignedIn, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[tuple[str, str]] = []
    monkeypatch.setattr(posting_limits, "_limiter", [])
    monkeypatch.setattr(posting_limits, "_give_back", [])
    posting_limits.set_limiter(lambda limit, key: counted.append((limit, key)), print)  # type: ignore[func-returns-value]
    posting_limits.count_post(ada)
    posting_limits.count_join(ada)
    assert counted == [("chat", ada.ref), ("history", ada.ref)]


def test_join_over_the_limit_is_refused_and_counted(ada: SignedIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting_limits, "_limiter", [lambda _limit, _key: 7])
    with grows(definitions.rate_limit_hits.labels("history")), pytest.raises(chat.RateLimitedError) as refused:
        posting_limits.count_join(ada)
    assert refused.value.retry_after == 7
