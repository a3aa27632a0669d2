"""The embedded server's socket path and command line."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from church.lib import local_servers
from church.store.embedded import embedded_command, socket_path


def of(folder):
    return SimpleNamespace(instance=Path(folder), log_dir=Path("/var/log/church"))


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    """A replacement for /tmp that tests can tamper with."""
    folder = tmp_path / "run"
    monkeypatch.setattr(local_servers, "Path", lambda path: folder)
    return folder


def test_socket_path_short_enough_is_in_the_instance_folder():
    assert socket_path(of("/var/lib/church")) == Path("/var/lib/church/store.sock")


def test_socket_path_too_long_moves_to_a_short_one_for_each_instance(runtime):
    first, again, other = (socket_path(of("/srv/" + name * 60)) for name in ("ab", "ab", "cd"))
    assert first == again != other
    assert first.parent == runtime
    assert stat.S_IMODE(runtime.stat().st_mode) == 0o700


def test_socket_path_is_measured_in_bytes_not_letters(runtime):
    folder = "/" + "é" * 50  # 62 letters with the file name, 112 bytes
    assert socket_path(of(folder)).parent == runtime


def test_socket_path_in_a_folder_open_to_others_is_refused(runtime):
    runtime.mkdir()
    runtime.chmod(0o777)
    with pytest.raises(PermissionError, match="a private folder of this user"):
        socket_path(of("/srv/" + "x" * 120))


def test_socket_path_through_a_planted_link_is_refused(runtime, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    runtime.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError):
        socket_path(of("/srv/" + "x" * 120))


def test_embedded_command_listens_only_on_the_socket_and_stores_nothing():
    command = embedded_command(of("/var/lib/church"))
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert os.access(command[0], os.X_OK)
    assert options["--port"] == "0"
    assert options["--unixsocketperm"] == "700"
    assert (options["--save"], options["--appendonly"]) == ("", "no")
    assert (options["--maxmemory"], options["--maxmemory-policy"]) == ("64mb", "volatile-ttl")
