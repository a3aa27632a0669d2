"""Where the files of the videos are, and how they come there: whole, or not at all."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from church.config import Settings
from church.lib.files import make_private
from church.services.videos.errors import NoRoomError

REF = re.compile(r"[0-9a-f]{16}")
POSTER = "poster.jpg"
SPRITE = "thumbs.jpg"
THUMBS = "thumbs.vtt"
WORK = ".work"
_PIECE = 1024 * 1024
# What an import leaves free on the disk, for the database and the logs often lie there, too.
_SPARE = 512 * _PIECE


def folder_of(settings: Settings, ref: str) -> Path:
    """The folder of a video. Raises ValueError for what is no ref, such as the name of a file elsewhere."""
    if not REF.fullmatch(ref):
        raise ValueError(f"{ref!r} is no name of a video")
    return settings.video_dir / ref


def incoming(settings: Settings) -> Path:
    """The folder of what is on its way in, made where it is missing."""
    folder = settings.video_dir / "incoming"
    make_private(folder)
    return folder


def source_of(settings: Settings, ref: str) -> Path:
    """Where what a video is made of waits, or an upload grows. Raises ValueError as ``folder_of``."""
    return incoming(settings) / folder_of(settings, ref).name


def want_room(settings: Settings, wanted: int) -> None:
    """Raise NoRoomError where the disk of the videos has not ``wanted`` bytes to spare."""
    if shutil.disk_usage(incoming(settings)).free < wanted + _SPARE:
        raise NoRoomError


def keep(stream: IO[bytes], target: Path, most: int) -> int:
    """Write what ``stream`` gives to ``target``, onto the disk; how many bytes. Beyond ``most`` it stops, one over."""
    written = 0
    with target.open("wb") as file:
        while written <= most and (piece := stream.read(min(_PIECE, most + 1 - written))):
            file.write(piece)
            written += len(piece)
        sync(file)
    return written


def write_aside(target: Path, data: bytes) -> None:
    """Put ``data`` in place of ``target`` at once: nobody reads half of it, and a crash leaves the old or the new."""
    aside = target.with_name(f".{target.name}.{os.getpid()}")
    with aside.open("wb") as file:
        file.write(data)
        sync(file)
    aside.rename(target)
    sync_folder(target.parent)


def share(folder: Path, names: Iterable[str]) -> None:
    """Let the group of ``folder``, which is nginx's where nginx sends the videos, read these files of it."""
    folder.chmod(0o2750)
    for name in names:
        (folder / name).chmod(0o640)


def sync(file: IO[bytes]) -> None:
    """Have what was written to ``file`` on the disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Have the names in ``folder`` on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def digest(file: Path) -> str:
    """A digest of the bytes of ``file``: its ETag."""
    found = hashlib.blake2b(digest_size=16)
    with file.open("rb") as stream:
        while piece := stream.read(_PIECE):
            found.update(piece)
    return found.hexdigest()
