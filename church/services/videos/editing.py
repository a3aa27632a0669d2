"""What admins do with existing videos: list, edit, retry a failed import, delete."""

from __future__ import annotations

import logging
from datetime import timedelta

from sqlalchemy import delete as delete_rows
from sqlalchemy import select
from sqlalchemy.orm import Session

from church import jobs
from church.config import current_settings
from church.database import after_commit
from church.database.paging import NEWEST, ListPage, Place, fetch_page
from church.errors import ConflictError, FieldErrors
from church.extensions import db
from church.models import Caption, Rendition, Video, WatchPosition
from church.models.base import plain
from church.models.videos import VideoState
from church.services import audit
from church.services.access import Access
from church.services.audit import Actor
from church.services.videos import queries
from church.services.videos.descriptions import is_valid_slug
from church.services.videos.newest import mark_changed
from church.services.videos.presenters import AdminVideo, VideoDraft
from church.services.videos.search import prepare_text
from church.services.videos.storage.bucket import REMOVE_JOB

IMPORT_JOB = "videos.import"
MAX_TITLE_LENGTH = 200
MAX_DESCRIPTION_LENGTH = 5000
_MAX_ATTEMPTS = 5

log = logging.getLogger("church.videos")


def list_for_admin(state: VideoState | None = None, place: Place = NEWEST) -> ListPage[AdminVideo]:
    """List videos for admins, newest first, optionally those of one state."""
    query = select(Video)
    if state is not None:
        query = query.where(Video.state == state.value)
    with db.read() as session:
        found = fetch_page(session, query, Video.id, Video.created_at, place)
        views = queries.make_admin_views(session, current_settings(), [row[0] for row in found])
    return ListPage(views, found.older, found.newer)


def load_for_admin(ref: str) -> AdminVideo:
    """Load one video in any state by its ref. Raises UnknownVideoError."""
    with db.read() as session:
        return queries.make_admin_views(session, current_settings(), [queries.load_by_ref(session, ref)])[0]


def find_video(which: str) -> AdminVideo | None:
    """Find a video by its slug or its ref."""
    with db.read() as session:
        video = session.scalars(select(Video).where((Video.slug == which) | (Video.ref == which))).first()
        return queries.make_admin_views(session, current_settings(), [video])[0] if video is not None else None


def edit_video(ref: str, title: str, access: str, description: str, actor: Actor) -> None:
    """Change title, access and description of a video; its slug stays. Raises UnknownVideoError, FieldErrors."""
    draft = validate_draft(VideoDraft(title, access, description))
    with db.write() as session:
        video = queries.load_by_ref(session, ref, lock=True)
        values = {"title": draft.title, "access_level": draft.access, "description": draft.description}
        changed = [name for name, value in values.items() if getattr(video, name) != value]
        for name in changed:
            setattr(video, name, values[name])
        if {"title", "description"} & set(changed):
            prepare_text(session, video)
        if changed:
            audit.record_by(session, "video.edited", actor, video=video.slug, fields=changed)
            after_commit(session, mark_changed)
    log.info("video edited", extra={"event": "video.edited", "video": video.slug, "fields": changed})


def retry_import(ref: str, actor: Actor, delay: timedelta = timedelta(0)) -> None:
    """Queue a failed import again, to start after ``delay``. Raises UnknownVideoError, ConflictError if not failed."""
    with db.write() as session:
        video = queries.load_by_ref(session, ref, lock=True)
        if video.state != VideoState.FAILED:
            raise ConflictError("Only a failed import can be retried.")
        video.state, video.reason, video.progress = VideoState.QUEUED.value, None, 0
        queue_import(session, video.ref, delay)
        audit.record_by(session, "video.retried", actor, video=video.slug)
    log.info("import queued again", extra={"event": "video.retried", "video": video.slug})


def delete_video(ref: str, actor: Actor) -> None:
    """Delete the rows of a video now and queue the deletion of its files. A running import stops by itself.

    Raises UnknownVideoError.
    """
    with db.write() as session:
        video = queries.load_by_ref(session, ref, lock=True)
        files = list(session.scalars(select(Rendition.file).where(Rendition.video_id == video.id, Rendition.in_bucket)))
        for model in (WatchPosition, Caption, Rendition):
            session.execute(delete_rows(model).where(model.video_id == video.id))
        session.delete(video)
        jobs.enqueue(session, REMOVE_JOB, {"ref": ref, "bucket": files}, unique_key=f"{REMOVE_JOB}:{ref}")
        audit.record_by(session, "video.deleted", actor, video=video.slug, title=video.title)
        after_commit(session, mark_changed)
    log.info("video deleted", extra={"event": "video.deleted", "video": video.slug})


def queue_import(session: Session, ref: str, delay: timedelta = timedelta(0)) -> None:
    """Queue the import of a video in the caller's write transaction.

    During ``delay`` the caller can still hold the job by its key and run the import itself.
    """
    key = make_import_key(ref)
    jobs.enqueue(session, IMPORT_JOB, {"ref": ref}, unique_key=key, delay=delay, max_attempts=_MAX_ATTEMPTS)


def make_import_key(ref: str) -> str:
    """Return the unique key of a video's import job: only one of them can be in the queue."""
    return f"{IMPORT_JOB}:{ref}"


def validate_draft(draft: VideoDraft) -> VideoDraft:
    """Return ``draft`` with whitespace cleaned up. Raises FieldErrors with every invalid field."""
    title, description = " ".join(plain(draft.title).split()), plain(draft.description).strip().replace("\r\n", "\n")
    slug = draft.slug.strip().lower()
    errors: dict[str, str] = {}
    if not title:
        errors["title"] = "Enter a title."
    elif len(title) > MAX_TITLE_LENGTH:
        errors["title"] = f"Use at most {MAX_TITLE_LENGTH} characters."
    if draft.access not in set(Access):
        errors["access"] = "Choose public, members or premium."
    if len(description) > MAX_DESCRIPTION_LENGTH:
        errors["description"] = f"Use at most {MAX_DESCRIPTION_LENGTH:,} characters."
    if slug and not is_valid_slug(slug):
        errors["slug"] = "Use lower-case letters, digits and hyphens. No other video may have this address."
    if errors:
        raise FieldErrors(errors)
    return VideoDraft(title, draft.access, description, slug)
