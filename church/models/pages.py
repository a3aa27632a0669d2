"""The searchable text of the pages.

A page has a row of scope ``full`` with its whole text and, if access is limited, a row of scope ``open`` with what
everyone may read. ``stamp`` identifies the file that it was made of; rows of before an upgrade have none.
"""

from __future__ import annotations

from sqlalchemy import CheckConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from church.models.base import Base, BigId, PlainText


class PageText(Base):
    """The text of one page in one scope; ``(slug, scope)`` is its key, also in ``session.get``."""

    __tablename__ = "page_texts"
    __table_args__ = (
        UniqueConstraint("slug", "scope"),
        CheckConstraint("scope IN ('open', 'full')", name="scope"),
        CheckConstraint("access IN ('public', 'members', 'premium')", name="access"),
    )

    # FTS5 refers to rows by number, and only a declared INTEGER PRIMARY KEY survives VACUUM (sqlite.org/lang_vacuum).
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    slug: Mapped[str] = mapped_column()
    scope: Mapped[str] = mapped_column()
    title: Mapped[str] = mapped_column(PlainText)
    summary: Mapped[str] = mapped_column(PlainText)
    tags: Mapped[str] = mapped_column(PlainText)
    body: Mapped[str] = mapped_column(PlainText)
    access: Mapped[str]
    stamp: Mapped[str | None]

    __mapper_args__ = {"primary_key": [slug, scope]}  # noqa: RUF012 (SQLAlchemy expects a dict)
