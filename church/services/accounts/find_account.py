"""The rows of accounts: made once an address, found, locked."""

from __future__ import annotations

import secrets

from sqlalchemy import select
from sqlalchemy.orm import Session

from church.database.upsert import insert_for
from church.errors import ConflictError
from church.models import Link, User
from church.models.accounts import Purpose, Role
from church.models.base import utc_now
from church.services import email_links
from church.services.accounts.validation import Address
from church.services.email import queue


def new_ref() -> str:
    """A name for an account outside the database."""
    return secrets.token_hex(8)


def add(
    session: Session,
    address: Address,
    *,
    name: str,
    source: str,
    password_hash: str | None = None,
    role: Role = Role.MEMBER,
    verified: bool = False,
) -> User | None:
    """A new account, or None where the address has one; of many who try at once one makes it."""
    now = utc_now()
    values = {
        "ref": new_ref(),
        "email": address.email,
        "email_key": address.key,
        "name": name,
        "role": role.value,
        "password_hash": password_hash,
        "password_changed_at": now if password_hash else None,
        "source": source,
        "created_at": now,
        "verified_at": now if verified else None,
    }
    statement = (
        insert_for(session, User).values(values).on_conflict_do_nothing(index_elements=["email_key"]).returning(User)
    )
    return session.scalars(statement).first()


def by_key(session: Session, key: str) -> User | None:
    """The account of an address; one indexed read."""
    return session.scalars(select(User).where(User.email_key == key)).first()


def locked(session: Session, user_id: int | None) -> User | None:
    """An account as it is now, kept so until this transaction ends; None when nobody may sign in to it."""
    same = select(User).where(User.id == user_id).with_for_update().execution_options(populate_existing=True)
    user = session.scalars(same).first()
    return user if user is not None and user.active else None


def unchanged(session: Session, user: User) -> User:
    """``user``, locked, if the password is still the one that was checked before this transaction.

    Raises ConflictError.
    """
    found = locked(session, user.id)
    if found is None or found.password_hash != user.password_hash:
        raise ConflictError("The account was just changed elsewhere. Check it and try again.")
    return found


def redeemed(session: Session, token: str, purpose: Purpose) -> tuple[Link, User]:
    """The link, used up, and its account, locked. Raises LinkError.

    The account is locked before the link, as by everybody who closes links: two never wait for each other in a ring.
    """
    link = email_links.find(session, token, purpose)
    user = locked(session, link.user_id) if link is not None else None
    if user is None:
        raise email_links.LinkError
    return email_links.redeem(session, token, purpose), user


def mail_link(session: Session, template: str, purpose: Purpose, user: User, recipient: str | None = None) -> bool:
    """Mail ``user`` a new link, to the account's own address if none is given.

    False where too many such mails went there already: then nothing changes, and the link that was mailed before
    stays good.
    """
    to = recipient or user.email
    if to is None:
        return False
    attempt = session.begin_nested()
    link = email_links.make(session, purpose, user, to)
    if queue.queue(session, template, recipient=to, user=user, link=link):
        attempt.commit()
        return True
    attempt.rollback()
    return False
