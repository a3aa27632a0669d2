"""Watch the content folder, in one process of a host, so that all others need not look.

By inotify where the system has it; elsewhere, on a network file system and beyond the system's limit of watches by the
times of the folders. Every so often all files are looked at, since some changes show in neither.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from church.lib.host.inotify import Event, Inotify
from church.lib.host.network_files import is_on_network
from church.lib.processes import free_memory
from church.services.pages.pictures.files import SUFFIXES
from church.services.pages.shelf import BEAT_SECONDS, Look, Shelf
from church.services.pages.update import Update

log = logging.getLogger("church.pages")

_GATHER, _GATHER_MOST = 0.05, 1.0  # seconds of quiet after a change, and that many changes are waited for at most
_RETRY_SECONDS = 5.0  # while another process watches
_FOLDERS_EVERY = 5.0  # seconds between two looks at the times of folders, without inotify
# Seconds between two looks at all files: so many times what a look takes, within these bounds.
_SHARE, _ALL_LEAST, _ALL_MOST = 1000, 30.0, 600.0
_SHARE_ALONE, _ALL_LEAST_ALONE = 50, 5.0  # without inotify, and after a look that failed
_LONG = 0.1  # seconds of a look that reads so much that memory is given back
_MOST_FILES = 500  # that are looked at one by one


def start_watcher(shelf: Shelf, stop: threading.Event) -> threading.Thread:
    """Watch in a thread until ``stop`` is set. Of several processes of a host one watches; the others wait for it."""
    thread = threading.Thread(target=Watcher(shelf).run, args=(stop,), name="pages-watch", daemon=True)
    thread.start()
    return thread


class Watcher:
    """Watches the folder of ``shelf``."""

    def __init__(self, shelf: Shelf, clock: Callable[[], float] = time.monotonic) -> None:
        self._shelf = shelf
        self._clock = clock
        self._inotify: Inotify | None = None
        self._paths: dict[int, set[str]] = {}  # of each watch; "/" is a folder that only links lead to
        self._real_root = ""
        self._doubts = 0
        self._next_all = self._next_folders = 0.0

    def run(self, stop: threading.Event) -> None:
        """Watch until ``stop`` is set, whatever fails."""
        while not stop.is_set():
            try:
                with self._shelf.watch_lock() as is_ours:
                    if is_ours:
                        self._watch(stop)
            except Exception:
                log.exception("pages not watched, trying again", extra={"event": "pages.watch_failed"})
            stop.wait(_RETRY_SECONDS)

    def _watch(self, stop: threading.Event) -> None:
        log.info("pages watched", extra={"event": "pages.watched"})
        try:
            self.begin()
            self._shelf.report_change()  # pages may have changed while nobody watched
            while not stop.is_set():
                self.step(self._pause())
        finally:
            self.close()

    def close(self) -> None:
        """Stop watching."""
        self._shelf.stop_beating()
        self._close()

    def begin(self) -> None:
        """Watch all folders, and look at all files, after that."""
        self._close()
        self._shelf.beat()
        self._real_root = os.path.realpath(self._shelf.root)
        self._doubts = self._shelf.doubts()
        if not is_on_network(self._real_root):
            with suppress(OSError):
                self._inotify = Inotify()
        self._look_at_all()

    def _close(self) -> None:
        if self._inotify is not None:
            self._inotify.close()
        self._inotify, self._paths = None, {}

    def _pause(self) -> float:
        pause = BEAT_SECONDS
        turns_at = self._shelf.peek().turns_at
        if turns_at is not None:
            pause = min(pause, turns_at - self._shelf.now().timestamp())
        return max(0.0, pause)

    def step(self, seconds: float) -> None:
        """Wait for changes up to ``seconds``, and bring the rows up to date."""
        events = self._gather(seconds)
        self._shelf.beat()
        if os.path.realpath(self._shelf.root) != self._real_root:
            self.begin()
            self._shelf.report_change()
            return
        is_lost = any(event.is_lost for event in events)
        if is_lost or self._is_doubted() or self._clock() >= self._next_all:
            changed = self._look_at_all()
        elif events:
            changed = self._look_at_events(events)
        elif self._inotify is None and self._clock() >= self._next_folders:
            self._next_folders = self._clock() + _FOLDERS_EVERY
            changed = self._look(Update.look_at_folders)
        elif self._is_turn():
            changed = self._look(lambda update: update.look_at_some(()))
        else:
            return
        if changed:
            self._shelf.report_change()

    def _gather(self, seconds: float) -> list[Event]:
        """Wait for changes; when one comes also for those that follow, such as all files of a checkout."""
        if self._inotify is None:
            time.sleep(min(seconds, BEAT_SECONDS))
            return []
        events = self._inotify.wait(seconds)
        end = time.monotonic() + _GATHER_MOST
        while events and time.monotonic() < end and (more := self._inotify.wait(_GATHER)):
            events += more
        return events

    def _is_doubted(self) -> bool:
        before, self._doubts = self._doubts, self._shelf.doubts()
        return before != self._doubts

    def _is_turn(self) -> bool:
        turns_at = self._shelf.peek().turns_at
        return turns_at is not None and turns_at <= self._shelf.now().timestamp()

    # -- looking ------------------------------------------------------------------------------------------------------

    def _look_at_all(self) -> bool:
        begun = self._clock()
        self._watch_links()
        changed = self._look(Update.look_at_all)
        self._watch_links()
        took = self._clock() - begun
        if took > _LONG:
            free_memory()
        is_sure = self._inotify is not None and not self._shelf.has_failed
        share, least = (_SHARE, _ALL_LEAST) if is_sure else (_SHARE_ALONE, _ALL_LEAST_ALONE)
        self._next_all = self._clock() + min(max(took * share, least), _ALL_MOST)
        return changed

    def _look_at_events(self, events: list[Event]) -> bool:
        files: set[str] = set()
        folders: set[str] = set()
        for event in dict.fromkeys(events):
            for folder in self._paths.get(event.watch, ()):
                if folder == "/" or event.is_gone or self._is_hidden_folder(folder, event.name):
                    return self._look_at_all()
                path = f"{folder}/{event.name}".lstrip("/")
                kind = self._kind(path, event)
                if kind == "file":
                    files.add(path)
                elif kind == "folder":
                    folders.add(folder)
        if not files and not folders:
            return False
        if len(files) > _MOST_FILES:
            folders |= {path.rpartition("/")[0] for path in files}
            files = set()
        return self._look(lambda update: update.look_at_some(folders, files))

    def _is_hidden_folder(self, folder: str, name: str) -> bool:
        """Whether a hidden name is one by which pages may be linked, as Kubernetes does, and not an editor's file."""
        return name.startswith(".") and os.path.isdir(os.path.join(self._real_root, folder, name))

    def _kind(self, path: str, event: Event) -> str:
        """Say what to look at after an event: a single file, its folder, or nothing."""
        name = event.name
        if name.startswith("."):
            return ""
        if event.is_folder or os.path.islink(os.path.join(self._real_root, path)) or name.lower().endswith(SUFFIXES):
            return "folder"
        if name.endswith(".md"):
            return "file"
        return "" if os.path.isfile(os.path.join(self._real_root, path)) else "folder"

    def _look(self, look: Look) -> bool:
        changed = self._shelf.look(look, self._add_watch, wait=True)
        if self._shelf.has_failed:  # such as on a full disk: nothing says again what has changed
            self._next_all = min(self._next_all, self._clock() + _ALL_LEAST_ALONE)
        return changed

    # -- watches ------------------------------------------------------------------------------------------------------

    def _add_watch(self, root: str, path: str) -> None:
        self._shelf.beat()
        if self._inotify is None:
            return
        try:
            number = self._inotify.watch(root if path == "/" else os.path.join(root, path))
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.ENOMEM}:
                facts = {"event": "pages.watch_limit", "reason": str(error)}
                log.warning("pages watched by the times of their folders", extra=facts)
                self._close()
            return  # the folder is gone, or cannot be read: the walk says so
        self._paths.setdefault(number, set()).add(path)

    def _watch_links(self) -> None:
        """Watch the folders that links to files lead to: pages change there, and no folder of pages does."""
        for folder in self._shelf.list_link_targets():
            self._add_watch(folder, "/")
