"""One of several processes says something."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from church.lib.host.once import claim


def test_claim_gives_each_key_to_the_first_and_again_after_a_later_start(tmp_path: Path) -> None:
    file = tmp_path / "marks"
    started = time.time() - 1
    assert claim(file, {"a", "b"}, started) == {"a", "b"}
    assert claim(file, {"a", "b", "c"}, started) == {"c"}
    assert claim(file, {"a"}, time.time() + 1) == {"a"}
    assert claim(file, {"b"}, started) == {"b"}  # forgotten, as the claim before had it no more


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": "soon"}'])
def test_claim_over_a_damaged_file_starts_again(tmp_path: Path, text: str) -> None:
    file = tmp_path / "marks"
    file.write_text(text)
    assert claim(file, {"a"}, 1.0) == {"a"}
    assert claim(file, {"a"}, 1.0) == set()


def test_claim_without_a_folder_gives_everything(tmp_path: Path) -> None:
    assert claim(tmp_path / "none" / "marks", {"a"}, 1.0) == {"a"}
