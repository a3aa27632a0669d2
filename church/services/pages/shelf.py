"""The newest library of one content folder: who looks at the folder, and how each process learns of a change.

One process of a host watches (see ``watch``) and sets a mark; all others read it. Without a watcher the processes look
by themselves, one of them at a time, when a page is asked for and some seconds have passed.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from church import telemetry
from church.lib.host.host_mark import HostMark
from church.lib.host.once import claim
from church.lib.threads import is_patched, run_off_hub, start_beside
from church.models.base import utc_now
from church.services.pages.folder import FileProblem
from church.services.pages.front_matter import FileVersion, load_parser
from church.services.pages.library import Library, load_library
from church.services.pages.rows import PageRows, split_paths
from church.services.pages.update import Update

log = logging.getLogger("church.pages")

# Places in the mark. Times are in ns of the clock that all processes of a host share.
_VERSION, _BEAT, _LOOKED, _LOOKED_AT_ALL, _TOOK, _TOOK_ALL, _DOUBT = range(7)
BEAT_SECONDS = 2.0
_LOST_SECONDS = 10.0  # after the last beat of the watcher
_LEAST, _MOST, _MOST_FOR_ALL = 1.0, 5.0, 60.0  # seconds between two looks
_SHARE = 50  # a look may take this part of the time
_CHECK_SECONDS = 0.5  # between two checks whether a look is due, by ``version``
_WAIT = 1.0  # seconds that a request waits for a look
_AT_ONCE = 0.5  # seconds that a worker reads before it goes on answering requests; the next look goes on from there
_GRACE = 3.0  # seconds from the first request of a worker, for the watcher to start
_START_SECONDS = 20.0  # within which the processes of a host start

Look = Callable[[Update], bool]


class Shelf:
    """Keeps the newest Library of the folder ``root``. ``drafts``: whether drafts are among the pages.

    ``clock`` says when a look is due, ``now`` which pages are to come. In ``instance`` are the rows that the processes
    of a host share; without it they are of this process alone. ``on_change`` is called when a look finds a change.
    """

    def __init__(
        self,
        root: Path,
        *,
        drafts: bool,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], dt.datetime] = utc_now,
        instance: Path | None = None,
        on_change: Callable[[], None] | None = None,
    ) -> None:
        self.root = root
        self.drafts = drafts
        self.now = now
        self._clock = clock
        self._on_change = on_change
        self._claims = instance / "pages-left-out.json" if instance is not None else None
        self._file = instance / _file_name(root, drafts) if instance is not None else None
        self.rows = PageRows(self._file)
        self._mark: HostMark | None = None
        self._library: Library | None = None
        self._seen_mark = 0
        self._check_at = 0.0
        self._version = ""
        self._look_lock = threading.Lock()
        self._first_used = 0.0
        self._started_at = time.time()
        self._problems: set[str] | None = None
        self.is_resting = False  # looks at nothing
        self.has_failed = False
        """Whether the last look could not bring the rows up to date."""

    # -- reading ------------------------------------------------------------------------------------------------------

    def version(self) -> str:
        """Return what changes with the pages. For every request: takes a microsecond, and waits for nothing."""
        mark = self._mark
        if mark is None or mark[_VERSION] != self._seen_mark or self._clock() >= self._check_at:
            self._check_at = self._clock() + _CHECK_SECONDS
            library = self._load()
            if self._is_due(library):
                self._start_look(library, wait=0.0)
                library = self._load()
            self._version = str(library.version)
        return self._version

    def current(self) -> Library:
        """Return the newest library. Looks at the folder first if nobody watches and it is time."""
        library = self._load()
        if self._is_due(library):
            self._start_look(library, wait=_WAIT)
            library = self._load()
        if not library.is_complete:
            library = self._await_rows(library)
        return library

    def doubt(self) -> None:
        """Say that a file is not as its row has it, so that the folder is looked at soon."""
        self._open_mark()[_DOUBT] += 1
        self._open_mark()[_LOOKED_AT_ALL] = 0
        self._open_mark()[_LOOKED] = 0

    def is_watched(self) -> bool:
        """Whether a process watches the folder."""
        beat = self._open_mark()[_BEAT]
        return beat != 0 and 0 <= self._clock() - beat / 1e9 < _LOST_SECONDS

    def _open_mark(self) -> HostMark:
        if self._mark is None:
            self._first_used = time.monotonic()
            self.rows.read("SELECT 1")  # decides whether the rows are shared
            self._mark = HostMark(self._file.with_suffix(".mark") if self._file and self.rows.is_shared else None)
        return self._mark

    def _load(self) -> Library:
        mark = self._open_mark()
        version = self._read_version(mark)
        if self._library is None or version != self._seen_mark:
            self.rows.check_file()
            try:
                self._library = load_library(self.rows)
            except sqlite3.DatabaseError:
                self.rows.remove_damaged()
                mark[_LOOKED] = mark[_LOOKED_AT_ALL] = 0
                self._library = load_library(self.rows)
            self._seen_mark = version
            self._version = str(self._library.version)
        return self._library

    def _read_version(self, mark: HostMark) -> int:
        """Read the version of the rows; from them if this process has no mark in common with those that write them."""
        if mark.is_shared or not self.rows.is_shared:
            return mark[_VERSION]
        with suppress(sqlite3.Error):  # damaged: found out when they are loaded
            for (version,) in self.rows.read("SELECT value FROM facts WHERE name = 'version'"):
                return int(version)
        return 0

    def _is_due(self, library: Library) -> bool:
        if self.is_resting or self.is_watched() or self._is_starting(library):
            return False
        if self._problems is None:  # this process has not looked yet
            return True
        if library.turns_at is not None and library.turns_at <= self.now().timestamp():
            return True
        return self._is_past(_LOOKED, _TOOK, _MOST)

    def _is_past(self, looked: int, took: int, most: float) -> bool:
        mark = self._open_mark()
        pause = min(max(mark[took] / 1e9 * _SHARE, _LEAST), most)
        return mark[looked] == 0 or not 0 <= self._clock() - mark[looked] / 1e9 < pause

    def _is_starting(self, library: Library) -> bool:
        """Whether this worker started just now and has the rows of before: the watcher may be about to start, too."""
        return library.is_complete and is_patched() and time.monotonic() < self._first_used + _GRACE

    def _await_rows(self, library: Library) -> Library:
        """Wait a moment for the process that reads the folder for the first time; then for none of its parts."""
        while (
            not self.is_resting
            and not library.is_complete
            and time.monotonic() < self._first_used + _WAIT
            and self._is_somebody_looking()
        ):
            time.sleep(0.02)
            library = self._load()
        return library

    def _is_somebody_looking(self) -> bool:
        if self.is_watched() or self._look_lock.locked():
            return True
        with self.rows.lock() as is_ours:
            return not is_ours

    # -- looking ------------------------------------------------------------------------------------------------------

    def _start_look(self, library: Library, wait: float) -> None:
        """Look at the folder. A gevent worker does it in a greenlet of its own and waits ``wait`` seconds for it."""
        if not is_patched():
            self._look_alone(library)
            return
        load_parser()
        looker = start_beside("pages-look", self._look_alone, library)
        if wait:
            looker.join(wait)

    def _look_alone(self, library: Library) -> None:
        if not self._look_lock.acquire(blocking=not library.is_complete):
            return
        try:
            if self._is_due(self._load()):
                self._look_by_time(library)
        finally:
            self._look_lock.release()

    def _look_by_time(self, library: Library) -> None:
        mark = self._open_mark()
        is_all = not library.is_complete or self._is_past(_LOOKED_AT_ALL, _TOOK_ALL, _MOST_FOR_ALL)
        begun = self._clock()
        mark[_LOOKED] = int(begun * 1e9)
        if is_all:
            mark[_LOOKED_AT_ALL] = int(begun * 1e9)
        if self.look(Update.look_at_all if is_all else Update.look_at_folders) and library.is_complete:
            self.report_change()
        mark[_TOOK_ALL if is_all else _TOOK] = int((self._clock() - begun) * 1e9)

    def look(self, look: Look, on_folder: Callable[[str, str], None] | None = None, *, wait: bool = False) -> bool:
        """Bring the rows up to date. Returns whether pages changed.

        Another process may be about to: then this leaves it to that one, or may ``wait`` for it.
        """
        self.has_failed = True
        try:
            changed, problems = run_off_hub(self._update, look, on_folder, wait)
        except OSError as error:
            facts = {"event": "pages.unreadable", "reason": str(error)}
            log.error("content folder cannot be read", extra=facts)  # noqa: TRY400 - the reason is enough
            return False
        except sqlite3.Error as error:
            facts = {"event": "pages.rows_failed", "reason": f"{type(error).__name__}: {error}"}
            log.error("pages not brought up to date", extra=facts)  # noqa: TRY400 - as above
            if not isinstance(error, sqlite3.OperationalError):
                self.rows.remove_damaged()
            return False
        self.has_failed = False
        if problems is not None:
            self._log_problems(problems)
        return changed

    def refresh(self) -> None:
        """Look at the whole folder now, also where another process watches."""
        load_parser()
        if self.look(Update.look_at_all, wait=True):
            self.report_change()

    def prepare(self, most_seconds: float) -> None:
        """Read a folder that has no rows yet, for so long at most; the next look goes on from there.

        What goes wrong is left to the next look, too, which logs it.
        """
        if self._load().is_complete:
            return
        load_parser()

        def begin(update: Update) -> bool:
            update.most_seconds = most_seconds
            return update.look_at_all()

        with suppress(OSError, sqlite3.Error):
            self._update(begin, None, wait=False)

    def _update(
        self, look: Look, on_folder: Callable[[str, str], None] | None, wait: bool
    ) -> tuple[bool, list[tuple[FileProblem, FileVersion]] | None]:
        with self.rows.lock(wait=wait) as is_ours:
            if not is_ours:
                return False, None
            rows = self.rows.apart()
            try:
                update = Update(rows, self.root, self.drafts, self.now, self._tell)
                if on_folder is not None:
                    update.on_folder = on_folder
                if is_patched():
                    update.most_seconds = _AT_ONCE
                changed = look(update)
                if update.is_unfinished:
                    self._open_mark()[_LOOKED_AT_ALL] = 0
                wants_problems = changed or self._problems is None
                return changed, load_library(rows).problem_versions() if wants_problems else None
            finally:
                if rows is not self.rows:
                    rows.forget()

    def _tell(self, version: int) -> None:
        self._open_mark()[_VERSION] = version

    def report_change(self) -> None:
        """Say that pages have changed."""
        if self._on_change is not None:
            self._on_change()

    def _log_problems(self, problems: Collection[tuple[FileProblem, FileVersion]]) -> None:
        """Log every file that is not served, once for each version of the file."""
        found = {_identify(problem, version): problem for problem, version in problems}
        new = found.keys() - (self._problems or set())
        self._problems = set(found)
        if self._claims is not None and found and telemetry.is_logging():
            unclaimed = run_off_hub(claim, self._claims, list(found), self._started_at - _START_SECONDS)
            new &= unclaimed
        for each, problem in found.items():
            if each in new:
                facts = {"event": "pages.invalid", "page": problem.path, "reason": problem.reason}
                log.warning("page left out", extra=facts)

    # -- for the watcher ----------------------------------------------------------------------------------------------

    @contextmanager
    def watch_lock(self) -> Iterator[bool]:
        """Whether this process may watch; no other does in the meantime. Not where the rows are not shared."""
        with self.rows.lock(".watch") as is_ours:
            yield is_ours

    def peek(self) -> Library:
        """Return the library as it is in the rows."""
        return self._load()

    def list_link_targets(self) -> set[str]:
        """List the folders of those files that are shown by links from elsewhere."""
        found = self.rows.read("SELECT leads_to FROM folders WHERE leads_to <> x''")
        return {folder for (folders,) in found for folder in split_paths(folders)}

    def beat(self) -> None:
        """Say that this process watches."""
        self._open_mark()[_BEAT] = int(self._clock() * 1e9)

    def stop_beating(self) -> None:
        """Say that this process watches no longer."""
        self._open_mark()[_BEAT] = 0

    def doubts(self) -> int:
        """Count how often a file was not as its row has it."""
        return self._open_mark()[_DOUBT]


def read_apart(root: Path, *, drafts: bool, instance: Path) -> Library:
    """Read a content folder once into rows of this process alone, with the help of those that the host has.

    Raises OSError.
    """
    rows = PageRows(None)
    for kept in (_file_name(root, drafts=False), _file_name(root, drafts=True)):
        if rows.copy_from(instance / kept):
            break
    load_parser()
    update = Update(rows, root, drafts)
    update.settle_all()
    update.look_at_all()
    return load_library(rows)


def _file_name(root: Path, drafts: bool) -> str:
    """Name the file of the rows: other content folders, and with drafts, have their own."""
    what = hashlib.sha256(os.fsencode(root.absolute()) + (b"+drafts" if drafts else b"")).hexdigest()[:8]
    return f"pages-{what}.db"


def _identify(problem: FileProblem, version: FileVersion) -> str:
    """Identify a problem of one version of a file."""
    return hashlib.sha256(repr((problem, version)).encode()).hexdigest()[:32]
