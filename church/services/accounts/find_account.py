"""Create, find and lock the rows of accounts; an address has one account at most."""

from __future__ import annotations

import secrets

from sqlalchemy import ColumnElement, LargeBinary, cast, func, or_, select
from sqlalchemy.orm import Session

from church.database.upsert import insert_for
from church.errors import ConflictError
from church.lib.email_addresses import make_key
from church.models import Link, User
from church.models.accounts import Purpose, Role
from church.models.base import utc_now
from church.services import email, email_links
from church.services.accounts.validation import Address

_MOST_READ = 100_000  # accounts with letters outside ASCII that the doctor compares, in its few seconds


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
    if address.old_keys and find_by_address(session, address) is not None:
        return None
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


def find_by_address(session: Session, address: Address | None) -> User | None:
    """Find the account of an address, with one indexed read; None is looked up too, so that it takes the same time.

    An account may still have its key of an earlier release, because another one has the key that it should have. Its
    owner finds it by what they type; it comes first, since the other account has another spelling.
    """
    if address is None:
        address = Address("", "")
    found = session.scalars(select(User).where(User.email_key.in_({address.key, *address.old_keys}))).all()
    by_old_key = [user for user in found if user.email_key != address.key and make_key(user.email or "") == address.key]
    by_key = [user for user in found if user.email_key == address.key]
    exact = [user for user in by_key if user.email_key == address.typed.casefold()]
    return next(iter([*exact, *by_old_key, *by_key]), None)


def list_accounts_with_same_address(session: Session, most: int = 100) -> list[tuple[str, str]]:
    """List pairs of accounts with one address in two spellings, each as address and ref, the older first.

    One of the two has the key of the address, and the other still the key of an earlier release.
    """
    pairs: list[tuple[str, str]] = []
    for user in session.scalars(select(User).where(_may_have_old_key(session)).order_by(User.id).limit(_MOST_READ)):
        key = make_key(user.email or "")
        other = session.scalars(select(User).where(User.email_key == key)).first() if key != user.email_key else None
        if other is not None:
            older, newer = sorted((user, other), key=lambda account: account.id)
            pairs.append((f"{older.email} ({older.ref})", f"{newer.email} ({newer.ref})"))
        if len(pairs) == most:
            break
    return pairs


def _may_have_old_key(session: Session) -> ColumnElement[bool]:
    """Every account whose key may not be that of its address: SQL can't tell for letters outside ASCII."""
    sqlite = session.get_bind().dialect.name == "sqlite"
    size = func.length(cast(User.email, LargeBinary)) if sqlite else func.octet_length(User.email)
    return or_(User.email_key != func.lower(User.email), size != func.length(User.email))


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


def email_new_link(
    session: Session, template: str, purpose: Purpose, user: User, recipient: str | None = None, *, then: str = ""
) -> bool:
    """Email ``user`` a new link, to the account's own address if no other is given.

    ``then`` is the page on this site to open after it; the link carries it. Returns False if too many of these emails
    were sent there: then nothing changes, and the previous link still works.
    """
    to = recipient or user.email
    if to is None:
        return False
    savepoint = session.begin_nested()
    link = email_links.make(session, purpose, user, to)
    context = {"then": then} if then else {}
    if email.queue_email(session, template, recipient=to, user=user, link=link, **context):
        savepoint.commit()
        return True
    savepoint.rollback()
    return False
