"""Create, find and lock the rows of accounts; an address has one account at most."""

from __future__ import annotations

import secrets

from sqlalchemy import select
from sqlalchemy.orm import Session

from church.database.upsert import insert_for
from church.errors import ConflictError
from church.models import Link, User
from church.models.accounts import Purpose, Role
from church.models.base import utc_now
from church.services import email, email_links
from church.services.accounts.validation import Address


def new_ref() -> str:
    """Make the public id of an account."""
    return secrets.token_hex(8)


def create_account(
    session: Session,
    address: Address,
    *,
    name: str,
    source: str,
    password_hash: str | None = None,
    role: Role = Role.MEMBER,
    verified: bool = False,
) -> User | None:
    """Create an account; None if the address has one. Of several calls at once, one creates it."""
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


def find_by_key(session: Session, key: str) -> User | None:
    """Find the account of an address, with one indexed read."""
    return session.scalars(select(User).where(User.email_key == key)).first()


def lock_account(session: Session, user_id: int | None) -> User | None:
    """Lock an account until the transaction ends; None if it is disabled, deleted or missing."""
    query = select(User).where(User.id == user_id).with_for_update().execution_options(populate_existing=True)
    user = session.scalars(query).first()
    return user if user is not None and user.active else None


def lock_unchanged(session: Session, user: User) -> User:
    """Lock ``user``. Raises ConflictError if the password has changed since it was checked, or the account is gone."""
    current = lock_account(session, user.id)
    if current is None or current.password_hash != user.password_hash:
        raise ConflictError("The account was just changed elsewhere. Check it and try again.")
    return current


def redeem_and_lock(session: Session, token: str, purpose: Purpose) -> tuple[Link, User]:
    """Use up a link and lock its account; returns both. Raises LinkError.

    The account is locked before the link, as everywhere, so that two transactions cannot deadlock.
    """
    link = email_links.find(session, token, purpose)
    user = lock_account(session, link.user_id) if link is not None else None
    if user is None:
        raise email_links.LinkError
    return email_links.redeem(session, token, purpose), user


def email_new_link(session: Session, template: str, purpose: Purpose, user: User, recipient: str | None = None) -> bool:
    """Email ``user`` a new link, to the account's own address if no other is given.

    Returns False if too many of these emails were sent there: then nothing changes, and the previous link still works.
    """
    to = recipient or user.email
    if to is None:
        return False
    savepoint = session.begin_nested()
    link = email_links.make(session, purpose, user, to)
    if email.queue_email(session, template, recipient=to, user=user, link=link):
        savepoint.commit()
        return True
    savepoint.rollback()
    return False
