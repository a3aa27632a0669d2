"""Notices: one line about something new, shown on live pages that are open at this moment, and kept nowhere.

A notice says nothing that its readers could not see for themselves: titles as they stand in lists, never a text.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import quote

from flask import current_app
from sqlalchemy import select
from sqlalchemy.orm import Session

from church.database import after_commit
from church.errors import FieldErrors
from church.extensions import db, store
from church.models import User
from church.models.base import plain, utc_now
from church.services import audit
from church.services.audit import Actor
from church.services.sessions import SignedIn

log = logging.getLogger("church.live")

CHANNEL = "notices"
AUDIENCES = ("all", "members", "admins")
"""Whoever is signed in, whose address is confirmed, who looks after the site. A member's ref is an audience, too."""
LONGEST = 200
"""Characters of a title, and of an address."""
_MOST_PAGES = 5  # told one by one; more at once are an import, or another folder

_MEMBERSHIP = "/auth/account"


@dataclass(frozen=True)
class Notice:
    """One notice; ``url`` is a path on this site, or empty. By ``id`` a worker knows one that comes by two ways."""

    id: str
    audience: str
    kind: str
    title: str
    url: str
    at: datetime

    def is_for(self, signed_in: SignedIn) -> bool:
        """Whether the member is among those whom it is for."""
        if self.audience == "admins":
            return signed_in.is_admin
        if self.audience == "members":
            return signed_in.is_member
        return self.audience in {"all", signed_in.ref}


def notify(audience: str, kind: str, title: str, url: str = "") -> Notice:
    """Send a notice; after the commit of what it is about. Never raises: who misses it finds it on the site."""
    notice = Notice(secrets.token_hex(8), audience, kind, plain(title)[:LONGEST], url, utc_now())
    publish(CHANNEL, encode(notice))
    return notice


def notify_after(session: Session, audience: str, kind: str, title: str, url: str = "") -> None:
    """Send it once the caller's ``db.write()`` has committed; never if that fails."""
    after_commit(session, partial(_send, audience, kind, title, url))


def membership_changed(session: Session, user_id: int) -> None:
    """Tell a member, after the commit, that what they have paid for, or were given, is otherwise from now on."""
    ref = session.scalars(select(User.ref).where(User.id == user_id, User.deleted_at.is_(None))).one_or_none()
    if ref is not None:
        notify_after(session, ref, "membership", "Your membership has changed.", _MEMBERSHIP)


def new_pages(session: Session, titles: Mapping[str, str]) -> None:
    """Tell everybody, after the commit, of the pages that came: titles by slug."""
    if len(titles) > _MOST_PAGES:
        notify_after(session, "all", "page", f"{len(titles)} new pages", "/pages/")
        return
    for slug, title in titles.items():
        notify_after(session, "all", "page", f"New page: {title}", f"/pages/{quote(slug)}")


def new_video(slug: str, title: str) -> None:
    """Tell everybody of a video that can be watched from now on; after the commit."""
    notify("all", "video", f"New video: {title}", f"/video/{quote(slug)}")


def from_admin(title: str, url: str, audience: str, actor: Actor) -> Notice:
    """Send what an admin has to say; written down. Raises FieldErrors for ``title``, ``url`` and ``audience``."""
    title, url = " ".join(plain(title).split()), url.strip()
    _check(title, url, audience)
    with db.write() as session:
        audit.record_by(session, "notice.sent", actor, audience=audience, title=title)
    return notify(audience, "notice", title, url)


def encode(notice: Notice) -> str:
    """One line of JSON, for the store."""
    return json.dumps({**asdict(notice), "at": notice.at.isoformat()}, ensure_ascii=False, separators=(",", ":"))


def decode(line: str) -> Notice:
    """The notice that ``encode`` wrote. Raises ValueError, TypeError or KeyError for anything else."""
    facts: dict[str, Any] = json.loads(line)
    return Notice(**{**facts, "at": datetime.fromisoformat(facts["at"])})


def _send(audience: str, kind: str, title: str, url: str) -> None:
    notify(audience, kind, title, url)


def _check(title: str, url: str, audience: str) -> None:
    errors: dict[str, str] = {}
    if not title:
        errors["title"] = "Write a message first."
    elif len(title) > LONGEST:
        errors["title"] = f"Use at most {LONGEST} characters."
    is_path = url.startswith("/") and not url.startswith("//") and "\\" not in url and url.isprintable()
    if url and (not is_path or len(url) > LONGEST):
        errors["url"] = "Enter a path on this site such as /pages/welcome, or leave it empty."
    if audience not in AUDIENCES:
        errors["audience"] = "Choose who receives it."
    if errors:
        raise FieldErrors(errors)


Listener = Callable[[str, str], None]
"""Told the channel and the line that was published; returns at once."""

_EXTENSION = "live_listeners"


def on_change(listener: Listener) -> Callable[[], None]:
    """Have ``listener`` told of all that this worker publishes; the returned function ends it."""
    listeners: list[Listener] = current_app.extensions.setdefault(_EXTENSION, [])
    listeners.append(listener)
    return lambda: listeners.remove(listener)


def publish(channel: str, line: str) -> None:
    """Tell everybody; to be called after the commit. Never raises."""
    for listener in tuple(current_app.extensions.get(_EXTENSION, ())):
        try:
            listener(channel, line)
        except Exception:
            log.exception("a listener failed", extra={"event": "live.listener_failed", "channel": channel})
    store.publish(channel, line)
