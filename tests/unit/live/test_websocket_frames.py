"""RFC 6455, section by section: which frames are errors, with which code, and which are valid."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from church.live.websocket_frames import (
    CLOSE,
    INVALID_TEXT,
    MAX_MESSAGE_BYTES,
    NO_STATUS,
    PING,
    PONG,
    PROTOCOL_ERROR,
    TEXT,
    TOO_BIG,
    UNSUPPORTED,
    Event,
    FrameError,
    FrameReader,
    close_frame,
    pong_frame,
    text_frame,
)
from tests.support.live_fixture import masked

WORD = "grüße 💙"
UTF8 = WORD.encode()


def read(*pieces: bytes, largest: int = MAX_MESSAGE_BYTES) -> list[Event]:
    reader = FrameReader(largest)
    return [event for piece in pieces for event in reader.feed(piece) if event is not None]


def code_of(*pieces: bytes) -> int:
    with pytest.raises(FrameError) as refused:
        read(*pieces)
    return refused.value.code


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"\x81\x02hi", PROTOCOL_ERROR),  # 5.1: a client masks
        (masked(1, b"", rsv=1), PROTOCOL_ERROR),  # 5.2: no extension was negotiated
        (masked(1, b"", rsv=2), PROTOCOL_ERROR),
        (masked(9, b"", rsv=4), PROTOCOL_ERROR),
        *((masked(opcode, b""), PROTOCOL_ERROR) for opcode in (3, 7, 11, 15)),
        (b"\x81\xfe\x00\x7d", PROTOCOL_ERROR),  # 5.2: 125 as two bytes
        (b"\x81\xff" + (65_535).to_bytes(8), PROTOCOL_ERROR),
        (b"\x81\xff" + (1 << 63).to_bytes(8), TOO_BIG),
        (b"\x81\xfe" + (MAX_MESSAGE_BYTES + 1).to_bytes(2), TOO_BIG),  # refused by its header, before the payload
        (masked(0, b"late"), PROTOCOL_ERROR),  # 5.4: there is no message to continue
        (masked(1, b"a", fin=False) + masked(1, b"b"), PROTOCOL_ERROR),
        (masked(1, b"x" * MAX_MESSAGE_BYTES, fin=False) + masked(0, b"y"), TOO_BIG),
        (masked(9, b"", fin=False), PROTOCOL_ERROR),  # 5.5: control frames are whole, and short
        (masked(9, b"x" * 126), PROTOCOL_ERROR),
        (masked(2, b"\x00"), UNSUPPORTED),
        (masked(1, b"\xff"), INVALID_TEXT),  # 8.1
        (masked(1, b"\xed\xa0\x80"), INVALID_TEXT),
        (masked(1, UTF8[:3], fin=True), INVALID_TEXT),
        (masked(1, b"a\xff", fin=False), INVALID_TEXT),  # at once, not with the last fragment
        (masked(1, UTF8[:3], fin=False) + masked(0, b""), INVALID_TEXT),
        (masked(8, b"\x03"), PROTOCOL_ERROR),  # 5.5.1: half a code
        (masked(8, (1000).to_bytes(2) + b"\xff"), INVALID_TEXT),
        *((masked(8, code.to_bytes(2)), PROTOCOL_ERROR) for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000)),
    ],
)
def test_invalid_frame_raises_its_close_code(sent: bytes, code: int) -> None:
    assert code_of(sent) == code
    assert code_of(*[sent[at : at + 1] for at in range(len(sent))]) == code


def test_frames_before_an_error_are_read() -> None:
    reader, found = FrameReader(), []
    with pytest.raises(FrameError):
        found.extend(reader.feed(masked(1, b"good") + masked(3, b"")))
    assert found == [Event(TEXT, "good")]


def test_control_frame_inside_a_fragmented_message_is_read() -> None:
    sent = masked(1, UTF8[:3], fin=False) + masked(9, b"now") + masked(0, UTF8[3:], fin=False) + masked(0, b"")
    assert read(sent) == [Event(PING, data=b"now"), Event(TEXT, WORD)]


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1014, 3000, 4999])
def test_close_frame_is_read_with_its_code(code: int) -> None:
    assert read(masked(8, code.to_bytes(2) + b"bye")) == [Event(CLOSE, "bye", code=code)]


def test_close_frame_without_a_code_is_read_as_no_status() -> None:
    assert read(masked(8, b"")) == [Event(CLOSE, code=NO_STATUS)]


def test_largest_message_is_read_also_in_one_byte_fragments() -> None:
    assert read(masked(1, b"x" * MAX_MESSAGE_BYTES))[0].text == "x" * MAX_MESSAGE_BYTES
    pieces = [masked(1, b"x", fin=False), *[masked(0, b"x", fin=False)] * 998, masked(0, b"x")]
    assert read(b"".join(pieces)) == [Event(TEXT, "x" * 1000)]


def test_empty_fragments_take_no_memory() -> None:
    reader = FrameReader()
    list(reader.feed(masked(1, b"x", fin=False) + masked(0, b"", fin=False) * 5000))
    assert len(reader._pieces) == 1


messages = st.lists(
    st.one_of(
        st.builds(lambda text: (TEXT, text), st.text(max_size=300)),
        st.builds(lambda data: (PING, data), st.binary(max_size=125)),
        st.builds(lambda data: (PONG, data), st.binary(max_size=125)),
    ),
    max_size=5,
)


@given(messages, st.lists(st.integers(1, 40), max_size=60))
def test_events_do_not_depend_on_how_the_bytes_arrive(said: list[tuple[int, object]], sizes: list[int]) -> None:
    whole = b"".join(masked(kind, what.encode() if isinstance(what, str) else what) for kind, what in said)  # type: ignore[arg-type]
    pieces, at = [], 0
    for size in sizes:
        pieces.append(whole[at : at + size])
        at += size
    wanted = [Event(kind, what) if kind == TEXT else Event(kind, data=what) for kind, what in said]  # type: ignore[arg-type]
    assert read(*pieces, whole[at:]) == wanted


@given(st.binary(max_size=400))
def test_any_bytes_give_events_or_a_valid_close_code(data: bytes) -> None:
    code = 0
    try:
        read(data)
    except FrameError as error:
        code = error.code
    assert code in {0, PROTOCOL_ERROR, UNSUPPORTED, INVALID_TEXT, TOO_BIG}


def test_frame_has_the_shortest_header_for_its_length() -> None:
    assert text_frame(b"x" * 125)[:2] == b"\x81\x7d"
    assert text_frame(b"x" * 126)[:4] == b"\x81\x7e\x00\x7e"
    assert text_frame(b"x" * 65_536)[:10] == b"\x81\x7f" + (65_536).to_bytes(8)
    assert pong_frame(b"now") == b"\x8a\x03now"


def test_close_frame_cuts_a_long_reason_between_characters() -> None:
    frame = close_frame(1008, "ü" * 100)
    assert frame[1] <= 125
    assert frame[4:].decode() == "ü" * 61
    assert close_frame(NO_STATUS) == b"\x88\x00"
