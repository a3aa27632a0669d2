"""The parts of the documents that are made from the code, so that they cannot say something else.

``python -m ops.documents --write`` puts the settings into README.md and .env.example and the catalogue into
TELEMETRY.md, each between a pair of marker lines; ``--check`` says what differs. A test holds the documents to it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from church import create_app
from church.config import Settings, load_settings
from church.extensions import telemetry
from church.observability.metrics import definitions, live_definitions, scrape_registry, video_definitions
from church.observability.threats import scan_text
from church.services import dora
from church.services.billing import scrape_counts

ROOT = Path(__file__).resolve().parent.parent

# What a validator of church.config wants, in words.
_FORMS = {
    "_is_rate": "count/window",
    "_is_origin": "origin",
    "_is_bind": "address:port",
    "_is_postgresql": "address, secret",
    "_is_redis": "address, secret",
    "_is_smtp": "address, secret",
    "_is_mailbox": "mail address",
}
_KINDS = {
    bool: "`true` or `false`",
    Path: "folder",
    Path | None: "folder",
    str | None: "text",
    int: "whole number",
    float: "seconds",
    str: "text",
}
_COUNTED, _READ, _SHARED, _PROCESS = "counted", "scrape", "database", "process"


@dataclass(frozen=True)
class Row:
    """One metric as the catalogue shows it; ``name`` is that of the text exposition."""

    name: str
    kind: str
    labels: tuple[str, ...]
    source: str
    meaning: str


# -- settings -------------------------------------------------------------------------------------------------------


def _settings() -> list[FieldInfo]:
    """The fields in the order in which they are read about: the site's own, then those of its parts."""
    named = sorted(Settings.model_fields.items(), key=lambda item: item[0] not in Settings.__annotations__)
    return [field for _, field in named]


def settings_table() -> str:
    """Every setting with its form, default and meaning, as a markdown table."""
    rows = []
    for field in _settings():
        default = _default(field)
        shown = f"`{default}`" if default else ""
        rows.append((f"`{field.validation_alias}`", _form(field), shown, str(field.description)))
    return _table(("setting", "form", "default", "meaning"), rows)


def settings_example() -> str:
    """Every setting commented out, at its default, as an environment file."""
    parts = []
    for field in _settings():
        meaning = str(field.description).replace("`", "")
        parts.append(f"# {meaning}\n# {_form(field).replace('`', '')}\n#{field.validation_alias}={_default(field)}\n")
    return "\n".join(parts)


def _default(field: FieldInfo) -> str:
    value = field.default
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return "" if value is None else str(value)


def _form(field: FieldInfo) -> str:
    """What a setting's value looks like, by its annotation and limits."""
    if get_origin(field.annotation) is Literal:
        return " or ".join(f"`{choice}`" for choice in get_args(field.annotation))
    written = f"{field.annotation} {field.metadata}"
    for validator, form in _FORMS.items():
        if validator in written:
            return form
    if "SecretStr" in written:
        return "secret"
    if "tuple" in written:
        return "list by commas"
    return _KINDS[field.annotation] + _limits(field.metadata)  # type: ignore[index]


def _limits(metadata: Sequence[Any]) -> str:
    words = {Ge: "from {0.ge}", Gt: "above {0.gt}", Le: "to {0.le}"}
    return "".join(f", {words[type(limit)].format(limit)}" for limit in metadata if type(limit) in words)


# -- the catalogue --------------------------------------------------------------------------------------------------


def catalogue() -> list[Row]:
    """Every metric that a scrape can show, by name."""
    return sorted((*_counted(), *_read()), key=lambda row: row.name)


def _counted() -> Iterator[Row]:
    for collector in definitions.CATALOGUE._collector_to_names:
        family = next(iter(collector.describe()))  # type: ignore[attr-defined]  # our collectors all have it
        labels = collector._labelnames  # type: ignore[attr-defined]
        yield Row(_shown(family), family.type, tuple(labels), _COUNTED, family.documentation)


def _read() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        site = load_settings(CHURCH_ENV="development", CHURCH_INSTANCE=folder, SECRET_KEY="-")  # noqa: S106 (signs nothing)
        create_app(site)
        for metric in telemetry.state.metrics:
            source = _SHARED if metric.shared else _READ
            name = f"{metric.name}_total" if metric.kind == "counter" else metric.name
            yield Row(name, metric.kind, metric.labels, source, metric.help)
        for family in scrape_registry.process_families(Path(folder)):
            labels = tuple(family._labelnames)  # type: ignore[attr-defined]
            yield Row(_shown(family), family.type, labels, _PROCESS, family.documentation)


def _shown(family: Any) -> str:
    """The name in the text format, where a counter ends in _total."""
    return f"{family.name}_total" if family.type == "counter" else str(family.name)


def catalogue_table() -> str:
    """The catalogue as a markdown table, and below it the values of the labels whose values are a fixed set."""
    rows = [(f"`{r.name}`", r.kind, ", ".join(r.labels), r.source, r.meaning) for r in catalogue()]
    values = [(f"`{name}`", ", ".join(f"`{value}`" for value in known)) for name, known in label_values().items()]
    return f"{_table(('name', 'type', 'labels', 'from', 'meaning'), rows)}\n{_table(('label', 'values'), values)}"


def label_values() -> dict[str, tuple[str, ...]]:
    """The labels whose values are a fixed set, with that set."""
    return {
        "method": (*sorted(definitions.METHODS), "_OTHER"),
        "event_type": (*definitions.SECURITY_EVENTS, *definitions.STRIPE_EVENTS, definitions.OTHER),
        "severity": (*definitions.SEVERITIES, definitions.OTHER),
        "activity_type": tuple(sorted(scan_text.ACTIVITY_TYPES)),
        "source": (*sorted(definitions.SOURCES), *definitions.REGISTRATION_SOURCES, definitions.OTHER),
        "limit": (*definitions.LIMITS, definitions.OTHER),
        "metric": tuple(dora.UNITS),
        "content_type": (*definitions.CONTENT_TYPES, definitions.OTHER),
        "access_level": (*definitions.ACCESS_LEVELS, definitions.OTHER),
        "status": (*definitions.WEBHOOK_STATUSES, *scrape_counts.STATUSES, definitions.OTHER),
        "type": (*definitions.AUTH_TYPES, definitions.OTHER),
        "outcome": tuple(
            dict.fromkeys(
                (
                    *(*definitions.CONTENT_OUTCOMES, *definitions.AUTH_OUTCOMES, *definitions.OUTBOUND_OUTCOMES),
                    *(*video_definitions.OUTCOMES, *live_definitions.CONNECTION_OUTCOMES, *live_definitions.DELIVERIES),
                    definitions.OTHER,
                )
            )
        ),
        "quality": (*video_definitions.QUALITIES, definitions.OTHER),
        "direction": ("in", "out"),
        "message_type": (*dict.fromkeys((*live_definitions.RECEIVED, *live_definitions.SENT)), definitions.OTHER),
        "service": (*definitions.OUTBOUND_SERVICES, definitions.OTHER),
        "part": (*definitions.TELEMETRY_PARTS, definitions.OTHER),
    }


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |\n" for line in lines)


# -- the documents --------------------------------------------------------------------------------------------------


def made() -> dict[Path, str]:
    """Each document that has a made part, as it should be. Raises ValueError where a marker is missing."""
    return {
        ROOT / name: _between((ROOT / name).read_text(), start, end, text)
        for name, start, end, text in (
            ("README.md", "<!-- settings -->", "<!-- /settings -->", settings_table()),
            (".env.example", "# <settings>", "# </settings>", settings_example()),
            ("TELEMETRY.md", "<!-- catalogue -->", "<!-- /catalogue -->", catalogue_table()),
        )
    }


def _between(document: str, start: str, end: str, text: str) -> str:
    before, opened, rest = document.partition(f"{start}\n")
    _, closed, after = rest.partition(f"{end}\n")
    if not opened or not closed:
        raise ValueError(f"no lines {start} and {end}")
    return f"{before}{opened}\n{text}\n{closed}{after}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the documents' made parts, or say which differ (exit code 1)."""
    parser = argparse.ArgumentParser(prog="python -m ops.documents", description=(__doc__ or "").partition("\n")[0])
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="bring the documents up to date")
    action.add_argument("--check", action="store_true", help="say which documents differ")
    options = parser.parse_args(arguments)
    stale = {path: text for path, text in made().items() if path.read_text() != text}
    for path, text in stale.items():
        if options.write:
            path.write_text(text)
        print(f"{path.name}: {'written' if options.write else 'differs; run python -m ops.documents --write'}")
    return 1 if stale and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
