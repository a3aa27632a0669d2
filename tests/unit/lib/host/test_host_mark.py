"""The numbers that the processes of a host share."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from church.lib.host.host_mark import HostMark


def test_mark_is_shared_by_all_who_open_its_file(tmp_path: Path) -> None:
    one, other = HostMark(tmp_path / "mark"), HostMark(tmp_path / "mark")
    one[3] = 2**64 - 1
    assert [other[place] for place in (2, 3)] == [0, 2**64 - 1]
    assert HostMark(tmp_path / "mark")[3] == 2**64 - 1


@pytest.mark.parametrize(
    ("number", "is_shared"), [(errno.ENOSPC, False), (errno.EDQUOT, False), (errno.EOPNOTSUPP, True)]
)
def test_mark_on_a_full_disk_is_of_this_process_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, is_shared: bool
) -> None:
    def fail(*_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", fail)
    one, other = HostMark(tmp_path / "mark"), HostMark(tmp_path / "mark")
    one[0] = 5
    assert (one[0], other[0]) == (5, 5 if is_shared else 0)
