"""ffmpeg and ffprobe: are they there, and a run of one of them, bounded in time, that dies with this process.

They read what strangers made. So they get no network (``-protocol_whitelist file``), no playlists that name other
files (``-format_whitelist``), no secrets in their environment, no shell, and the lowest claim on the processor.
"""

from __future__ import annotations

import os
import re
import resource
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from church.lib.processes import die_with_parent, explain
from church.services.videos.errors import ImportFailedError

FORMATS = "mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,mxf"
_SAFE = ("-protocol_whitelist", "file", "-format_whitelist", FORMATS)
_NICE = 10
_MOST_LINE = 1024 * 1024
_LONGEST_COMPLAINT = 300
# Seconds without a word; the second pass of faststart says nothing, and copies the file.
_LONGEST_SILENCE = 600.0

# By what they know a file that ends too soon: an MP4 without its index, which mostly stands at the end, or any other.
_CUT = ("moov atom not found", "partial file", "File ended prematurely")

_PATH = re.compile(r"file:/[^\s:]+")

Heed = Callable[[str], None]


class ToolError(ImportFailedError):
    """ffmpeg or ffprobe gave up on a file, or took too long; the message says why."""


class CutShortError(ToolError):
    """The file ends before what it promises."""

    def __init__(self, detail: str = "a part of it is missing") -> None:
        cause = "It was not copied completely, or the recording broke off. Add the complete file."
        super().__init__(f"The file was cut short: {detail}. {cause}")


def tools_missing() -> tuple[str, ...]:
    """What of ffmpeg and ffprobe is not installed; without either of them videos are taken as they come."""
    return tuple(name for name in ("ffmpeg", "ffprobe") if shutil.which(name) is None)


def read_from(file: Path) -> list[str]:
    """The options that name ``file`` as the input of either."""
    return [*_SAFE, "-i", f"file:{file.absolute()}"]


def run(command: Sequence[str], seconds: float, heed: Heed | None = None) -> str:
    """Run ``command`` for at most ``seconds``; what it wrote, or "" where ``heed`` was given each line of it.

    What ``heed`` raises ends the run and goes on. Raises ToolError.
    """
    with tempfile.TemporaryFile() as complaints:
        process = _start(command, complaints)
        lines: list[str] = []
        try:
            for line in _lines(process, time.monotonic() + seconds):
                (heed or lines.append)(line)
            code = process.wait(timeout=_LONGEST_SILENCE)
        except subprocess.TimeoutExpired:
            raise ToolError(f"{command[0]} did not end") from None
        finally:
            _end(process)
        if code != 0:
            raise _reason(command[0], complaints, code)
    return "\n".join(lines)


def _start(command: Sequence[str], complaints: IO[bytes]) -> subprocess.Popen[bytes]:
    follow = die_with_parent(os.getpid(), signal.SIGKILL)

    def settle() -> None:
        follow()
        os.nice(_NICE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    try:
        return subprocess.Popen(  # noqa: S603 (our own command lines)
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            process_group=0,  # the terminal's Ctrl-C is ours to pass on
            preexec_fn=settle,  # noqa: PLW1509 (three calls of C)
        )
    except OSError as error:
        raise ToolError(f"{command[0]} can't be started: {error.strerror}") from None


def _lines(process: subprocess.Popen[bytes], deadline: float) -> Iterator[str]:
    """What it writes, by lines, until it closes its output. Raises ToolError at the deadline, or after long silence."""
    assert process.stdout is not None  # noqa: S101 (for mypy)
    handle, rest = process.stdout.fileno(), b""
    while True:
        wait = min(_LONGEST_SILENCE, deadline - time.monotonic())
        if wait <= 0 or not select.select([handle], [], [], wait)[0]:
            raise ToolError("it took too long, and was ended")
        piece = os.read(handle, 65_536)
        if not piece:
            break
        *whole, rest = (rest + piece).split(b"\n")
        if len(rest) > _MOST_LINE:
            raise ToolError("it said more than a video has to say")
        yield from (line.decode("utf-8", "replace") for line in whole)
    if rest:
        yield rest.decode("utf-8", "replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _reason(name: str, complaints: IO[bytes], code: int) -> ToolError:
    """Why it gave up: the last line that it complained with, without where the file is."""
    size = complaints.seek(0, os.SEEK_END)
    complaints.seek(max(0, size - 4096))
    said = complaints.read().decode("utf-8", "replace").strip()
    if any(sign in said for sign in _CUT):
        return CutShortError()
    last = _PATH.sub("the file", said.splitlines()[-1])[:_LONGEST_COMPLAINT] if said else explain(code)
    return ToolError(f"{name}: {last}")
