"""Answers that are the same for every stranger, kept as the bytes that are sent: body, coding and head.

A view says with ``offer`` that its answer depends on the path and on the named query parameters alone. The server's
door (``church.server.kept_answers``) then keeps the bytes of the first such answer for each coding, and sends them
again without asking the app. Nothing is rendered for that: the first answer went to a visitor, with everything that is
counted and checked for one.

What answers are made of registers here with ``depends_on``: a function that returns something that changes with it.
It is read before an answer is made, and again before the answer is sent from here. None means that the state is not
known: such an answer is not kept. In addition, none is kept for longer than ``LONGEST`` seconds.
"""

from __future__ import annotations

import gzip
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, ParamSpec

import brotli
from flask import current_app, request
from werkzeug.wsgi import ClosingIterator

from church.lib.threads import run_off_hub, start_beside
from church.web import maintenance
from church.web.compression import IDENTITY
from church.web.rate_limits import SETTLED_SOON, limits_of

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment
    from flask import Flask

log = logging.getLogger("church.answers")

LONGEST: Final = 60.0
"""Seconds for which an answer is kept at most, since a text may name the time."""
DRAFT: Final = "church.draft"
"""The key in the environ for the Draft of an answer that may be kept."""

_MOST_BYTES = 8 * 1024 * 1024  # of all answers in a worker
_MOST_BYTES_OF_ONE = 512 * 1024
_BYTES_BESIDE = 2_000  # of an answer, in memory, beside its body and its target
_BEST_AFTER = 3  # answers from here, after which the best compression is worth its time
_MOST_WAITING = 32  # answers that wait for the best compression
_MOST_BEST = 32  # best bodies that are kept for other addresses of the same text
_BEST_BYTES = 256 * 1024  # of a body as it is, up to which the best compression takes a tenth of a second
_BROTLI_BEST, _GZIP_BEST = 11, 9
_IMPROVED = frozenset({"br", "gzip"})
_VARIES = frozenset({"cookie", "accept-encoding"})  # what the door chooses by
_EXTENSION = "answer_cache"
_P = ParamSpec("_P")

Maker = Callable[[str, Mapping[str, str]], bytes]
"""Writes a body anew: from the client's address and the header fields of the request, by their names in capitals."""


class Key(NamedTuple):
    """What an answer is kept by: the request target as it was sent, and the coding that the client prefers."""

    target: str
    coding: str


@dataclass(frozen=True, slots=True)
class Terms:
    """What a view says of an answer that it offers."""

    route: str
    path: str
    limit: str | None
    """The rate limit that counts a request for it."""
    in_maintenance: bool
    """Whether it is sent while the site is closed."""
    depends_on: tuple[str, ...]
    is_current: Callable[[], bool] | None
    make: Maker | None
    repeats: tuple[Callable[[], None], ...]


@dataclass(slots=True)
class Answer:
    """A status such as ``200 OK``, header lines in which ``%(length)d`` and ``%(id)b`` are filled in, and a body."""

    status: str
    head: bytes
    body: bytes

    @property
    def code(self) -> int:
        """The status as a number."""
        return int(self.status[:3])


@dataclass(slots=True)
class Kept:
    """An answer for one Key, and the 304 for clients that have it already."""

    key: Key
    terms: Terms
    readers: tuple[Callable[[], Any], ...]
    marks: tuple[Any, ...]
    """What ``readers`` returned before the answer was made."""
    until: float
    answer: Answer
    etag: str | None
    coding: str
    """What the body is compressed by. A short text and a picture are as they are, whatever the client prefers."""
    unchanged: Answer | None = None
    uses: int = 0
    is_best: bool = False
    size: int = 0
    """Bytes in memory, nearly: of the ordinary body, also once a better compressed one is in its place."""

    def is_current(self, marks: tuple[Any, ...]) -> bool:
        """Whether nothing has changed since it was made; ``marks`` are what ``readers`` return now."""
        if time.monotonic() >= self.until or marks != self.marks:
            return False
        return self.terms.is_current is None or self.terms.is_current()


class KeptAnswers:
    """The answers of one worker. Beyond ``room`` bytes, drops those that were not sent for the longest time."""

    def __init__(self, room: int = _MOST_BYTES) -> None:
        self._room = room
        self._size = 0
        self._kept: OrderedDict[Key, Kept] = OrderedDict()
        self._readers: dict[str, Callable[[], Any]] = {}
        self._improver = _Improver()

    def depends_on(self, name: str, read: Callable[[], Any]) -> None:
        """Register what answers are made of; ``read`` is called for each request, so it must cost microseconds."""
        self._readers[name] = read

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of all that was registered."""
        return tuple(self._readers)

    def find(self, key: Key) -> Kept | None:
        """Return the answer if it is still current."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        marks = tuple([read() for read in kept.readers])
        if kept.is_current(marks):
            return kept
        if None in marks:  # not known just now
            return None
        kept.until = 0.0  # for good; its body may serve again, if the next answer has the same text
        return None

    def use(self, kept: Kept) -> None:
        """Note that an answer is sent. Those that are sent often get the best compression."""
        kept.uses += 1
        if kept.key in self._kept:
            self._kept.move_to_end(kept.key)
        if kept.uses == _BEST_AFTER and not kept.is_best:
            self._improver.improve(kept)

    def begin(self, key: Key) -> Draft:
        """Begin to make an answer: what it depends on is noted before anything of it is read."""
        return Draft(self, key, {name: read() for name, read in self._readers.items()})

    def keep(self, draft: Draft, terms: Terms, answer: Answer, etag: str | None, coding: str) -> None:
        """Keep an answer, unless it may be older than what it depends on."""
        marks = tuple(draft.marks[name] for name in terms.depends_on)
        if None in marks:
            return
        readers = tuple(self._readers[name] for name in terms.depends_on)
        kept = Kept(draft.key, terms, readers, marks, time.monotonic() + LONGEST, answer, etag, coding)
        before = self._kept.get(draft.key)
        if before is not None:
            if before.is_best and etag is not None and before.etag == etag:  # the same body again
                kept.answer.body, kept.is_best = before.answer.body, True
            self._drop(draft.key)
        kept.size = len(kept.answer.body) + len(draft.key.target) + _BYTES_BESIDE
        self._kept[draft.key] = kept
        self._size += kept.size
        while self._size > self._room:
            self._drop(next(iter(self._kept)))

    def keep_unchanged(self, draft: Draft, answer: Answer, etag: str | None) -> None:
        """Keep the 304 of an answer that is kept, if it is of the same version."""
        kept = self._kept.get(draft.key)
        if (
            kept is not None
            and kept.etag == etag
            and all(draft.marks[name] == mark for name, mark in zip(kept.terms.depends_on, kept.marks, strict=True))
        ):
            kept.unchanged = answer

    def _drop(self, key: Key) -> None:
        self._size -= self._kept.pop(key).size


class Draft:
    """An answer that the app is about to make for a stranger, and that is kept if its view offers it."""

    def __init__(self, answers: KeptAnswers, key: Key, marks: Mapping[str, Any]) -> None:
        self._answers = answers
        self.key = key
        self.marks = marks
        self.terms: Terms | None = None
        self.repeats: list[Callable[[], None]] = []
        self._status = ""
        self._headers: list[tuple[str, str]] = []

    def note_head(self, status: str, headers: list[tuple[str, str]]) -> None:
        """Note the head as the app gives it to the server."""
        self._status, self._headers = status, headers

    def collect(self, pieces: Iterable[bytes]) -> Iterable[bytes]:
        """Return the body ``pieces`` to send, and keep them if the answer is one that may be kept."""
        fields = {name.lower(): value for name, value in self._headers}
        if self.terms is None or not self._may_be_kept(self.terms, fields):
            return pieces
        body = b"".join(pieces)
        answer = Answer(self._status, _write_head(self._headers), body)
        if self._status.startswith("304 "):
            self._answers.keep_unchanged(self, answer, fields.get("etag"))
        elif len(body) == int(fields["content-length"]):
            coding = fields.get("content-encoding", IDENTITY)
            self._answers.keep(self, self.terms, answer, fields.get("etag"), coding)
        return ClosingIterator([body], getattr(pieces, "close", None))

    def _may_be_kept(self, terms: Terms, fields: Mapping[str, str]) -> bool:
        varies = {name.strip() for name in fields.get("vary", "").lower().split(",")} - {""}
        if "set-cookie" in fields or "connection" in fields or "transfer-encoding" in fields or not varies <= _VARIES:
            return False
        if terms.make is not None:
            return self._status.startswith("200 ") and "content-encoding" not in fields and "content-length" in fields
        if "public" not in fields.get("cache-control", ""):
            return False
        is_small = 0 <= int(fields.get("content-length", -1)) <= _MOST_BYTES_OF_ONE
        return self._status.startswith("304 ") or (self._status.startswith("200 ") and is_small)


def _write_head(headers: Iterable[tuple[str, str]]) -> bytes:
    """Write the header lines as gunicorn does, with places for the length and the request's id."""
    filled_in = {"content-length": "%(length)d", "x-request-id": "%(id)b"}
    lines = [(name, filled_in.get(name.lower()) or value.strip(" \t").replace("%", "%%")) for name, value in headers]
    return "".join(f"{name}: {value}\r\n" for name, value in lines).encode("latin-1")


def collect_drafts(app: WSGIApplication) -> WSGIApplication:
    """Make ``app`` keep the answers whose requests have a Draft in their environ."""

    def collecting(environ: WSGIEnvironment, start_response: Any) -> Iterable[bytes]:
        draft: Draft | None = environ.get(DRAFT)
        if draft is None:
            return app(environ, start_response)

        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            draft.note_head(status, headers)
            return start_response(status, headers, *error)

        pieces = app(environ, start)
        return pieces if isinstance(pieces, environ["wsgi.file_wrapper"]) else draft.collect(pieces)

    return collecting


# -- the best compression ---------------------------------------------------------------------------------------------


class _Improver:
    """Compresses bodies again at the best level, one after the other, in a real thread.

    Visitors choose the addresses, and with ``?`` or ``#`` as many as they like of one text: that is compressed once.
    """

    def __init__(self) -> None:
        self._waiting: list[Kept] = []
        self._best: OrderedDict[bytes, bytes] = OrderedDict()  # by the ordinary bodies' digests
        self._is_running = False

    def improve(self, kept: Kept) -> None:
        """Replace the body of ``kept`` soon. Until then the ordinary bytes are sent."""
        if kept.coding not in _IMPROVED or kept.terms.make is not None or len(self._waiting) >= _MOST_WAITING:
            return
        self._waiting.append(kept)
        if not self._is_running:
            self._is_running = True
            start_beside("answers-compress", self._run)

    def _run(self) -> None:
        try:
            while self._waiting:
                kept = self._waiting.pop(0)
                kept.answer.body = self._find_best(kept.coding, kept.answer.body)
                kept.is_best = True
        except Exception:
            self._waiting.clear()
            log.exception("answers not compressed", extra={"event": "answers.not_compressed"})
        finally:
            self._is_running = False

    def _find_best(self, coding: str, ordinary: bytes) -> bytes:
        digest = hashlib.sha256(ordinary).digest()
        best = self._best.get(digest)
        if best is None:
            best = min(run_off_hub(_compress_best, coding, ordinary), ordinary, key=len)
            self._best[digest] = best
            if len(self._best) > _MOST_BEST:
                self._best.popitem(last=False)
        return best


def _compress_best(coding: str, body: bytes) -> bytes:
    """Return ``body``, which has the ``coding``, in its best level; as it is if it is a large one."""
    if coding == "br":
        plain = brotli.decompress(body)
        return bytes(brotli.compress(plain, quality=_BROTLI_BEST)) if len(plain) <= _BEST_BYTES else body
    plain = gzip.decompress(body)
    return gzip.compress(plain, _GZIP_BEST, mtime=0) if len(plain) <= _BEST_BYTES else body


# -- what views say ----------------------------------------------------------------------------------------------------


def is_wanted() -> bool:
    """Whether the answer to the current request would be kept if its view offers it."""
    return DRAFT in request.environ


def offer(
    *parameters: str,
    depends_on: Collection[str] | None = None,
    is_current: Callable[[], bool] | None = None,
    make: Maker | None = None,
) -> None:
    """Say that strangers may get this answer again from memory: it depends on the path and these parameters alone.

    It is kept if it turns out to be a 200 that is public and sets no cookie. ``depends_on`` names what it is made of,
    by default everything; ``is_current`` is asked in addition. ``make`` writes the body for each request; the answer
    then need not be public.
    """
    draft: Draft | None = request.environ.get(DRAFT)
    if draft is None or request.url_rule is None or not set(request.args) <= set(parameters):
        return
    endpoint = request.endpoint or ""
    limits = limits_of(current_app.view_functions.get(endpoint))
    names = [name for name, when in limits if when is None or when()]
    if len(names) > 1 or not SETTLED_SOON.issuperset(names):
        return
    draft.terms = Terms(
        route=request.url_rule.rule,
        path=request.environ["PATH_INFO"],
        limit=names[0] if names else None,
        in_maintenance=maintenance.is_open_in_maintenance(endpoint),
        depends_on=answers_of(current_app).sources if depends_on is None else tuple(depends_on),
        is_current=is_current,
        make=make,
        repeats=tuple(draft.repeats),
    )


def repeat(track: Callable[_P, None], *args: _P.args, **kwargs: _P.kwargs) -> None:
    """Call ``track`` now, and again each time that this answer is sent from memory. Call it before ``offer``."""
    track(*args, **kwargs)
    draft: Draft | None = request.environ.get(DRAFT)
    if draft is not None:
        draft.repeats.append(partial(track, *args, **kwargs))


def depends_on(app: Flask, name: str, read: Callable[[], Any]) -> None:
    """Register what answers of ``app`` are made of; see ``KeptAnswers.depends_on``."""
    answers_of(app).depends_on(name, read)


def answers_of(app: Flask) -> KeptAnswers:
    """The answers that are kept of ``app``, made at first use."""
    answers: KeptAnswers = app.extensions.setdefault(_EXTENSION, KeptAnswers())
    return answers
