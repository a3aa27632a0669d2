"""Which folders are on file systems of other hosts."""

from __future__ import annotations

from pathlib import Path

import pytest

from church.lib.host.network_files import is_on_network

MOUNTS = """22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:26 / /srv rw - ext4 /dev/sdb1 rw
31 30 0:27 / /srv/content rw,relatime - nfs4 files.example:/pages rw
32 30 0:28 / /srv/my\\040pages rw - fuse.sshfs files.example:/ rw
33 31 8:2 / /srv/content/local rw - xfs /dev/sdc1 rw
damaged
"""


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("/srv", False),
        ("/srv/content", True),
        ("/srv/content/deep", True),
        ("/srv/contents", False),
        ("/srv/content/local/pages", False),
        ("/srv/my pages", True),
        ("/home", False),
    ],
)
def test_folder_is_on_the_network_by_its_nearest_mount(tmp_path: Path, folder: str, expected: bool) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    assert is_on_network(folder, str(mounts)) is expected


def test_folder_of_a_system_without_mountinfo_is_not_on_the_network(tmp_path: Path) -> None:
    assert not is_on_network("/srv", str(tmp_path / "none"))
