"""Videos: the library, its renditions and captions, unfinished uploads, and members' playback positions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    _videos()
    _renditions()
    _captions()
    _uploads()
    _watching()


def downgrade() -> None:
    for table in ("watch_settings", "watch_positions", "video_uploads", "video_captions", "video_renditions", "videos"):
        op.drop_table(table)


def _videos() -> None:
    op.create_table(
        "videos",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("ref", sa.String(), nullable=False),
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("access_level", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("progress", sa.Integer(), nullable=False),
        sa.Column("source_name", sa.Text(), nullable=False),
        sa.Column("source_bytes", sa.BigInteger(), nullable=False),
        sa.Column("duration_ms", sa.BigInteger()),
        sa.Column("width", sa.Integer()),
        sa.Column("height", sa.Integer()),
        sa.Column("has_poster", sa.Boolean(), nullable=False),
        sa.Column("has_thumbs", sa.Boolean(), nullable=False),
        sa.Column("plain", sa.Boolean(), nullable=False),
        sa.Column("chapters", _JSON, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("published_at", _TIME),
        sa.Column("uploaded_by", _BIG_ID),
        sa.CheckConstraint("state IN ('queued', 'working', 'ready', 'failed')", name="ck_videos_state"),
        sa.CheckConstraint("access_level IN ('public', 'members', 'premium')", name="ck_videos_access_level"),
        sa.CheckConstraint("progress BETWEEN 0 AND 100", name="ck_videos_progress"),
        sa.PrimaryKeyConstraint("id", name="pk_videos"),
        sa.UniqueConstraint("ref", name="uq_videos_ref"),
        sa.UniqueConstraint("slug", name="uq_videos_slug"),
        sa.ForeignKeyConstraint(["uploaded_by"], ["users.id"], name="fk_videos_uploaded_by_users"),
    )
    op.create_index("ix_videos_state_published_at", "videos", ["state", "published_at"])


def _renditions() -> None:
    op.create_table(
        "video_renditions",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("video_id", _BIG_ID, nullable=False),
        sa.Column("quality", sa.String(), nullable=False),
        sa.Column("file", sa.String(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("bitrate", sa.Integer(), nullable=False),
        sa.Column("etag", sa.String(), nullable=False),
        sa.Column("in_bucket", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_video_renditions"),
        sa.UniqueConstraint("video_id", "quality", name="uq_video_renditions_video_id_quality"),
        sa.ForeignKeyConstraint(["video_id"], ["videos.id"], name="fk_video_renditions_video_id_videos"),
    )


def _captions() -> None:
    op.create_table(
        "video_captions",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("video_id", _BIG_ID, nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("file", sa.String(), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_video_captions"),
        sa.UniqueConstraint("video_id", "language", name="uq_video_captions_video_id_language"),
        sa.ForeignKeyConstraint(["video_id"], ["videos.id"], name="fk_video_captions_video_id_videos"),
    )


def _uploads() -> None:
    op.create_table(
        "video_uploads",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("ref", sa.String(), nullable=False),
        sa.Column("user_id", _BIG_ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("access_level", sa.String(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("received", sa.BigInteger(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_video_uploads"),
        sa.UniqueConstraint("ref", name="uq_video_uploads_ref"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_video_uploads_user_id_users"),
    )
    op.create_index("ix_video_uploads_user_id", "video_uploads", ["user_id"])


def _watching() -> None:
    op.create_table(
        "watch_positions",
        sa.Column("user_id", _BIG_ID, nullable=False),
        sa.Column("video_id", _BIG_ID, nullable=False),
        sa.Column("position_ms", sa.BigInteger(), nullable=False),
        sa.Column("finished", sa.Boolean(), nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "video_id", name="pk_watch_positions"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_watch_positions_user_id_users"),
        sa.ForeignKeyConstraint(["video_id"], ["videos.id"], name="fk_watch_positions_video_id_videos"),
    )
    op.create_index("ix_watch_positions_video_id", "watch_positions", ["video_id"])
    op.create_table(
        "watch_settings",
        sa.Column("user_id", _BIG_ID, nullable=False),
        sa.Column("resume", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_watch_settings"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_watch_settings_user_id_users"),
    )
