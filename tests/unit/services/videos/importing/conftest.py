"""An MP4 file for imports, also on a host without ffmpeg."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.programs import needing
from tests.support.video_fixture import FFMPEG, make_clip


@pytest.fixture(scope="session")
@needing(*FFMPEG)
def mp4_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second of a video that browsers play."""
    return make_clip(tmp_path_factory.mktemp("mp4") / "plain.mp4", seconds=1)


@pytest.fixture
def plain(mp4_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The same file on a host without ffmpeg, where an import is fast."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return mp4_file
