"""Runs of ffmpeg: bounded, without our secrets, and gone with the process that started them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from church.services.videos.importing import ffmpeg
from church.services.videos.importing.ffmpeg import ToolError, read_from, run
from tests.support.services_fixture import wait_until

_RUN = """
import sys
from church.services.videos.importing.ffmpeg import run
run(["sh", "-c", "echo $$; exec sleep 600"], 600, lambda line: print(line, flush=True))
"""


def test_run_gives_what_was_written_or_the_last_complaint_without_the_path() -> None:
    assert run(["sh", "-c", "echo one; printf two"], 20) == "one\ntwo"
    with pytest.raises(ToolError, match=r"^sh: the file: Invalid data$"):
        run(["sh", "-c", "echo first >&2; echo file:/srv/videos/incoming/0f: Invalid data >&2; exit 1"], 20)
    with pytest.raises(ToolError, match="killed by SIGSEGV"):
        run(["sh", "-c", "kill -SEGV $$"], 20)
    with pytest.raises(ToolError, match="can't be started"):
        run(["no-such-program"], 20)


def test_run_knows_no_secret_and_claims_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "s3cret")
    told = run(["sh", "-c", "env; nice; ulimit -c"], 20).splitlines()
    assert not [line for line in told if "s3cret" in line]
    assert told[-2:] == [str(min(19, os.nice(0) + 10)), "0"]


@pytest.mark.parametrize("script", ["sleep 600", "while :; do echo progress; sleep 0.05; done"])
def test_run_that_takes_too_long_is_killed(script: str) -> None:
    with pytest.raises(ToolError, match="too long"):
        run(["sh", "-c", script], 0.5)


def test_run_without_a_word_or_an_end_of_line_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ffmpeg, "_MAX_SILENCE", 0.3)
    with pytest.raises(ToolError, match="too long"):
        run(["sleep", "600"], 600)
    with pytest.raises(ToolError, match="more than"):
        run(["sh", "-c", "yes | tr -d '\\n'"], 20)


def test_run_that_is_not_wanted_any_more_is_killed() -> None:
    seen: list[int] = []

    def heed(line: str) -> None:
        seen.append(int(line))
        raise LookupError

    with pytest.raises(LookupError):
        run(["sh", "-c", "echo $$; exec sleep 600"], 20, heed)
    assert not Path(f"/proc/{seen[0]}").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux does it")
def test_run_dies_with_the_process_that_started_it() -> None:
    parent = subprocess.Popen([sys.executable, "-c", _RUN], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    wait_until(lambda: not _lives(child), "the child is gone")


def test_file_is_named_so_that_no_name_is_an_option_or_an_address() -> None:
    assert read_from(Path("/srv/-i"))[-2:] == ["-i", "file:/srv/-i"]
    assert read_from(Path("-i"))[-1].startswith("file:/")


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
