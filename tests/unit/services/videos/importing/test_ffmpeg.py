"""Runs of ffmpeg: limited in time and output, without secrets, and ended with the process that started them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from church.services.videos.importing import ffmpeg
from church.services.videos.importing.ffmpeg import ToolError, TooManyPixelsError, input_options, run_tool
from tests.support.services_fixture import wait_until
from tests.support.video_fixture import FFMPEG, make_growing_film

_RUN = """
import sys
from church.services.videos.importing.ffmpeg import run_tool
run_tool(["/bin/sh", "-c", "echo $$; exec sleep 600"], 600, lambda line: print(line, flush=True))
"""


def test_run_returns_output_or_raises_the_last_error_without_the_path() -> None:
    assert run_tool(["/bin/sh", "-c", "echo one; printf two"], 20) == "one\ntwo"
    with pytest.raises(ToolError, match=r"^/bin/sh: the file: Invalid data$"):
        run_tool(["/bin/sh", "-c", "echo first >&2; echo file:/srv/videos/incoming/0f: Invalid data >&2; exit 1"], 20)
    with pytest.raises(ToolError, match="killed by SIGSEGV"):
        run_tool(["/bin/sh", "-c", "kill -SEGV $$"], 20)
    with pytest.raises(ToolError, match="can't be started"):
        run_tool(["no-such-program"], 20)


def test_run_has_no_secrets_and_a_low_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "s3cret")
    output = run_tool(["/bin/sh", "-c", "env; nice; ulimit -c"], 20).splitlines()
    assert not [line for line in output if "s3cret" in line]
    assert output[-2:] == [str(min(19, os.nice(0) + 10)), "0"]


def test_run_has_a_limit_of_memory() -> None:
    assert int(run_tool(["/bin/sh", "-c", "ulimit -v"], 20)) * 1024 == ffmpeg._MAX_MEMORY
    with pytest.raises(ToolError, match="MemoryError"):
        run_tool([sys.executable, "-c", f"bytearray({ffmpeg._MAX_MEMORY})"], 60)


def test_ffmpeg_beyond_its_memory_fails_with_a_reason(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ffmpeg, "_MAX_MEMORY", 300 * 1024 * 1024)
    with pytest.raises(ToolError, match="it needs more than 0 GiB of memory"):
        run_tool(["ffmpeg", *input_options(clip), "-vf", "scale=8000:5000", "-f", "null", "-"], 60)


@pytest.mark.parametrize("script", ["sleep 600", "while :; do echo progress; sleep 0.05; done"])
def test_run_that_takes_too_long_is_killed(script: str) -> None:
    with pytest.raises(ToolError, match="too long"):
        run_tool(["/bin/sh", "-c", script], 0.5)


def test_run_without_output_or_line_ends_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ffmpeg, "_MAX_SILENCE", 0.3)
    with pytest.raises(ToolError, match="too long"):
        run_tool(["sleep", "600"], 600)
    with pytest.raises(ToolError, match="more than"):
        run_tool(["/bin/sh", "-c", "yes | tr -d '\\n'"], 20)


def test_run_is_killed_when_its_reader_raises() -> None:
    seen: list[int] = []

    def read_line(line: str) -> None:
        seen.append(int(line))
        raise LookupError

    with pytest.raises(LookupError):
        run_tool(["/bin/sh", "-c", "echo $$; exec sleep 600"], 20, read_line)
    assert not Path(f"/proc/{seen[0]}").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="done by the Linux kernel")
def test_run_dies_with_the_process_that_started_it() -> None:
    parent = subprocess.Popen([sys.executable, "-c", _RUN], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    wait_until(lambda: not _is_running(child), "the child is gone")


def test_input_name_is_never_an_option_or_an_address() -> None:
    assert input_options(Path("/srv/-i"))[-2:] == ["-i", "file:/srv/-i"]
    assert input_options(Path("-i"))[-1].startswith("file:/")


@pytest.mark.needs(*FFMPEG)
@pytest.mark.parametrize("tool", ["ffmpeg", "ffprobe"])
def test_frames_with_too_many_pixels_are_refused_also_on_success(tmp_path: Path, tool: str) -> None:
    film = make_growing_film(tmp_path, "6400x6400" if tool == "ffprobe" else "64x64", "6400x6400")
    output = ["-f", "null", "-"] if tool == "ffmpeg" else []
    with pytest.raises(TooManyPixelsError, match="40 million"):
        run_tool([tool, "-v", "error", *input_options(film), *output], 60)


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
