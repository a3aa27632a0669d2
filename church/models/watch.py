"""Where members are in the videos they watch, and whether they want that kept."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from church.models.base import Base


class WatchPosition(Base):
    """How far one member is in one video."""

    __tablename__ = "watch_positions"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    video_id: Mapped[int] = mapped_column(ForeignKey("videos.id"), primary_key=True, index=True)
    position_ms: Mapped[int] = mapped_column(BigInteger)
    finished: Mapped[bool]
    """Watched to the end, or nearly: the next time begins at the beginning."""
    updated_at: Mapped[datetime]


class WatchSetting(Base):
    """What one member wants; without a row: that the site remembers."""

    __tablename__ = "watch_settings"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    resume: Mapped[bool]
