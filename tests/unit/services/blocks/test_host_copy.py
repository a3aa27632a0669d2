"""The host's copy of the blocks."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from church.config import Settings
from church.services.blocks import ActiveBlocks, copy_file, host_copy, keep_copy, leave_out, read_copy
from tests.support.helpers import captured_log

SOME = ActiveBlocks(3, (("203.0.113.0/24", 10.5), ("2001:db8::/48", 20.0)))


def test_copy_is_read_as_it_was_written_and_left_alone_if_nothing_is_new(settings: Settings) -> None:
    assert read_copy(settings) is None
    keep_copy(settings, lambda: SOME)
    assert read_copy(settings) == SOME
    before = copy_file(settings).stat().st_ino
    keep_copy(settings, lambda: SOME)
    assert copy_file(settings).stat().st_ino == before
    assert not list(settings.instance.glob("blocked-networks.[0-9]*"))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"revision": 1, "networks": [["x", 1]]}', '{"revision": "a"}'])
def test_damaged_copy_is_none_and_recorded(settings: Settings, text: str) -> None:
    settings.instance.mkdir(exist_ok=True)
    copy_file(settings).write_text(text)
    with captured_log() as sink:
        assert read_copy(settings) is None
    assert [one["event"] for one in sink.records] == ["blocks.unread"]
    keep_copy(settings, lambda: SOME)
    assert read_copy(settings) == SOME


def test_copy_stays_whole_if_the_disk_is_full(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_copy(settings, lambda: SOME)

    def full(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError):  # noqa: PT011 - any error of the disk
        keep_copy(settings, ActiveBlocks)
    assert read_copy(settings) == SOME


def test_list_is_read_only_while_no_other_process_writes(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_copy(settings, lambda: SOME)
    monkeypatch.setattr(host_copy, "_PATIENCE", 0)
    other = os.open(settings.instance / "blocked-networks.lock", os.O_RDWR)
    fcntl.flock(other, fcntl.LOCK_EX)
    with pytest.raises(TimeoutError):
        keep_copy(settings, lambda: pytest.fail("it was read too early"))
    os.close(other)
    keep_copy(settings, ActiveBlocks)
    assert read_copy(settings) == ActiveBlocks()


def test_network_left_out_is_missing_until_the_database_is_read(settings: Settings) -> None:
    assert not leave_out(settings, "203.0.113.0/24")
    keep_copy(settings, lambda: SOME)
    assert not leave_out(settings, "198.51.100.9")
    assert leave_out(settings, "203.0.113.7/24")
    found = read_copy(settings)
    assert found is not None
    assert found.networks == SOME.networks[1:]
    assert found.revision not in {SOME.revision, 0}
