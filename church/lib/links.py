"""Follow symbolic links inside a folder, and none out of it or in circles."""

from __future__ import annotations

import os

LEADS_OUT = "a link that leads out of the content folder"
LEADS_UP = "a link to a folder that it is in"
LEADS_AGAIN = "a second link to the same folder"


def is_inside(folder: str, path: str) -> bool:
    """Whether the real ``path`` is below the real ``folder``."""
    return path.startswith(folder.rstrip(os.sep) + os.sep)


def check_folder_link(root: str, path: str, linked: set[str]) -> str | None:
    """Return why the link at ``path`` (below ``root``) to a folder is not followed, or None.

    Each folder is followed to once: ``linked`` are the real paths of those before, and gets this one.
    """
    real = os.path.realpath(os.path.join(root, path))
    here = os.path.realpath(os.path.join(root, os.path.dirname(path)))
    if real == here or is_inside(real, here):
        return LEADS_UP if real == root or is_inside(root, real) else LEADS_OUT
    if not is_inside(root, real):
        return LEADS_OUT
    if real in linked:
        return LEADS_AGAIN
    linked.add(real)
    return None
