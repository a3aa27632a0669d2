"""Tell file systems of other hosts, where Linux does not see who else changes a file."""

from __future__ import annotations

import os
from contextlib import suppress

_MOUNTS = "/proc/self/mountinfo"  # proc(5)
_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "lustre", "afs", "virtiofs", "vboxsf"}


def is_on_network(folder: str, mounts: str = _MOUNTS) -> bool:
    """Whether ``folder`` is on a file system of another host, or one that a program serves (FUSE)."""
    kind, longest = "", -1
    with suppress(OSError), open(mounts, encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            before, _, after = line.partition(" - ")
            fields = before.split(" ")
            if len(fields) < 5:
                continue
            point = fields[4].replace("\\040", " ").rstrip("/")
            if len(point) >= longest and (folder == point or folder.startswith(point + os.sep)):
                kind, longest = after.split(" ")[0], len(point)
    return kind in _NETWORK or kind.startswith("fuse")
