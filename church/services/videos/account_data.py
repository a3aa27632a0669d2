"""What the library keeps of an account: its part of the member's data export, and its deletion with the account.

Positions in videos and unfinished uploads belong to the account. A finished upload has become a video of the site.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from church.models import User, Video, VideoUpload, WatchPosition, WatchSetting
from church.services.accounts import register_deletion, register_export
from church.services.videos import positions


@register_export("uploads")
def export_uploads(session: Session, user: User) -> list[dict[str, Any]]:
    """Export the account's unfinished uploads."""
    rows = session.scalars(select(VideoUpload).where(VideoUpload.user_id == user.id).order_by(VideoUpload.id))
    return [
        {
            "file": row.name,
            "title": row.title,
            "size": row.size,
            "received": row.received,
            "created_at": row.created_at.isoformat(),
        }
        for row in rows
    ]


@register_export("watching")
def export_positions(session: Session, user: User) -> dict[str, Any]:
    """Export where the member left off, last watched first, and whether resume is turned on."""
    query = select(WatchPosition, Video.slug).join(Video).where(WatchPosition.user_id == user.id)
    rows = session.execute(query.order_by(WatchPosition.updated_at.desc()))
    return {
        "remembered": positions.is_resume_on(session, user.id),
        "videos": [
            {
                "video": slug,
                "position_ms": row.position_ms,
                "finished": row.finished,
                "updated_at": row.updated_at.isoformat(),
            }
            for row, slug in rows
        ],
    }


@register_deletion
def delete_account_data(session: Session, user: User) -> None:
    """Delete the account's positions, resume setting and unfinished uploads; the hourly clean-up deletes the files."""
    for model in (VideoUpload, WatchPosition, WatchSetting):
        session.execute(delete(model).where(model.user_id == user.id))
