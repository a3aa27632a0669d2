"""Search the videos by title and description, which everyone may read, with the same rules as the search of pages.

All words must match, the last one may be the beginning of a longer word, and case and accents are ignored. Videos that
have all words in their title come first; among equals the newest comes first. So a search reads as many rows as it
shows, however many match.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select, table, union, update
from sqlalchemy import literal_column as raw
from sqlalchemy import text as statement_text
from sqlalchemy.orm import Session

from church import jobs
from church.database.batches import BATCH, PAUSE
from church.extensions import db
from church.models import Video, VideoText
from church.models.base import plain
from church.models.videos import VideoState
from church.services.pages import Piece, index_text, remove_accents, split_query

_INDEX = "videos.index"
_INDEX_EVERY = timedelta(minutes=15)
_FTS = table("video_texts_fts")  # no model: only triggers write to it
_MOST_SHARED = 6  # words of a title, the longest, for which related videos are looked up
_MANY = 1000  # videos with a word that is common
_BY_INDEX = statement_text("SET LOCAL enable_seqscan = off")
_KEY = re.compile(r"(title|text)-([1-9][0-9]{0,17})")

_Matches = ColumnElement[bool]


@dataclass(frozen=True)
class SearchKey:
    """A place in the results: after the video ``id``, which has all words in its title or not."""

    in_title: bool
    id: int

    def __str__(self) -> str:
        """Return the key as it is in addresses."""
        return f"{'title' if self.in_title else 'text'}-{self.id}"


def read_search_key(text: str) -> SearchKey | None:
    """Read a key of an address; None if it is not one."""
    found = _KEY.fullmatch(text)
    return SearchKey(found[1] == "title", int(found[2])) if found else None


def find_ids(session: Session, query: str, after: SearchKey | None, limit: int) -> list[SearchKey]:
    """Find the ready videos with every word of ``query`` that come after the key, in order, at most ``limit``."""
    pieces = split_query(query)
    if not pieces:
        return []
    _read_by_index(session)
    found: list[SearchKey] = []
    for in_title in (True, False):
        if after is not None and after.in_title < in_title:
            continue
        before = after.id if after is not None and after.in_title == in_title else None
        statement = _statement(session, pieces, in_title=in_title, before=before).limit(limit - len(found))
        found += [SearchKey(in_title, video_id) for video_id in session.scalars(statement)]
        if len(found) >= limit:
            break
    return found


def find_like_titled(session: Session, title: str, limit: int) -> list[int]:
    """Find ready videos whose title shares a word with ``title``: of each word the newest, at most ``limit``."""
    words = sorted({piece.text: piece for piece in split_query(title)}.values(), key=lambda piece: -len(piece.text))
    if not words:
        return []
    _read_by_index(session)
    like = _like_on_sqlite if session.get_bind().dialect.name == "sqlite" else _like_on_postgresql
    newest = [like(session, word).limit(limit).subquery() for word in words[:_MOST_SHARED]]
    return list(session.scalars(union(*(select(found) for found in newest))))


def _read_by_index(session: Session) -> None:
    """Keep PostgreSQL from reading whole tables, which it would do where it expects many hits."""
    if session.get_bind().dialect.name != "sqlite":
        session.execute(_BY_INDEX)


def _like_on_sqlite(_session: Session, word: Piece) -> Select[Any]:
    return _on_sqlite(f'title : "{word.indexed}"')


def _like_on_postgresql(session: Session, word: Piece) -> Select[Any]:
    title: ColumnElement[Any] = raw("video_texts.title_search")
    return _on_postgresql(session, title.op("@@")(_tsquery(_phrase(word))))


def _statement(session: Session, pieces: Sequence[Piece], *, in_title: bool, before: int | None) -> Select[Any]:
    """Find the IDs of videos with all pieces in the title, or of the others that have all pieces; newest first."""
    on_sqlite = session.get_bind().dialect.name == "sqlite"
    if on_sqlite:
        statement = _match_sqlite(pieces, in_title=in_title)
    else:
        statement = _match_postgresql(session, pieces, in_title=in_title)
    if before is None:
        return statement
    return statement.where((raw("video_texts_fts.rowid") if on_sqlite else VideoText.id) < before)


def _match_sqlite(pieces: Sequence[Piece], *, in_title: bool) -> Select[Any]:
    words = " AND ".join(f'"{piece.indexed}"' for piece in pieces) + ("" if pieces[-1].letters else " *")
    statement = _on_sqlite(f"title : ({words})" if in_title else f"({words}) NOT (title : ({words}))")
    # The tokenizer drops the marks of letters, so that these pieces are compared in the text itself.
    marked = [piece for piece in pieces if piece.has_marks]
    if not marked:
        return statement
    statement = statement.join(VideoText, VideoText.id == Video.id)
    columns = (VideoText.title,) if in_title else (VideoText.title, VideoText.description)
    return statement.where(*(or_(*(func.instr(text, piece.indexed) > 0 for text in columns)) for piece in marked))


def _on_sqlite(match: str) -> Select[Any]:
    rowid: ColumnElement[int] = raw("video_texts_fts.rowid")
    index: ColumnElement[Any] = raw("video_texts_fts")
    found = select(rowid.label("id")).select_from(_FTS).join(Video, Video.id == rowid)
    return found.where(index.op("MATCH")(match), Video.state == VideoState.READY.value).order_by(rowid.desc())


def _match_postgresql(session: Session, pieces: Sequence[Piece], *, in_title: bool) -> Select[Any]:
    words = " & ".join(_phrase(piece) for piece in pieces) + ("" if pieces[-1].letters else ":*")
    title: ColumnElement[Any] = raw("video_texts.title_search")
    text: ColumnElement[Any] = raw("video_texts.search")
    wanted = _tsquery(words)
    matches: _Matches = title.op("@@")(wanted) if in_title else text.op("@@")(wanted) & ~title.op("@@")(wanted)
    return _on_postgresql(session, matches)


def _on_postgresql(session: Session, matches: _Matches) -> Select[Any]:
    """Find videos, newest first: a common word from the newest video on, a rare one by the index of the words.

    PostgreSQL, which knows few words, would look for a rare one from the newest video on, through all of them.
    """
    some = select(VideoText.id).where(matches).limit(_MANY).subquery()
    is_rare = session.scalars(select(func.count()).select_from(some)).one() < _MANY
    found = select(VideoText.id).join(Video, Video.id == VideoText.id)
    newest = (VideoText.id + 0 if is_rare else VideoText.id).desc()
    return found.where(matches, Video.state == VideoState.READY.value).order_by(newest)


def _tsquery(words: str) -> ColumnElement[Any]:
    return func.to_tsquery("simple", words)


def _phrase(piece: Piece) -> str:
    letters = piece.letters or (piece.text,)
    return " <-> ".join(f"'{remove_accents(letter)}'" for letter in letters)


# -- the index ------------------------------------------------------------------------------------------------------


def prepare_text(session: Session, video: Video) -> None:
    """Prepare the text of a new or changed video for the search, in the caller's transaction."""
    session.flush()  # only then have the triggers copied the text
    _prepare(session, [(video.id, video.title, video.description)])


def _prepare(session: Session, videos: Iterable[Sequence[Any]]) -> None:
    unchanged = []
    for video_id, title, description in videos:
        texts = {"title": index_text(plain(title)), "description": index_text(plain(description))}
        if texts == {"title": title, "description": description}:
            unchanged.append(video_id)
        else:
            _update(session, VideoText.id == video_id, **texts)
    if unchanged:
        _update(session, VideoText.id.in_(unchanged))


def _update(session: Session, which: ColumnElement[bool], **texts: str) -> None:
    wanted = update(VideoText).where(which).values(**texts, prepared=True)
    session.execute(wanted.execution_options(synchronize_session=False))


@jobs.every(_INDEX_EVERY, _INDEX)
def prepare_texts(_payload: dict[str, Any]) -> None:
    """Prepare the texts that a migration, or a process of an older release, has copied as they are."""
    waiting = select(VideoText.id).where(~VideoText.prepared).order_by(VideoText.id).limit(BATCH)
    while True:
        with db.write() as session:
            ids = list(session.scalars(waiting))
            videos = select(Video.id, Video.title, Video.description).where(Video.id.in_(ids))
            _prepare(session, session.execute(videos.with_for_update()).all())
        if len(ids) < BATCH:
            return
        time.sleep(PAUSE)
