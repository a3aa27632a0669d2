"""A small PromQL reader: the series that an expression names, and its parts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""(?P<space>\s+)
    | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<duration>\[[^]]*\])
    | (?P<name>[A-Za-z_:][A-Za-z0-9_:]*)
    | (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?:ms|[smhdwy])?)
    | (?P<variable>\$\w+)
    | (?P<operator>==|!=|>=|<=|=~|!~|[-+*/%^<>=(),{}])
    """,
    re.VERBOSE,
)
AGGREGATIONS = frozenset(
    {"sum", "min", "max", "avg", "count", "group", "stddev", "stdvar", "topk", "bottomk", "quantile", "count_values"}
)
_COMPARE = {"==", "!=", ">=", "<=", "<", ">"}
_SETS = {"and", "or", "unless"}
_SUMS = {"+", "-", "*", "/", "%", "^"}
_LISTS = {"by", "without", "on", "ignoring", "group_left", "group_right"}
_WORDS = _SETS | {"bool", "offset", "atan2", "inf", "nan", "start", "end"}
_DURATION = re.compile(r"(\d+)(ms|[smhdwy])")
SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}
Token = tuple[str, str]


@dataclass
class Selector:
    """A series selector: its matchers as (label, operator, value), and the functions around it."""

    metric: str
    matchers: list[tuple[str, str, str]] = field(default_factory=list)
    range: str = ""
    within: tuple[str, ...] = ()
    text: str = ""
    """Return the metric with its matchers, without a range."""

    @property
    def labels(self) -> set[str]:
        """Labels of the matchers."""
        return {label for label, _, _ in self.matchers}


@dataclass
class ParsedQuery:
    """The selectors of an expression, and the labels by which it groups or joins."""

    selectors: list[Selector] = field(default_factory=list)
    grouped: set[str] = field(default_factory=set)


def tokens(expression: str) -> list[Token]:
    """Split an expression into (kind, text), without spaces. Raises ValueError for invalid PromQL."""
    result, at = [], 0
    while at < len(expression):
        match = _TOKEN.match(expression, at)
        if match is None:
            raise ValueError(f"invalid PromQL at {expression[at : at + 20]!r}")
        if match.lastgroup != "space":
            result.append((str(match.lastgroup), match[0]))
        at = match.end()
    return result


def text(parts: list[Token]) -> str:
    """Join tokens to an expression."""
    return " ".join(word for _, word in parts)


def read(expression: str) -> ParsedQuery:
    """Read an expression. It may contain Grafana's variables; the rest must be valid for Prometheus."""
    return _read(tokens(expression))


def _read(parts: list[Token]) -> ParsedQuery:
    reading, around, pending, at = ParsedQuery(), [""], "", 0
    while at < len(parts):
        kind, word = parts[at]
        after = parts[at + 1][1] if at + 1 < len(parts) else ""
        if kind == "name" and word in _LISTS and after != "(":
            pass  # group_left may have no labels
        elif kind == "name" and word in _LISTS:
            end = _closing(parts, at + 1)
            reading.grouped |= {label for sort, label in parts[at + 1 : end] if sort == "name"}
            at = end
        elif kind == "name" and (word in AGGREGATIONS or after == "("):
            pending = word
        elif kind == "name" and word not in _WORDS:
            end = _closing(parts, at + 1) if after == "{" else at
            matchers = list(_matchers(parts[at + 2 : end]))
            reading.selectors.append(
                Selector(word, matchers, within=tuple(filter(None, around)), text=text(parts[at : end + 1]))
            )
            at = end
        elif kind == "duration" and reading.selectors:
            reading.selectors[-1].range = word.strip("[]")
        elif word == "(":
            around.append(pending)
            pending = ""
        elif word == ")":
            around.pop()
        at += 1
    return reading


def _matchers(parts: list[Token]) -> Iterator[tuple[str, str, str]]:
    words = [word for _, word in parts if word != ","]
    for label, operator, value in zip(words[::3], words[1::3], words[2::3], strict=True):
        yield label, operator, value[1:-1].replace("\\\\", "\\")


def compared_parts(expression: str) -> Iterator[str]:
    """Yield what a condition compares: its largest parts with a series and without a comparison."""
    yield from (text(part) for part in _measured(tokens(expression)) if _read(part).selectors)


def _measured(parts: list[Token]) -> Iterator[list[Token]]:
    if not any(word in _COMPARE for _, word in _outside_braces(parts)):
        yield parts
        return
    for operators in (_SETS, _COMPARE, _SUMS, {","}):
        pieces = _split(parts, operators)
        if len(pieces) > 1:
            for piece in pieces:
                yield from _measured(_without_matching(piece))
            return
    openings = [at for at, (_, word) in enumerate(parts) if word == "(" and (at == 0 or not _is_list(parts, at))]
    if openings:
        yield from _measured(parts[openings[0] + 1 : _closing(parts, openings[0])])


def _is_list(parts: list[Token], at: int) -> bool:
    return parts[at - 1][1] in _LISTS


def _outside_braces(parts: list[Token]) -> Iterator[Token]:
    depth = 0
    for kind, word in parts:
        depth += (word == "{") - (word == "}")
        if depth == 0:
            yield kind, word


def _split(parts: list[Token], operators: set[str]) -> list[list[Token]]:
    depth = 0
    pieces: list[list[Token]] = [[]]
    for kind, word in parts:
        depth += (kind == "operator" and word in "({") - (kind == "operator" and word in ")}")
        if depth == 0 and word in operators and kind in {"operator", "name"}:
            pieces.append([])
        else:
            pieces[-1].append((kind, word))
    return [piece for piece in pieces if piece]


def _without_matching(parts: list[Token]) -> list[Token]:
    """Drop ``on (…)``, ``group_left`` and similar from the start of a right operand."""
    while parts and parts[0][1] in _LISTS | {"bool"}:
        listed = len(parts) > 1 and parts[1][1] == "("
        parts = parts[_closing(parts, 1) + 1 :] if listed else parts[1:]
    return parts


def _closing(parts: list[Token], opening: int) -> int:
    pairs = {"(": ")", "{": "}"}
    begin, end, depth = parts[opening][1], pairs[parts[opening][1]], 0
    for at in range(opening, len(parts)):
        depth += (parts[at][1] == begin) - (parts[at][1] == end)
        if depth == 0:
            return at
    raise ValueError(f"missing closing bracket in {text(parts[opening:])}")


def with_durations(expression: str, change: Callable[[float], float]) -> str:
    """Replace every range, step and offset by the result of ``change``, in seconds."""

    def changed(match: re.Match[str]) -> str:
        return f"{max(1, round(change(int(match[1]) * SECONDS[match[2]]) * 1000))}ms"

    out, after_offset = [], False
    for kind, word in tokens(expression):
        out.append(_DURATION.sub(changed, word) if kind == "duration" or after_offset else word)
        after_offset = word == "offset"
    return " ".join(out)
