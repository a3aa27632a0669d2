"""The announcement that closes the site to visitors on all hosts."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from church.models.base import Base, PlainText


class Maintenance(Base):
    """Maintenance of the whole site: it is on while the table has its one row."""

    __tablename__ = "maintenance"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    reason: Mapped[str] = mapped_column(PlainText())
    """Shown to visitors; may be empty."""
    since: Mapped[datetime]
    until: Mapped[datetime | None]
    """The announced end, an estimate: the site stays closed until the row is deleted."""
    by: Mapped[str | None]
    """Ref of the admin's account; None for the command line. No foreign key: the row outlives accounts and restores."""
