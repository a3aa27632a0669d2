"""The video folder on this host: paths of videos and incoming files, free space, and crash-safe writes."""

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
from church.services.videos.errors import DiskFullError

REF = re.compile(r"[0-9a-f]{16}")
POSTER = "poster.jpg"
SPRITE = "thumbs.jpg"
THUMBS = "thumbs.vtt"
WORK_SUFFIX = ".work"
_CHUNK = 1024 * 1024
# Bytes that stay free: the database and the logs are often on the same disk.
_SPARE = 512 * _CHUNK


# -- paths ----------------------------------------------------------------------------------------------------------


def video_folder(settings: Settings, ref: str) -> Path:
    """Return the folder of a video. Raises ValueError for anything but a ref, such as a path to another file."""
    if not REF.fullmatch(ref):
        raise ValueError(f"{ref!r} is not the ref of a video")
    return settings.video_dir / ref


def incoming_folder(settings: Settings) -> Path:
    """Return the folder for uploads, sources and work folders; it is created if missing."""
    folder = settings.video_dir / "incoming"
    make_private(folder)
    return folder


def source_path(settings: Settings, ref: str) -> Path:
    """Return the path of a video's source or growing upload. Raises ValueError for anything but a ref."""
    return incoming_folder(settings) / video_folder(settings, ref).name


def delete_work_folders(settings: Settings, ref: str) -> None:
    """Delete the work folders that import attempts at a video have left."""
    for folder in incoming_folder(settings).glob(f"{ref}.*{WORK_SUFFIX}"):
        shutil.rmtree(folder, ignore_errors=True)


# -- reading and writing --------------------------------------------------------------------------------------------


def check_free_space(settings: Settings, wanted: int) -> None:
    """Raise NoRoomError if the disk has less than ``wanted`` bytes and the reserve of 512 MiB."""
    if shutil.disk_usage(incoming_folder(settings)).free < wanted + _SPARE:
        raise DiskFullError


def store_stream(stream: IO[bytes], target: Path, most: int) -> int:
    """Copy ``stream`` to ``target``, sync it and return the bytes written: at most one more than ``most``."""
    written = 0
    with target.open("wb") as file:
        while written <= most and (chunk := stream.read(min(_CHUNK, most + 1 - written))):
            file.write(chunk)
            written += len(chunk)
        sync_file(file)
    return written


def replace_file(target: Path, data: bytes) -> None:
    """Replace ``target`` with ``data`` in one step: readers and crashes leave the old or the new file, never half."""
    aside = target.with_name(f".{target.name}.{os.getpid()}")
    with aside.open("wb") as file:
        file.write(data)
        sync_file(file)
    aside.rename(target)
    sync_folder(target.parent)


def share_with_nginx(folder: Path, names: Iterable[str]) -> None:
    """Make these files readable to the group of ``folder``: nginx belongs to it where nginx sends the videos."""
    folder.chmod(0o2750)
    for name in names:
        (folder / name).chmod(0o640)


def sync_file(file: IO[bytes]) -> None:
    """Force the contents of ``file`` to disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Force the directory entries of ``folder`` to disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def hash_file(file: Path) -> str:
    """Hash the bytes of ``file`` for its ETag: BLAKE2b, 32 hex digits."""
    hasher = hashlib.blake2b(digest_size=16)
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            hasher.update(chunk)
    return hasher.hexdigest()
