"""Chat sanctions in the admin area: mute, ban, lift."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask

from church.models.base import utc_now
from church.services import chat
from church.services.chat import errors
from church.services.sessions import SignedIn
from tests.support.chat_fixture import speaker
from tests.support.desk import AdminBrowser, call_in_context

SANCTION = {"kind": "mute", "room": "all", "lasts": "day", "reason": "shouting"}


@pytest.fixture
def ada(app: Flask) -> SignedIn:
    """A signed-in member who writes in the chat."""
    return speaker(app)


def test_page_without_sanctions_says_so(desk: AdminBrowser) -> None:
    assert '<p class="empty">' in desk.get("/admin/live/sanctions").text


def test_member_is_muted_for_a_day_and_the_mute_is_lifted(app: Flask, desk: AdminBrowser, ada: SignedIn) -> None:
    form = desk.get(f"/admin/live/sanctions?member={ada.ref}&room=public").text
    assert f'value="{ada.ref}"' in form
    assert '<option value="public" selected>' in form
    answer = desk.send("/admin/live/sanctions", member=ada.ref, **SANCTION)
    assert (answer.status_code, answer.location) == (303, "/admin/live/sanctions")
    (given,) = call_in_context(app, chat.list_sanctions)
    assert (given.kind, given.room, given.reason) == ("mute", None, "shouting")
    assert given.until is not None
    assert abs(given.until - utc_now() - timedelta(days=1)) < timedelta(minutes=1)
    with pytest.raises(chat.MutedError):
        call_in_context(app, chat.post_message, ada, "public", "but", None)
    assert desk.send(f"/admin/live/sanctions/{given.id}/lift").status_code == 303
    assert desk.send(f"/admin/live/sanctions/{given.id}/lift").status_code == 409
    call_in_context(app, chat.post_message, ada, "public", "thanks", None)


def test_ban_of_one_room_lasts_until_it_is_lifted(app: Flask, desk: AdminBrowser, ada: SignedIn) -> None:
    sent = {**SANCTION, "kind": "ban", "room": "public", "lasts": "lifted"}
    assert desk.tell("/admin/live/sanctions", {"member": ada.ref, **sent}).json["sanction"] == 1
    (given,) = desk.data("/admin/live/sanctions")["sanctions"]["rows"]
    assert (given["kind"], given["room"], given["until"]) == ("ban", "public", None)
    with pytest.raises(errors.BannedError):
        call_in_context(app, chat.load_page, ada, "public")


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"kind": "hang"}, 422),
        ({"lasts": "aeon"}, 422),
        ({"reason": ""}, 422),
        ({"room": "nowhere"}, 404),
        ({"member": "0" * 16}, 404),
        ({"member": "boss"}, 409),
    ],
)
def test_invalid_sanction_shows_the_form_with_the_reason(
    app: Flask, desk: AdminBrowser, ada: SignedIn, wrong: dict[str, str], status: int
) -> None:
    sent = {"member": ada.ref, **SANCTION, **wrong}
    sent["member"] = desk.user.ref if sent["member"] == "boss" else sent["member"]
    answer = desk.send("/admin/live/sanctions", **sent)
    assert answer.status_code == status
    assert 'class="form-errors"' in answer.text
    assert '<details class="confirm" open>' in answer.text
    assert f'value="{sent["member"]}"' in answer.text
    assert call_in_context(app, chat.list_sanctions) == []
