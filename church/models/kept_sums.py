"""Sums that triggers keep, so that no page and no scrape has to add up a table that grows."""

from __future__ import annotations

from sqlalchemy import BigInteger, Index
from sqlalchemy.orm import Mapped, mapped_column

from church.models.base import Base, BigId


class KeptSum(Base):
    """How many rows belong to ``key`` and what they sum up to: the sum of all rows with this ``name`` and ``key``.

    ``church.database.kept_sums`` says which there are, and how they are kept.
    """

    __tablename__ = "kept_sums"
    __table_args__ = (Index("ix_kept_sums_name_key", "name", "key"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str]
    key: Mapped[str]
    count: Mapped[int] = mapped_column(BigInteger)
    amount: Mapped[int] = mapped_column(BigInteger)
