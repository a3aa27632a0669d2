"""Generate the reference parts of the documents from the code: settings, commands and metrics.

``python -m ops.documents --write`` updates docs/settings.md, .env.example, docs/commands.md and the catalogue in
TELEMETRY.md, each between a pair of marker lines. ``--check`` only lists documents that differ; a test runs it.
"""

from __future__ import annotations

import argparse
import inspect
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click
from annotated_types import Ge, Gt, Le
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from church import create_app
from church.cli import church as command_group
from church.config import Settings, load_settings
from church.extensions import telemetry
from church.lib.log_fields import OTEL_NAMES, to_otel
from church.models.billing import OPEN_STATUSES
from church.observability.metrics import definitions, scrape_registry
from church.observability.metrics.definitions import OTHER
from church.observability.threats import scan_text
from church.services import dora

ROOT = Path(__file__).resolve().parent.parent

# Name patterns of each group of settings; a test checks that every setting is in exactly one group.
SETTING_GROUPS = {
    "Site": ("CHURCH_ENV", "CHURCH_SITE_*", "CHURCH_INSTANCE", "CHURCH_CONTENT"),
    "Look": ("CHURCH_TAGLINE", "CHURCH_DESCRIPTION", "CHURCH_LOGO", "CHURCH_SHARE_*", "CHURCH_ACCENT", "CHURCH_FOOTER"),
    "Server": (
        *("CHURCH_BIND", "WEB_CONCURRENCY", "CHURCH_TRUSTED_PROXIES"),
        *("CHURCH_MAX_BODY", "CHURCH_BODY_TIMEOUT", "CHURCH_CONNECTIONS_PER_ADDRESS"),
    ),
    "Security": ("SECRET_KEY*", "CHURCH_ALLOW_HTTP", "CHURCH_PASSWORD_*", "CHURCH_SESSION_*", "CHURCH_THREATS*"),
    "Database and store": ("DATABASE_URL", "CHURCH_DATABASE_*", "REDIS_URL", "CHURCH_STORE_*"),
    "Background jobs": ("CHURCH_JOBS_*",),
    "Email": ("CHURCH_SMTP_*", "CHURCH_MAIL_*", "CHURCH_EMAIL_*"),
    "Payments": ("STRIPE_*", "CHURCH_TILL_*", "CHURCH_AUTOMATIC_TAX", "CHURCH_GRACE_DAYS"),
    "Videos": ("CHURCH_VIDEO_*", "AWS_*"),
    "Chat": ("CHURCH_LIVE_*",),
    "Deliveries (DORA)": ("CHURCH_ENVIRONMENTS", "CHURCH_DORA_*", "CHURCH_INCIDENT_*"),
    "Telemetry and logs": (
        "METRICS_TOKEN",
        "CHURCH_TELEMETRY",
        "CHURCH_TRACE_*",
        "CHURCH_WEB_VITALS",
        "LOG_LEVEL",
        "CHURCH_LOG_*",
        "CHURCH_OBSERVATORY*",
    ),
    "Rate limits": ("CHURCH_LIMIT_*",),
}

# The form of a value, by the validator of church.config that checks it.
_FORMS = {
    "_is_rate": "count/window",
    "_is_origin": "origin",
    "_is_bind": "address:port",
    "_is_postgresql": "address, secret",
    "_is_redis": "address, secret",
    "_is_smtp": "address, secret",
    "_is_mailbox": "email address",
    "_is_color": "#rrggbb",
    "_is_logo": "file",
    "_is_share_image": "file",
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
_MEASURED_BY_BROWSERS = (
    "web_script_errors_total",
    "web_vitals_cls",
    "web_vitals_inp_seconds",
    "web_vitals_lcp_seconds",
    "web_vitals_ttfb_seconds",
)
OPEN_LABELS = {
    "commit": "the commit that runs, or `unknown`",
    "currency": "a currency of the prices at Stripe, such as `usd`",
    "environment": "one of `CHURCH_ENVIRONMENTS`",
    "kind": "a kind of job, such as `mail.send`",
    "path": "`instance`, `logs` or `videos`",
    "plan": "a plan's short name, of the first 50, or `other`",
    "python": "the version of Python",
    "route": "the rule of a route, such as `/pages/<path:slug>`, or `_unmatched`; never a path",
    "scope": "`site`: all hosts, or `host`: this one alone",
    "slot": "a number",
    "status_class": "`1xx` to `5xx`",
    "status_code": "the status, such as `200`",
    "version": "the release",
    "video_id": "the slug of one of the first 200 videos, or `other`",
}
"""Descriptions of the labels without a fixed set of values."""
_COUNTED, _SCRAPE, _DATABASE, _PROCESS = "counted", "scrape", "database", "process"


@dataclass(frozen=True)
class MetricRow:
    """A metric in the catalogue; ``name`` is the one in the text exposition."""

    name: str
    kind: str
    labels: tuple[str, ...]
    source: str
    meaning: str


# -- settings -------------------------------------------------------------------------------------------------------


def groups_of(name: str) -> list[str]:
    """List the groups that a setting matches: exactly one, unless SETTING_GROUPS has a mistake."""
    return [group for group, patterns in SETTING_GROUPS.items() if any(fnmatchcase(name, p) for p in patterns)]


def settings_by_group() -> dict[str, list[FieldInfo]]:
    """Return the settings of each group, in the order of the code."""
    by_group: dict[str, list[FieldInfo]] = {group: [] for group in SETTING_GROUPS}
    for field in Settings.model_fields.values():
        for group in groups_of(str(field.validation_alias)):
            by_group[group].append(field)
    return by_group


def settings_reference() -> str:
    """Return a markdown table for each group: setting, form, default and meaning."""
    parts = []
    for group, fields in settings_by_group().items():
        rows = [
            (f"`{field.validation_alias}`", _form(field), _code(_default(field)), str(field.description))
            for field in fields
        ]
        parts.append(f"## {group}\n\n{_table(('setting', 'form', 'default', 'meaning'), rows)}")
    return "\n".join(parts)


def settings_example() -> str:
    """Return an environment file with every setting commented out, at its default."""
    parts = []
    for group, fields in settings_by_group().items():
        parts.append(f"# ---- {group} ----\n")
        for field in fields:
            meaning = str(field.description).replace("`", "")
            form = _form(field).replace("`", "")
            parts.append(f"# {meaning}\n# {form}\n#{field.validation_alias}={_default(field)}\n")
    return "\n".join(parts)


def log_names_table() -> str:
    """Return a table of the names of log records' fields, plain and OpenTelemetry's."""
    rows = [(_code(plain), _code(otel)) for plain, otel in OTEL_NAMES.items()]
    return _table(
        ("plain", "OpenTelemetry"), [*rows, ("any other, such as `request_id`", _code(to_otel("request_id")))]
    )


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


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
    """Describe the values of a setting, by its annotation and limits."""
    kinds = [field.annotation, *get_args(field.annotation)]  # an optional one has None beside it
    for kind in kinds:
        if get_origin(kind) is Literal:
            return " or ".join(f"`{choice}`" for choice in get_args(kind))
    declared = f"{field.annotation} {field.metadata}"
    for validator, form in _FORMS.items():
        if validator in declared:
            return form
    if "SecretStr" in declared:
        return "secret"
    if "tuple" in declared:
        return "list, separated by commas"
    return _KINDS[field.annotation] + _limits(field.metadata)  # type: ignore[index]


def _limits(metadata: Sequence[Any]) -> str:
    formats = {Ge: "{0.ge}", Gt: "above {0.gt}", Le: "to {0.le}"}
    limits = [formats[type(limit)].format(limit) for limit in metadata if type(limit) in formats]
    return f", {' '.join(limits)}{' or more' if len(limits) == 1 else ''}" if limits else ""


# -- the catalogue --------------------------------------------------------------------------------------------------


@cache
def list_metrics() -> list[MetricRow]:
    """List every metric that a scrape can show, sorted by name."""
    return sorted((*_counted_rows(), *_scraped_rows()), key=lambda row: row.name)


def _counted_rows() -> Iterator[MetricRow]:
    """Yield the metrics that the processes count themselves."""
    for collector in definitions.CATALOGUE._collector_to_names:
        family = next(iter(collector.describe()))  # type: ignore[attr-defined]  # our collectors all have it
        labels = collector._labelnames  # type: ignore[attr-defined]
        yield MetricRow(_exposed_name(family), family.type, tuple(labels), _COUNTED, family.documentation)


def _scraped_rows() -> Iterator[MetricRow]:
    """Yield the metrics that are read at each scrape."""
    with tempfile.TemporaryDirectory() as folder:
        site = load_settings(CHURCH_ENV="development", CHURCH_INSTANCE=folder, SECRET_KEY="-")
        create_app(site)
        for metric in telemetry.state.metrics:
            source = _DATABASE if metric.shared else _SCRAPE
            name = f"{metric.name}_total" if metric.kind == "counter" else metric.name
            yield MetricRow(name, metric.kind, metric.labels, source, metric.help)
        for family in scrape_registry.read_processes(Path(folder)):
            labels = tuple(family._labelnames)  # type: ignore[attr-defined]
            yield MetricRow(_exposed_name(family), family.type, labels, _PROCESS, family.documentation)


def _exposed_name(family: Any) -> str:
    """Return the name in the text format, where a counter ends in _total."""
    return f"{family.name}_total" if family.type == "counter" else str(family.name)


def catalogue_tables() -> str:
    """Return the catalogue as a markdown table, and a second table with the values of each metric's labels."""
    rows = [(f"`{r.name}`", r.kind, ", ".join(r.labels), r.source, r.meaning) for r in list_metrics()]
    values = [(f"`{r.name}`", f"`{label}`", _values(r.name, label)) for r in list_metrics() for label in r.labels]
    return (
        f"{_table(('metric', 'type', 'labels', 'from', 'meaning'), rows)}\n### Labels\n\n"
        f"{_table(('metric', 'label', 'values'), values)}"
    )


def _values(metric: str, label: str) -> str:
    fixed = label_values().get((metric, label))
    return OPEN_LABELS[label] if fixed is None else ", ".join(f"`{value}`" for value in fixed)


@cache
def label_values() -> dict[tuple[str, str], tuple[str, ...]]:
    """Return the values of each (metric, label) that has a fixed set of them."""
    methods = (*sorted(definitions.METHODS), "_OTHER")
    message_types = dict.fromkeys((*definitions.MESSAGES_RECEIVED, *definitions.MESSAGES_SENT, OTHER))
    return {
        ("auth_attempts_total", "type"): (*definitions.AUTH_TYPES, OTHER),
        ("auth_attempts_total", "outcome"): (*definitions.AUTH_OUTCOMES, OTHER),
        ("content_access_total", "content_type"): (*definitions.CONTENT_TYPES, OTHER),
        ("content_access_total", "access_level"): (*definitions.ACCESS_LEVELS, OTHER),
        ("content_access_total", "outcome"): (*definitions.CONTENT_OUTCOMES, OTHER),
        ("delivery_items_ignored_total", "kind"): (*definitions.DELIVERY_ITEMS, OTHER),
        ("dora_sample_size", "metric"): tuple(dora.UNITS),
        ("http_request_duration_seconds", "method"): methods,
        ("http_requests_total", "method"): methods,
        ("outbound_request_duration_seconds", "service"): (*definitions.OUTBOUND_SERVICES, OTHER),
        ("outbound_request_duration_seconds", "outcome"): definitions.OUTBOUND_OUTCOMES,
        ("process_cpu_by_work_seconds_total", "work"): definitions.WORK,
        ("rate_limit_hits_total", "limit"): (*definitions.LIMITS, OTHER),
        ("security_events_total", "event_type"): (*definitions.SECURITY_EVENTS, OTHER),
        ("security_events_total", "severity"): (*definitions.SEVERITIES, OTHER),
        ("stripe_subscriptions_active", "status"): (*OPEN_STATUSES, OTHER),
        ("stripe_webhooks_total", "event_type"): (*definitions.STRIPE_EVENTS, OTHER),
        ("stripe_webhooks_total", "status"): (*definitions.WEBHOOK_STATUSES, OTHER),
        ("suspicious_activity_total", "activity_type"): tuple(sorted(scan_text.ACTIVITY_TYPES)),
        ("suspicious_activity_total", "source"): tuple(sorted(definitions.SOURCES)),
        ("telemetry_errors_total", "part"): (*definitions.TELEMETRY_PARTS, OTHER),
        ("telemetry_shared_metric", "metric"): tuple(r.name for r in list_metrics() if r.source == _DATABASE),
        ("user_registrations_total", "source"): (*definitions.REGISTRATION_SOURCES, OTHER),
        ("video_streams_total", "quality"): (*definitions.VIDEO_QUALITIES, OTHER),
        ("video_streams_total", "outcome"): (*definitions.VIDEO_OUTCOMES, OTHER),
        ("websocket_connections_total", "outcome"): (*definitions.CONNECTION_OUTCOMES, OTHER),
        ("websocket_deliveries_total", "outcome"): definitions.DELIVERIES,
        ("websocket_messages_total", "direction"): ("in", "out"),
        ("websocket_messages_total", "message_type"): tuple(message_types),
        **dict.fromkeys(((name, "device") for name in _MEASURED_BY_BROWSERS), (*definitions.DEVICES, OTHER)),
    }


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


# -- the commands ---------------------------------------------------------------------------------------------------


def list_commands() -> Iterator[tuple[str, click.Command]]:
    """Yield every command with its full name, such as ``flask church user create``, in alphabetical order."""
    yield from _commands_below("flask church", command_group)


def _commands_below(name: str, group: click.Group) -> Iterator[tuple[str, click.Command]]:
    for inner, command in sorted(group.commands.items()):
        full = f"{name} {inner}"
        if isinstance(command, click.Group):
            yield from _commands_below(full, command)
        else:
            yield full, command


def commands_reference() -> str:
    """Return a table of all commands, then the help, usage and options of each."""
    rows = [
        (f"[`{name}`](#{name.replace(' ', '-')})", command.get_short_help_str(200)) for name, command in list_commands()
    ]
    details = [_command(name, command) for name, command in list_commands()]
    return "\n".join((_table(("command", "what it does"), rows), *details))


def _command(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=name)
    records = [param.get_help_record(context) for param in command.params if isinstance(param, click.Option)]
    rows = [(f"`{record[0]}`", " ".join(record[1].split())) for record in records if record is not None]
    pieces = [piece for piece in command.collect_usage_pieces(context) if rows or piece != "[OPTIONS]"]
    parts = [f"## {name}\n", f"{inspect.cleandoc(command.help or '')}\n", f"```\n{' '.join((name, *pieces))}\n```\n"]
    if rows:
        parts.append(_table(("option", "what it does"), rows))
    return "\n".join(parts)


# -- the documents --------------------------------------------------------------------------------------------------


def render_documents() -> dict[Path, str]:
    """Return the up-to-date text of each document with a generated part. Raises ValueError if a marker is missing."""
    parts = (
        ("docs/settings.md", "<!-- settings -->", "<!-- /settings -->", settings_reference()),
        (".env.example", "# <settings>", "# </settings>", settings_example()),
        ("docs/commands.md", "<!-- commands -->", "<!-- /commands -->", commands_reference()),
        ("TELEMETRY.md", "<!-- catalogue -->", "<!-- /catalogue -->", catalogue_tables()),
        ("TELEMETRY.md", "<!-- log names -->", "<!-- /log names -->", log_names_table()),
    )
    documents: dict[Path, str] = {}
    for name, start, end, text in parts:
        path = ROOT / name
        documents[path] = _replace_between(documents.get(path) or path.read_text(), start, end, text)
    return documents


def _replace_between(document: str, start: str, end: str, text: str) -> str:
    before, start_line, rest = document.partition(f"{start}\n")
    _, end_line, after = rest.partition(f"{end}\n")
    if not start_line or not end_line:
        raise ValueError(f"no lines {start} and {end}")
    return f"{before}{start_line}\n{text}\n{end_line}{after}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the generated parts of the documents, or list the ones that differ and return 1."""
    parser = argparse.ArgumentParser(prog="python -m ops.documents", description=(__doc__ or "").partition("\n")[0])
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="bring the documents up to date")
    action.add_argument("--check", action="store_true", help="write nothing; exit 1 if a document differs")
    options = parser.parse_args(arguments)
    stale = {path: text for path, text in render_documents().items() if path.read_text() != text}
    for path, text in stale.items():
        if options.write:
            path.write_text(text)
        print(f"{path.name}: {'written' if options.write else 'differs; run python -m ops.documents --write'}")
    return 1 if stale and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
