"""Run ffmpeg and ffprobe: with a time limit, sandboxed, and ended together with this process.

They read files from strangers. So they get no network (``-protocol_whitelist file``), no playlists that name other
files (``-format_whitelist``), no secrets in their environment, no shell, and a low CPU priority. Each frame has to keep
to the maximum of pixels (``-max_pixels``), because a later one may be larger than the header says, and the memory of
the process is limited (RLIMIT_AS).
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
MAX_PIXELS = 40_000_000
"""Of a frame, of any frame: 8K has 33 million."""
THREADS = min(4, os.cpu_count() or 1)
"""For one decoder or encoder. Each more takes a few frames of memory."""
_INPUT_OPTIONS = (
    *("-protocol_whitelist", "file", "-format_whitelist", FORMATS),
    *("-max_pixels", str(MAX_PIXELS), "-threads", str(THREADS)),
)
# Bytes of address space. Measured with ffmpeg 5.1, 4 threads and frames of 39 million pixels: 1.1 GB for H.264 and 2.2
# GB for HEVC in 10 bits, of which 0.7 and 1.6 GB are resident.
_MAX_MEMORY = 4 * 1024**3
# Each arena of glibc's malloc takes 64 MB of address space, and there are eight for a core by default.
_MALLOC_ARENAS = "2"
_NICENESS = 10
_MAX_LINE_BYTES = 1024 * 1024
_MAX_REASON_LENGTH = 300
_MAX_ERROR_BYTES = 64 * 1024  # at each end of the error output
_NO_MEMORY = "Cannot allocate memory"
_TOO_LARGE = "exceeds specified max pixel count"
# Seconds without output: the second pass of faststart copies the file and prints nothing.
_MAX_SILENCE = 600.0

_PATH = re.compile(r"file:/[^\s:]+")

OnLine = Callable[[str], None]


class ToolError(ImportFailedError):
    """ffmpeg or ffprobe failed or took too long; the message says why."""


class TooManyPixelsError(ImportFailedError):
    """A frame of the video, perhaps a late one, has more pixels than the site accepts."""

    def __init__(self) -> None:
        super().__init__(f"A frame of it has more than {MAX_PIXELS // 1_000_000} million pixels, which is the maximum.")


def find_missing_tools() -> tuple[str, ...]:
    """Return which of ffmpeg and ffprobe are not installed. If one is missing, videos are kept as they are."""
    return tuple(name for name in ("ffmpeg", "ffprobe") if shutil.which(name) is None)


def input_options(file: Path) -> list[str]:
    """Return the options that make ``file`` the input of ffmpeg or ffprobe."""
    return [*_INPUT_OPTIONS, "-i", f"file:{file.absolute()}"]


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
        text = _read_errors(error_output)
        if _TOO_LARGE in text:  # ffmpeg leaves such frames out, and ends with success
            raise TooManyPixelsError
        if code != 0:
            raise _failure(command[0], text, code)
    return "\n".join(lines)


def _start(command: Sequence[str], error_output: IO[bytes]) -> subprocess.Popen[bytes]:
    follow_parent = die_with_parent(os.getpid(), signal.SIGKILL)

    def limit_process() -> None:
        follow_parent()
        os.nice(_NICENESS)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY, _MAX_MEMORY))

    try:
        return subprocess.Popen(  # noqa: S603 (our own command lines)
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=error_output,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "MALLOC_ARENA_MAX": _MALLOC_ARENAS},
            process_group=0,  # Ctrl-C in the terminal goes to this process only
            preexec_fn=limit_process,  # noqa: PLW1509 (a few calls of C)
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


def _read_errors(error_output: IO[bytes]) -> str:
    """Read the beginning and the end of what was written to standard error."""
    size = error_output.seek(0, os.SEEK_END)
    error_output.seek(0)
    first = error_output.read(_MAX_ERROR_BYTES)
    error_output.seek(max(len(first), size - _MAX_ERROR_BYTES))
    return (first + error_output.read()).decode("utf-8", "replace").strip()


def _failure(name: str, text: str, code: int) -> ImportFailedError:
    """Make the error of a failed run from its last error line, without the path of the file."""
    if complains_of_cut(text):
        return CutShortError()
    if _NO_MEMORY in text:
        return ToolError(f"{name}: it needs more than {_MAX_MEMORY // 1024**3} GiB of memory for this video")
    last = _PATH.sub("the file", text.splitlines()[-1])[:_MAX_REASON_LENGTH] if text else describe_exit(code)
    return ToolError(f"{name}: {last}")
