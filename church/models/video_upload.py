"""A video on its way in: an upload in pieces, which goes on where it was broken off."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from church.models.base import Base, BigId, PlainText


class VideoUpload(Base):
    """One upload that is not complete; the last piece makes a video of it and deletes the row."""

    __tablename__ = "video_uploads"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    ref: Mapped[str] = mapped_column(unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    name: Mapped[str] = mapped_column(PlainText)
    """Of the file, as the browser told."""
    title: Mapped[str] = mapped_column(PlainText)
    description: Mapped[str] = mapped_column(PlainText)
    access_level: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    received: Mapped[int] = mapped_column(BigInteger, default=0)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    """Set anew by every piece."""
