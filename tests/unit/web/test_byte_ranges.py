"""Byte ranges and preconditions, by RFC 9110, and the body that sends a range."""

from __future__ import annotations

from pathlib import Path

import pytest
from werkzeug.datastructures import Headers

from church.lib.validators import Validators
from church.web.byte_ranges import FileAnswer, FileBody, choose_answer

SIZE = 10_000

NOW = Validators("abc-2710", 1_767_225_600.75)

DATE = "Thu, 01 Jan 2026 00:00:00 GMT"

LATER, EARLIER = "Thu, 01 Jan 2026 00:00:01 GMT", "Wed, 31 Dec 2025 23:59:59 GMT"

WHOLE = FileAnswer(200, 0, SIZE)


def ask(method: str = "GET", size: int = SIZE, **headers: str) -> FileAnswer:
    return choose_answer(
        method, Headers([(name.replace("_", "-"), value) for name, value in headers.items()]), NOW, size
    )


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=0-", (0, SIZE)),
        ("bytes=500-999", (500, 500)),
        ("bytes=9500-", (9500, 500)),
        ("bytes=-500", (9500, 500)),
        ("bytes=-20000", (0, SIZE)),
        ("bytes=9999-20000", (9999, 1)),
        ("bytes=0-" + "9" * 5000, (0, SIZE)),
        ("BYTES=0-1", (0, 2)),
        ("bytes= 7-8 ", (7, 2)),
        ("bytes=,0007-0008,", (7, 2)),
    ],
)
def test_range_answers_with_its_bytes(header: str, expected: tuple[int, int]) -> None:
    assert ask(Range=header) == FileAnswer(206, *expected)


@pytest.mark.parametrize("header", ["bytes=10000-", "bytes=10000-10001", "bytes=-0", "bytes=" + "9" * 5000 + "-"])
def test_range_beyond_the_end_is_a_416(header: str) -> None:
    assert ask(Range=header) == FileAnswer(416)


def test_range_of_an_empty_file_is_a_416() -> None:
    assert ask(size=0, Range="bytes=0-") == FileAnswer(416) == ask(size=0, Range="bytes=-5")
    assert ask(size=0) == FileAnswer(200, 0, 0)


@pytest.mark.parametrize(
    "header",
    [
        "bytes=5-2", "bytes=-", "bytes=", "bytes", "bytes=a-b", "bytes=9e99-", "bytes=+1-2", "bytes=1--2",
        "bytes=\uff11-\uff12",
        "items=0-5", "bytes=0-1,5-6", "bytes=" + ",".join(f"{n}-{n}" for n in range(1000)), "",
    ],
)  # fmt: skip
def test_range_invalid_or_several_answers_with_the_whole_file(header: str) -> None:
    assert ask(Range=header) == WHOLE


def test_range_of_head_is_ignored() -> None:
    assert ask("HEAD", Range="bytes=0-0") == WHOLE


@pytest.mark.parametrize(
    ("condition", "goes_on"),
    [
        ('"abc-2710"', True),
        ('W/"abc-2710"', False),  # a weak tag never matches
        ('"other"', False),
        ("abc-2710", False),
        (DATE, True),
        (LATER, False),
        (EARLIER, False),
        ("nonsense", False),
    ],
)
def test_if_range_of_another_version_answers_with_the_whole_file(condition: str, goes_on: bool) -> None:
    expected = FileAnswer(206, 1, 2) if goes_on else WHOLE
    assert ask(Range="bytes=1-2", If_Range=condition) == expected


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If_None_Match": '"abc-2710"'}, 304),
        ({"If_None_Match": 'W/"abc-2710", "x"'}, 304),
        ({"If_None_Match": "*"}, 304),
        ({"If_None_Match": '"x"'}, 200),
        ({"If_None_Match": '"x"', "If_Modified_Since": LATER}, 200),  # only the tag counts
        ({"If_Modified_Since": DATE}, 304),
        ({"If_Modified_Since": EARLIER}, 200),
        ({"If_Modified_Since": "nonsense"}, 200),
        ({"If_Match": '"abc-2710"'}, 200),
        ({"If_Match": "*"}, 200),
        ({"If_Match": 'W/"abc-2710"'}, 412),
        ({"If_Match": '"x"', "If_None_Match": '"abc-2710"'}, 412),
        ({"If_Unmodified_Since": DATE}, 200),
        ({"If_Unmodified_Since": EARLIER}, 412),
        ({"If_None_Match": '"abc-2710"', "Range": "bytes=0-1"}, 304),
    ],
)
def test_conditions_are_evaluated_before_the_range(headers: dict[str, str], status: int) -> None:
    for method in ("GET", "HEAD"):
        assert ask(method, **headers).status == status


def test_last_modified_has_whole_seconds() -> None:
    assert NOW.last_modified == DATE


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
