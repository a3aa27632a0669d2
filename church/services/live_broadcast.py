"""Publish to all workers, and send notices: one line about something new, shown on open live pages, never stored.

A notice contains nothing that its readers cannot see themselves: titles as in lists, never content.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import quote

from sqlalchemy import select
from sqlalchemy.orm import Session

from church.database import after_commit
from church.errors import FieldErrors
from church.extensions import db, store
from church.lib.app_context import app_state
from church.models import User
from church.models.base import plain, utc_now
from church.services import audit
from church.services.audit import Actor
from church.services.sessions import SignedIn

log = logging.getLogger("church.live")

NOTICE_CHANNEL = "notices"
AUDIENCES = ("all", "members", "admins")
"""Everyone signed in, members with a confirmed address, admins. An account's ref is an audience, too."""
MAX_LENGTH = 200
"""Maximum characters of a title, and of a URL."""
_MOST_PAGES = 5  # announced one by one; more at once are an import or another folder, and get one notice

_MEMBERSHIP = "/auth/account"


@dataclass(frozen=True)
class Notice:
    """One notice; ``url`` is a path on this site, or empty. ``id`` makes equal notices distinct for the workers."""

    id: str
    audience: str
    kind: str
    title: str
    url: str
    at: datetime

    def is_for(self, signed_in: SignedIn) -> bool:
        """Whether the member is in the audience."""
        if self.audience == "admins":
            return signed_in.is_admin
        if self.audience == "members":
            return signed_in.is_member
        return self.audience in {"all", signed_in.ref}


def notify(audience: str, kind: str, title: str, url: str = "") -> Notice:
    """Send a notice; call this after the commit. Never raises: the news is on the site anyway."""
    notice = Notice(secrets.token_hex(8), audience, kind, plain(title)[:MAX_LENGTH], url, utc_now())
    publish(NOTICE_CHANNEL, encode_notice(notice))
    return notice


def notify_after(session: Session, audience: str, kind: str, title: str, url: str = "") -> None:
    """Send a notice once the caller's ``db.write()`` has committed; not if that fails."""
    after_commit(session, partial(_send, audience, kind, title, url))


def notify_membership_changed(session: Session, user_id: int) -> None:
    """Notify a member, after the commit, that their subscription or grant has changed."""
    ref = session.scalars(select(User.ref).where(User.id == user_id, User.deleted_at.is_(None))).one_or_none()
    if ref is not None:
        notify_after(session, ref, "membership", "Your premium access has changed.", _MEMBERSHIP)


def notify_new_pages(session: Session, titles: Mapping[str, str]) -> None:
    """Notify everyone, after the commit, of new pages; ``titles`` is by slug."""
    if len(titles) > _MOST_PAGES:
        notify_after(session, "all", "page", f"{len(titles)} new pages", "/pages/")
        return
    for slug, title in titles.items():
        notify_after(session, "all", "page", f"New page: {title}", f"/pages/{quote(slug)}")


def notify_new_video(slug: str, title: str) -> None:
    """Notify everyone of a video that can now be watched; call this after the commit."""
    notify("all", "video", f"New video: {title}", f"/video/{quote(slug)}")


def send_admin_notice(title: str, url: str, audience: str, actor: Actor) -> Notice:
    """Send an admin's notice, with an audit row. Raises FieldErrors for ``title``, ``url`` and ``audience``."""
    title, url = " ".join(plain(title).split()), url.strip()
    _check(title, url, audience)
    with db.write() as session:
        audit.record_by(session, "notice.sent", actor, audience=audience, title=title)
    return notify(audience, "notice", title, url)


def encode_notice(notice: Notice) -> str:
    """Write a notice as one line of JSON."""
    return json.dumps({**asdict(notice), "at": notice.at.isoformat()}, ensure_ascii=False, separators=(",", ":"))


def decode_notice(line: str) -> Notice:
    """Read a notice from its JSON form. Raises ValueError, TypeError or KeyError for anything else."""
    facts: dict[str, Any] = json.loads(line)
    return Notice(**{**facts, "at": datetime.fromisoformat(facts["at"])})


def _send(audience: str, kind: str, title: str, url: str) -> None:
    notify(audience, kind, title, url)


def _check(title: str, url: str, audience: str) -> None:
    errors: dict[str, str] = {}
    if not title:
        errors["title"] = "Write a message first."
    elif len(title) > MAX_LENGTH:
        errors["title"] = f"Use at most {MAX_LENGTH} characters."
    is_path = url.startswith("/") and not url.startswith("//") and "\\" not in url and url.isprintable()
    if url and (not is_path or len(url) > MAX_LENGTH):
        errors["url"] = "Enter a path on this site such as /pages/welcome, or leave it empty."
    if audience not in AUDIENCES:
        errors["audience"] = "Choose who receives it."
    if errors:
        raise FieldErrors(errors)


Listener = Callable[[str, str], None]
"""Called with the channel and the published line; must return at once."""

_EXTENSION = "live_listeners"


def add_listener(listener: Listener) -> Callable[[], None]:
    """Call ``listener`` for everything this worker publishes; returns a function that removes it."""
    listeners: list[Listener] = app_state().setdefault(_EXTENSION, [])
    listeners.append(listener)
    return lambda: listeners.remove(listener)


def publish(channel: str, line: str) -> None:
    """Publish a line to all workers; call this after the commit. Never raises."""
    publish_all([(channel, line)])


def publish_all(lines: Sequence[tuple[str, str]]) -> None:
    """Publish lines, each with its channel, in their order and by one call of the store. Never raises."""
    for listener in tuple(app_state().get(_EXTENSION, ())):
        for channel, line in lines:
            try:
                listener(channel, line)
            except Exception:
                log.exception("live listener failed", extra={"event": "live.listener_failed", "channel": channel})
    if len(lines) == 1:
        store.publish(*lines[0])
    elif lines:
        store.publish_all(lines)
