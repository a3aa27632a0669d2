"""The searchable text of the videos, a number that every change of the library raises, and an index to page it by.

Triggers keep text and number, so that a process of the release before may still write. The text of the existing videos
is copied in batches, as it is; the job ``videos.index`` then prepares what is not in an alphabet.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_BATCH = 5000
_COPY = sa.text(
    """INSERT INTO video_texts (id, title, description, prepared)
    SELECT id, title, description, :prepared FROM videos WHERE id > :after ORDER BY id LIMIT :batch"""
)

_SQLITE = (
    """CREATE VIRTUAL TABLE video_texts_fts USING fts5(
        title, description, content='video_texts', content_rowid='id', prefix='1 2 3',
        tokenize="unicode61 remove_diacritics 2")""",
    """CREATE TRIGGER video_texts_insert AFTER INSERT ON video_texts BEGIN
        INSERT INTO video_texts_fts(rowid, title, description) VALUES (new.id, new.title, new.description); END""",
    """CREATE TRIGGER video_texts_delete AFTER DELETE ON video_texts BEGIN
        INSERT INTO video_texts_fts(video_texts_fts, rowid, title, description)
        VALUES ('delete', old.id, old.title, old.description); END""",
    """CREATE TRIGGER video_texts_update AFTER UPDATE OF title, description ON video_texts
        WHEN old.title IS NOT new.title OR old.description IS NOT new.description BEGIN
        INSERT INTO video_texts_fts(video_texts_fts, rowid, title, description)
        VALUES ('delete', old.id, old.title, old.description);
        INSERT INTO video_texts_fts(rowid, title, description) VALUES (new.id, new.title, new.description); END""",
)
# The version rises with what readers see of a video, not with the progress of an import.
_SQLITE_ON_VIDEOS = (
    """CREATE TRIGGER videos_text_insert AFTER INSERT ON videos BEGIN
        INSERT INTO video_texts (id, title, description, prepared)
        VALUES (new.id, new.title, new.description, 0); END""",
    """CREATE TRIGGER videos_text_update AFTER UPDATE OF title, description ON videos BEGIN
        UPDATE video_texts SET title = new.title, description = new.description, prepared = 0 WHERE id = new.id; END""",
    """CREATE TRIGGER videos_version_insert AFTER INSERT ON videos WHEN new.state = 'ready' BEGIN
        INSERT INTO video_library (id, version) VALUES (1, 1)
        ON CONFLICT (id) DO UPDATE SET version = video_library.version + 1; END""",
    """CREATE TRIGGER videos_version_update AFTER UPDATE OF
        slug, title, description, access_level, state, duration_ms, width, height, has_poster, published_at ON videos
        WHEN old.state = 'ready' OR new.state = 'ready' BEGIN
        INSERT INTO video_library (id, version) VALUES (1, 1)
        ON CONFLICT (id) DO UPDATE SET version = video_library.version + 1; END""",
    """CREATE TRIGGER videos_version_delete AFTER DELETE ON videos WHEN old.state = 'ready' BEGIN
        INSERT INTO video_library (id, version) VALUES (1, 1)
        ON CONFLICT (id) DO UPDATE SET version = video_library.version + 1; END""",
)
_POSTGRESQL = (
    """ALTER TABLE video_texts
        ADD COLUMN title_search tsvector GENERATED ALWAYS AS (to_tsvector('simple', church_fold(title))) STORED,
        ADD COLUMN search tsvector GENERATED ALWAYS AS
            (to_tsvector('simple', church_fold(title || E'\\n' || description))) STORED""",
    "CREATE INDEX ix_video_texts_title_search ON video_texts USING gin (title_search)",
    "CREATE INDEX ix_video_texts_search ON video_texts USING gin (search)",
)
# By statement where it can be: one row that a statement of 1,000 videos changed 1,000 times would be 1,000 dead rows.
_POSTGRESQL_ON_VIDEOS = (
    """CREATE FUNCTION church_copy_video_text() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF TG_OP = 'INSERT' THEN
            INSERT INTO video_texts (id, title, description, prepared)
            VALUES (new.id, new.title, new.description, false);
        ELSE
            UPDATE video_texts SET title = new.title, description = new.description, prepared = false
            WHERE id = new.id;
        END IF;
        RETURN NULL; END $$""",
    """CREATE FUNCTION church_raise_video_version() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO video_library (id, version) VALUES (1, 1)
        ON CONFLICT (id) DO UPDATE SET version = video_library.version + 1;
        RETURN NULL; END $$""",
    """CREATE TRIGGER videos_text AFTER INSERT OR UPDATE OF title, description ON videos
        FOR EACH ROW EXECUTE FUNCTION church_copy_video_text()""",
    """CREATE TRIGGER videos_version AFTER INSERT OR DELETE OR UPDATE OF
        slug, title, description, access_level, state, duration_ms, width, height, has_poster, published_at ON videos
        FOR EACH STATEMENT EXECUTE FUNCTION church_raise_video_version()""",
)
_TRIGGERS_ON_VIDEOS = (
    "videos_text_insert", "videos_text_update", "videos_version_insert", "videos_version_update",
    "videos_version_delete",
)  # fmt: skip


def upgrade() -> None:
    op.drop_index("ix_videos_state_published_at", "videos")
    op.create_index("ix_videos_state_published_at", "videos", ["state", "published_at", "id"])
    op.create_table(
        "video_library",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_video_library"),
    )
    _video_texts()
    for statement in _POSTGRESQL if _on_postgresql() else _SQLITE:
        op.execute(statement)
    _copy_texts()
    for statement in _POSTGRESQL_ON_VIDEOS if _on_postgresql() else _SQLITE_ON_VIDEOS:
        op.execute(statement)


def downgrade() -> None:
    if _on_postgresql():
        op.execute("DROP TRIGGER videos_text ON videos")
        op.execute("DROP TRIGGER videos_version ON videos")
        op.execute("DROP FUNCTION church_copy_video_text()")
        op.execute("DROP FUNCTION church_raise_video_version()")
    else:
        for name in _TRIGGERS_ON_VIDEOS:
            op.execute(f"DROP TRIGGER {name}")
        op.execute("DROP TABLE video_texts_fts")
    op.drop_table("video_texts")
    op.drop_table("video_library")
    op.drop_index("ix_videos_state_published_at", "videos")
    op.create_index("ix_videos_state_published_at", "videos", ["state", "published_at"])


def _on_postgresql() -> bool:
    return op.get_context().dialect.name == "postgresql"


def _video_texts() -> None:
    op.create_table(
        "video_texts",
        sa.Column("id", _ID, autoincrement=False, nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("prepared", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_video_texts"),
        sa.ForeignKeyConstraint(["id"], ["videos.id"], name="fk_video_texts_id_videos", ondelete="CASCADE"),
    )
    only = sa.text("NOT prepared" if _on_postgresql() else "prepared = 0")
    op.create_index("ix_video_texts_prepared", "video_texts", ["prepared"], sqlite_where=only, postgresql_where=only)


def _copy_texts() -> None:
    connection = op.get_bind()
    last = 0
    while True:
        copied = connection.execute(_COPY, {"prepared": False, "after": last, "batch": _BATCH})
        if copied.rowcount < _BATCH:
            return
        last = connection.execute(sa.text("SELECT max(id) FROM video_texts")).scalar_one()
