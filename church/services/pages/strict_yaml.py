"""Read the lines of a front matter strictly: values stay the text that was written, and doubtful YAML is refused.

YAML 1.1 makes numbers, times and booleans of ``1.10``, ``12:30:00`` and ``no``, and PyYAML takes the last of two equal
names. Here nothing is converted, and a name may be there once (YAML 1.2, section 3.2.1.3), also in other letters.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import Any

_FIRST_LINE = 2  # of the file: the line of --- is the first
_DEEPEST = 12
_TEXT_TAGS = {"!", "tag:yaml.org,2002:str"}
# Invisible letters beside those of Unicode's category Cf: joiners, fillers, variation selectors.
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0" + "".join(map(chr, range(0xFE00, 0xFE10))))
_HINTS = {
    "did not find expected <document start>": "keep one block of `name: value`, without a line of ...",
    "mapping values are not allowed in this context": "put a value with a colon in quotes",
    "found character '\\t' that cannot start any token": "indent with blanks, not with tabs",
    "found character that cannot start any token": "put a value that begins with @ ` or % in quotes",
}


class StrictYamlError(ValueError):
    """The text is no YAML that can be read in one way only. The message is for its author."""


class Plain(str):
    """Text that is not in quotes, so that it may stand for nothing, as ``null`` and an empty value do."""

    __slots__ = ()


Value = str | list["Value"] | dict[str, "Value"]


def read_fields(text: str) -> dict[str, Value]:
    """Read lines of ``name: value``. Raises StrictYamlError."""
    yaml, loader = load_parser()
    try:
        _check_events(text)
        root = yaml.compose(text, Loader=loader)
    except yaml.MarkedYAMLError as error:
        raise StrictYamlError(_explain(error)) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise StrictYamlError(" ".join(str(error).split())[:200]) from None
    fields = _value(root) if root is not None else None
    if not isinstance(fields, dict):
        raise StrictYamlError("use lines of `name: value`")
    return fields


@cache
def load_parser() -> tuple[Any, Any]:
    """Import the YAML parser: module and loader. Call it on the hub first: imports in gevent's threads can deadlock."""
    import yaml  # noqa: PLC0415 - loaded when the first file is read

    return yaml, getattr(yaml, "CBaseLoader", yaml.BaseLoader)


def is_nothing(value: Value | None) -> bool:
    """Whether a value is left empty: no value, ``~``, ``null``, empty quotes, an empty list."""
    return not value or (isinstance(value, Plain) and value in {"~", "null", "Null", "NULL"})


def fold_name(name: str) -> str:
    """Return ``name`` without case, width, invisible letters and outer blanks: equal ones are one name."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return "".join(c for c in folded if unicodedata.category(c) != "Cf" and c not in _INVISIBLE).strip()


def _check_events(text: str) -> None:
    """Refuse anchors, aliases, tags, a second document, and nesting that no page needs."""
    yaml, loader = load_parser()
    depth = documents = 0
    for event in yaml.parse(text, Loader=loader):
        line = event.start_mark.line + _FIRST_LINE
        documents += isinstance(event, yaml.DocumentStartEvent)
        if documents > 1:
            raise StrictYamlError(f"line {line}: a second document begins; keep one block of `name: value`")
        if getattr(event, "anchor", None):
            sign = "*" if isinstance(event, yaml.AliasEvent) else "&"
            raise StrictYamlError(
                f"line {line}: {sign}{event.anchor} is a reference; write the value, or quote the text"
            )
        tag = getattr(event, "tag", None)
        if tag is not None and tag not in _TEXT_TAGS:
            raise StrictYamlError(f"line {line}: {tag[:60]} is a type; write the value alone, or quote the text")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            raise StrictYamlError(f"line {line}: nested more than {_DEEPEST} times")


def _value(node: Any) -> Value:
    if node.id == "scalar":
        return str(node.value) if node.style else Plain(node.value)  # C's parser says "", Python's None
    if node.id == "sequence":
        return [_value(item) for item in node.value]
    fields: dict[str, Value] = {}
    seen: dict[str, tuple[str, int]] = {}
    for key, value in node.value:
        line = key.start_mark.line + _FIRST_LINE
        if key.id != "scalar":
            raise StrictYamlError(f"line {line}: a name must be text")
        name = str(key.value)
        if name == "<<":
            raise StrictYamlError(f"line {line}: << copies other lines; write each line out")
        first, first_line = seen.setdefault(fold_name(name), (name, line))
        if len(seen) == len(fields):
            raise StrictYamlError(_twice(first, first_line, name, line))
        fields[name] = _value(value)
    return fields


def _twice(first: str, first_line: int, name: str, line: int) -> str:
    lines = f"(line {line}); keep one" if first_line == line else f"(lines {first_line} and {line}); keep one"
    if first == name:
        return f"`{name[:60]}` is there twice {lines}"
    return f"`{first[:60]}` and `{name[:60]}` are the same name {lines}"


def _explain(error: Any) -> str:
    problem = str(error.problem or "not YAML")
    line = f"line {error.problem_mark.line + _FIRST_LINE}: " if error.problem_mark else ""
    hint = next((hint for words, hint in _HINTS.items() if problem.startswith(words)), None)
    return f"{line}{problem[:150]}" + (f"; {hint}" if hint else "")
