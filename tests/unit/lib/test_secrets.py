"""Secrets of a development site, and how strong a secret must be for production."""

from __future__ import annotations

import os
import secrets
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from church.lib.secrets import MIN_LENGTH, find_weakness, load_instance_secret
from tests.support.helpers import STRONG

ROOT = Path(__file__).parent.parent.parent.parent


def test_instance_secret_file_is_private(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        load_instance_secret(tmp_path / "instance", "SECRET_KEY")
    finally:
        os.umask(old)
    mode = (tmp_path / "instance" / "secrets.json").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_instance_secret_is_stable_and_different_for_each_name(tmp_path: Path) -> None:
    first = load_instance_secret(tmp_path, "SECRET_KEY")
    other = load_instance_secret(tmp_path, "OTHER_KEY")
    assert first != other
    assert load_instance_secret(tmp_path, "SECRET_KEY") == first
    assert load_instance_secret(tmp_path, "OTHER_KEY") == other
    assert find_weakness(first) is None


def test_instance_secret_twenty_threads_at_once_get_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = secrets.token_urlsafe

    def slowly(size: int) -> str:
        threading.Event().wait(0.05)  # time for the others to enter, unless the lock stops them
        return make(size)

    monkeypatch.setattr(secrets, "token_urlsafe", slowly)
    with ThreadPoolExecutor(20) as pool:
        found = set(pool.map(lambda _: load_instance_secret(tmp_path, "SECRET_KEY"), range(20)))
    assert len(found) == 1


def test_instance_secret_twenty_processes_at_once_get_the_same(tmp_path: Path) -> None:
    ask = (
        "import sys, pathlib\nfrom church.lib.secrets import load_instance_secret\n"
        "sys.stdin.read()\nprint(load_instance_secret(pathlib.Path(sys.argv[1]), 'SECRET_KEY'))"
    )
    reading, writing = os.pipe()  # all of them wait until it is closed
    processes = [
        subprocess.Popen(
            [sys.executable, "-S", "-c", ask, str(tmp_path)], stdin=reading, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        for _ in range(20)
    ]
    os.close(reading)
    os.close(writing)
    answers = [process.communicate(timeout=60)[0] for process in processes]
    assert len(set(answers)) == 1
    assert len(answers[0]) > MIN_LENGTH


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ("", "missing"),
        (STRONG[: MIN_LENGTH - 1], f"has {MIN_LENGTH - 1} characters"),
        ("ab" * 20, "guessable"),
        ("default-Zk4x9Qw7Lm2Pv8RtYbNc6Hs3", "guessable"),
        ("Zk4x9Qw7Lm2Pv8RtYbNc6Hs3-PassWord", "guessable"),
    ],
)
def test_weakness_of_a_weak_secret_is_explained_without_showing_it(secret: str, words: str) -> None:
    problem = find_weakness(secret)
    assert problem is not None
    assert words in problem
    assert not secret or secret not in problem


def test_weakness_of_a_random_secret_is_none() -> None:
    assert find_weakness(STRONG) is None
