"""A byte range of a file as a response body."""

from __future__ import annotations

from pathlib import Path

import pytest

from church.web.byte_ranges import FileBody


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film"
    path.write_bytes(bytes(range(256)) * 40)
    return path


def test_body_reads_its_range_in_parts_and_no_more(film: Path) -> None:
    body = FileBody(film.open("rb", buffering=0), 100, 300)
    read = [body.read(128), body.read(128), body.read(), body.read(128)]
    assert b"".join(read) == film.read_bytes()[100:400]
    assert [len(piece) for piece in read] == [128, 128, 44, 0]
    assert body.sent == 300
    body.close()


def test_body_of_a_truncated_file_ends_early(film: Path) -> None:
    body = FileBody(film.open("rb", buffering=0), 100, 300)
    with film.open("r+b") as file:
        file.truncate(150)
    assert (len(body.read()), body.read(), body.sent) == (50, b"", 50)
    body.close()


def test_ended_is_called_once_with_the_bytes_sent(film: Path) -> None:
    calls: list[tuple[float, int]] = []
    body = FileBody(film.open("rb", buffering=0), 0, 300, ended=lambda seconds, sent: calls.append((seconds, sent)))
    body.read(10)
    body.close()
    body.close()
    assert [sent for _, sent in calls] == [10]
    assert calls[0][0] >= 0
