"""Read captions as people have them, WebVTT or SubRip (SRT), and return WebVTT that every browser shows.

Source: www.w3.org/TR/webvtt1, chapters 4 and 6. A browser drops each cue whose times it cannot read, without a word, so
times are written as it reads them, and what cannot be a time is refused with its line.
"""

from __future__ import annotations

import re

_SIGNATURE = re.compile(r"WEBVTT([ \t]|$)")
_COMMENT = re.compile(r"(NOTE|STYLE|REGION)([ \t]|$)")
_TIME = r"(?:(\d{1,6}):)?(\d{1,2}):(\d{1,2})[.,](\d{3})"
_TIMES = re.compile(rf"[ \t]*{_TIME}[ \t]*-->[ \t]*{_TIME}([ \t].*)?", re.ASCII)
_BROWSERS_READ = re.compile(
    r"[ \t]*(\d{2,}:)?\d\d:\d\d\.\d{3}[ \t]*-->[ \t]*(\d{2,}:)?\d\d:\d\d\.\d{3}([ \t].*)?", re.ASCII
)
_ROUGH_TIME = r"\d+:\d\d(?::\d\d)?(?:[.,]\d+)?"
_ROUGH_TIMES = re.compile(rf"\s*{_ROUGH_TIME}\s*(?:[-=>\u2013\u2014\u2192]+|,)\s*{_ROUGH_TIME}\s*", re.ASCII)
_SUBRIP_STYLE = re.compile(r"\{\\[^{}]*\}")  # {\an8}: at the top
_MAX_QUOTE = 40
_BETWEEN, _BEFORE_TIMES, _IN_CUE, _IN_COMMENT = range(4)  # where a line is


class CaptionsError(Exception):
    """The captions cannot be shown; the message says why, with the line where there is one."""


def read_captions(text: str) -> str:
    r"""Return ``text``, which has \n line ends, as WebVTT. Raises CaptionsError."""
    lines = text.split("\n")
    start = next((number for number, line in enumerate(lines) if line.strip()), len(lines))
    body = lines[start:]
    if not body or _SIGNATURE.match(body[0]):
        head = body[:1]
    elif body[0].strip().upper().startswith("WEBVTT"):
        raise _refuse(start, body[0], "is not the first line of a WebVTT file. Write WEBVTT alone on it")
    else:
        head, start = ["WEBVTT", ""], start - 1
        body = ["", *(_SUBRIP_STYLE.sub("", line) for line in body)]
    read = [*head, *_read_blocks(body[1:], start + 1)]
    return "\n".join(read)


def _read_blocks(lines: list[str], start: int) -> list[str]:
    """Return ``lines`` with the times of each cue as browsers read them; ``start`` is the number of the first one."""
    read, cues, block = [], 0, _BETWEEN
    for number, line in enumerate(lines, start):
        if not line:
            block = _BETWEEN
        elif block == _BETWEEN and _COMMENT.match(line):
            block = _IN_COMMENT
        elif "-->" in line and block != _IN_COMMENT:
            read.append(_read_times(number, line))
            block, cues = _IN_CUE, cues + 1
            continue
        elif block in {_BETWEEN, _BEFORE_TIMES}:
            if _ROUGH_TIMES.fullmatch(line):
                raise _refuse(number, line)
            block = _BEFORE_TIMES
        read.append(line)
    if not cues:
        raise CaptionsError(
            "This is not a WebVTT or SRT file: nothing in it has a time such as 00:01.000 --> 00:04.000."
        )
    return read


def _read_times(number: int, line: str) -> str:
    match = _TIMES.fullmatch(line.rstrip())
    if match is None:
        raise _refuse(number, line)
    begin, end = _milliseconds(*match.groups()[:4]), _milliseconds(*match.groups()[4:8])
    if begin is None or end is None:
        raise _refuse(number, line)
    if end <= begin:
        raise _refuse(number, line, "ends before it begins. Correct its times")
    if _BROWSERS_READ.fullmatch(line.rstrip()):
        return line
    return f"{_format_time(begin)} --> {_format_time(end)}{match[9] or ''}"


def _milliseconds(hours: str | None, minutes: str, seconds: str, fraction: str) -> int | None:
    """Return a time in milliseconds; None for one such as 00:75.000."""
    if int(minutes) > 59 or int(seconds) > 59:
        return None
    return ((int(hours or 0) * 60 + int(minutes)) * 60 + int(seconds)) * 1000 + int(fraction)


def _format_time(ms: int) -> str:
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}.{ms % 1000:03}"


def _refuse(number: int, line: str, why: str = "is not a time. Write it as 00:01.000 --> 00:04.000") -> CaptionsError:
    quote = " ".join(line.split())
    return CaptionsError(f"Line {number + 1}: “{quote[:_MAX_QUOTE]}{'…' * (len(quote) > _MAX_QUOTE)}” {why}.")
