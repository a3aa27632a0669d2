"""Run ffmpeg and ffprobe: with a time limit, sandboxed, and ended together with this process.

They read files from strangers. So they get no network (``-protocol_whitelist file``), no playlists that name other
files (``-format_whitelist``), no secrets in their environment, no shell, and a low CPU priority.
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

from church.lib.processes import describe_exit, die_with_parent
from church.services.videos.errors import ImportFailedError
from church.services.videos.importing.detect_cut_short import CutShortError, complains_of_cut

FORMATS = "mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,mxf"
_SANDBOX_OPTIONS = ("-protocol_whitelist", "file", "-format_whitelist", FORMATS)
_NICENESS = 10
_MAX_LINE_BYTES = 1024 * 1024
_MAX_REASON_LENGTH = 300
# Seconds without output: the second pass of faststart copies the file and prints nothing.
_MAX_SILENCE = 600.0

_PATH = re.compile(r"file:/[^\s:]+")

OnLine = Callable[[str], None]


class ToolError(ImportFailedError):
    """ffmpeg or ffprobe failed or took too long; the message says why."""


def find_missing_tools() -> tuple[str, ...]:
    """Return which of ffmpeg and ffprobe are not installed. If one is missing, videos are kept as they are."""
    return tuple(name for name in ("ffmpeg", "ffprobe") if shutil.which(name) is None)


def input_options(file: Path) -> list[str]:
    """Return the options that make ``file`` the input of ffmpeg or ffprobe."""
    return [*_SANDBOX_OPTIONS, "-i", f"file:{file.absolute()}"]


def run_tool(command: Sequence[str], seconds: float, on_line: OnLine | None = None) -> str:
    """Run ``command`` for at most ``seconds`` and return its output; with ``on_line``, call that for each line instead.

    An exception that ``on_line`` raises ends the run and is passed on. Raises ToolError, CutShortError.
    """
    with tempfile.TemporaryFile() as error_output:
        process = _start(command, error_output)
        lines: list[str] = []
        try:
            for line in _read_lines(process, time.monotonic() + seconds):
                (on_line or lines.append)(line)
            code = process.wait(timeout=_MAX_SILENCE)
        except subprocess.TimeoutExpired:
            raise ToolError(f"{command[0]} did not end") from None
        finally:
            _end(process)
        if code != 0:
            raise _failure(command[0], error_output, code)
    return "\n".join(lines)


def _start(command: Sequence[str], error_output: IO[bytes]) -> subprocess.Popen[bytes]:
    follow_parent = die_with_parent(os.getpid(), signal.SIGKILL)

    def limit_process() -> None:
        follow_parent()
        os.nice(_NICENESS)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    try:
        return subprocess.Popen(  # noqa: S603 (our own command lines)
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=error_output,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            process_group=0,  # Ctrl-C in the terminal goes to this process only
            preexec_fn=limit_process,  # noqa: PLW1509 (three calls of C)
        )
    except OSError as error:
        raise ToolError(f"{command[0]} can't be started: {error.strerror}") from None


def _read_lines(process: subprocess.Popen[bytes], deadline: float) -> Iterator[str]:
    """Yield output lines until the process closes its output. Raises ToolError at the deadline or after a silence."""
    assert process.stdout is not None  # noqa: S101 (for mypy)
    handle, rest = process.stdout.fileno(), b""
    while True:
        wait = min(_MAX_SILENCE, deadline - time.monotonic())
        if wait <= 0 or not select.select([handle], [], [], wait)[0]:
            raise ToolError("it took too long and was stopped")
        chunk = os.read(handle, 65_536)
        if not chunk:
            break
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > _MAX_LINE_BYTES:
            raise ToolError("it printed more than a video needs")
        yield from (line.decode("utf-8", "replace") for line in lines)
    if rest:
        yield rest.decode("utf-8", "replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _failure(name: str, error_output: IO[bytes], code: int) -> ImportFailedError:
    """Make the error of a failed run from its last error line, without the path of the file."""
    size = error_output.seek(0, os.SEEK_END)
    error_output.seek(max(0, size - 4096))
    text = error_output.read().decode("utf-8", "replace").strip()
    if complains_of_cut(text):
        return CutShortError()
    last = _PATH.sub("the file", text.splitlines()[-1])[:_MAX_REASON_LENGTH] if text else describe_exit(code)
    return ToolError(f"{name}: {last}")
