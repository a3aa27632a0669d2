"""Run pytest as on a day when it is slow: between collection and the first test, the clock goes on by some minutes.

    python -m tests.support.late 15 tests/unit

A test that reads the clock when it is collected, and not when it runs, fails. Needs libfaketime (Debian: faketime).
"""

from __future__ import annotations

import glob
import os
import sys
import tempfile
from pathlib import Path

_FILE = "FAKETIME_TIMESTAMP_FILE"
_MINUTES = "MINUTES_LATE"


def main(minutes: int, arguments: list[str]) -> None:
    """Replace this process by a pytest whose clock is libfaketime's."""
    libraries = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
    if not libraries:
        sys.exit("libfaketime is not installed: apt-get install faketime")
    with tempfile.NamedTemporaryFile("w", prefix="church-clock-", delete=False) as clock:
        clock.write("+0")
    own = {"LD_PRELOAD": libraries[0], _FILE: clock.name, "FAKETIME_NO_CACHE": "1", _MINUTES: str(minutes)}
    os.environ.update(own)
    os.execv(sys.executable, [sys.executable, "-m", "pytest", "-p", "tests.support.late", *arguments])


def pytest_collection_finish() -> None:
    """Move the clock."""
    Path(os.environ[_FILE]).write_text(f"+{os.environ[_MINUTES]}m")


def pytest_unconfigure() -> None:
    """Remove the file of the clock."""
    Path(os.environ[_FILE]).unlink()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
