"""The documents match the code: settings, metrics, commands, files and anchors, both ways."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from flask import Flask
from flask.testing import FlaskClient
from opentelemetry import environment_variables
from opentelemetry.sdk import environment_variables as sdk_variables

from church.cli import church as command_group
from church.config import Settings
from church.observability.metrics import definitions
from church.observability.metrics.worker_files import SLOTS
from church.services.billing.stripe.event_types import HANDLED
from church.web.route_access import policy_of
from ops import documents, screenshots

ROOT = documents.ROOT
DOCUMENTS = sorted((*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")))
SETTINGS = {str(field.validation_alias) for field in Settings.model_fields.values()}
# Read elsewhere than in Settings: by the image build, before the settings are loaded, by tests, and by Compose.
ELSEWHERE = {"CHURCH_COMMIT", "CHURCH_ENV_FILE", "CHURCH_REQUIRE_SERVICES", "CHURCH_MONITORING_SECRETS"}
MADE_BY_THE_OPERATOR = {"ops/.env", "content/hello.md"}

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())


def part(name: str, start: str, end: str) -> str:
    return (ROOT / name).read_text().partition(f"{start}\n")[2].partition(f"{end}\n")[0]


def first_cells(table: str) -> list[str]:
    return re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)


def samples_of(family: str) -> set[str]:
    return {family, *(f"{family}_{suffix}" for suffix in ("bucket", "sum", "count"))}


def anchors(document: Path) -> set[str]:
    """Return the anchors of all headings, by GitHub's rule."""
    text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# -- settings -------------------------------------------------------------------------------------------------------


def test_settings_page_names_every_setting_once_and_no_other() -> None:
    named = first_cells(part("docs/settings.md", "<!-- settings -->", "<!-- /settings -->"))
    assert sorted(named) == sorted(SETTINGS)


def test_setting_groups_have_every_setting_in_exactly_one_and_none_is_empty() -> None:
    assert {name: len(documents.groups_of(name)) for name in SETTINGS} == dict.fromkeys(SETTINGS, 1)
    assert all(documents.settings_by_group().values())


def test_example_environment_has_every_setting_at_its_default_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    written = part(".env.example", "# <settings>", "# </settings>")
    pairs = dict(re.findall(r"^#([A-Z0-9_]+)=(.*)$", written, re.MULTILINE))
    assert pairs.keys() == SETTINGS
    secret = {"CHURCH_ENV": "development", "SECRET_KEY": "x" * 40}
    plain = Settings(**secret)  # type: ignore[arg-type]  # by their environment names
    for name, value in (pairs | secret).items():
        monkeypatch.setenv(name, value)
    assert Settings() == plain


def test_settings_page_shows_default_form_and_limits() -> None:
    rows = documents.settings_reference().splitlines()
    assert "| `WEB_CONCURRENCY` | whole number, 1 to 64 | `2` | How many gunicorn workers serve requests. |" in rows
    assert any(row.startswith("| `CHURCH_THREATS` | `observe` or `block` | `observe` |") for row in rows)
    assert any(row.startswith("| `CHURCH_LOG_FIELDS` | `plain` or `otel` |  |") for row in rows)
    assert any(row.startswith("| `CHURCH_LIMIT_PAGE` | count/window | `600/minute` |") for row in rows)
    assert any(row.startswith("| `SECRET_KEY` | secret |  |") for row in rows)


@each_document
def test_document_names_only_settings_that_exist(document: Path) -> None:
    named = set(re.findall(r"\bCHURCH_[A-Z][A-Z0-9_]*[A-Z]\b", document.read_text()))
    assert named <= SETTINGS | ELSEWHERE


@each_document
def test_document_names_only_opentelemetry_variables_that_the_sdk_knows(document: Path) -> None:
    named = set(re.findall(r"\bOTEL_[A-Z][A-Z0-9_]*[A-Z]\b", document.read_text()))
    assert named <= vars(environment_variables).keys() | vars(sdk_variables).keys()


# -- the catalogue --------------------------------------------------------------------------------------------------


def test_catalogue_names_every_metric_of_the_code_once_and_no_other() -> None:
    table = part("TELEMETRY.md", "<!-- catalogue -->", "<!-- /catalogue -->").partition("### Labels")[0]
    named = first_cells(table)
    assert named == [row.name for row in documents.list_metrics()]
    assert len(set(named)) == len(named)


def test_catalogue_has_every_metric_that_a_scrape_shows(client: FlaskClient) -> None:
    assert SLOTS.directory is not None
    (SLOTS.directory / "state.json").unlink(missing_ok=True)  # an earlier test may have read a database without tables
    client.get("/pages/first-run").close()
    shown = dict(re.findall(r"^# TYPE (\w+) (\w+)$", client.get("/metrics").text, re.MULTILINE))
    assert shown.keys() > {"http_requests_total", "jobs_pending", "gunicorn_workers", "build_info"}
    declared = {row.name: row.kind for row in documents.list_metrics()}
    assert {name: declared.get(name) for name in shown} == shown


def test_catalogue_lists_the_labels_that_a_scrape_shows(client: FlaskClient) -> None:
    client.get("/pages/first-run").close()
    labels = {row.name: set(row.labels) for row in documents.list_metrics()}
    for name, inside in re.findall(r"^(\w+)\{(.*)\} ", client.get("/metrics").text, re.MULTILINE):
        family = next(family for family in labels if name in samples_of(family))
        assert set(re.findall(r'(\w+)="', inside)) - {"le"} == labels[family]


def test_catalogue_has_the_values_of_every_label_of_every_metric_once() -> None:
    table = part("TELEMETRY.md", "<!-- catalogue -->", "<!-- /catalogue -->").partition("### Labels")[2]
    listed = re.findall(r"^\| `(\w+)` \| `(\w+)` \| \S", table, re.MULTILINE)
    assert listed == [(row.name, label) for row in documents.list_metrics() for label in row.labels]


def test_label_values_are_of_labels_that_exist_and_open_labels_have_none() -> None:
    used = {(row.name, label) for row in documents.list_metrics() for label in row.labels}
    fixed = documents.label_values().keys()
    assert fixed <= used
    assert {label for _, label in used - fixed} == documents.OPEN_LABELS.keys()


def test_catalogue_lists_the_label_values_that_a_scrape_shows(client: FlaskClient) -> None:
    client.get("/pages/first-run").close()
    listed, shown = documents.label_values(), set()
    families = {sample: row.name for row in documents.list_metrics() for sample in samples_of(row.name)}
    for sample, inside in re.findall(r"^(\w+)\{(.*)\} ", client.get("/metrics").text, re.MULTILINE):
        family = families[sample]
        pairs = re.findall(r'(\w+)="([^"]*)"', inside)
        shown |= {(family, label, value) for label, value in pairs if (family, label) in listed}
    assert {sample for sample in shown if sample[2] not in listed[sample[:2]]} == set()
    # labels whose values all exist from the start
    for family in ("auth_attempts_total", "websocket_messages_total", "outbound_request_duration_seconds"):
        for (name, label), values in listed.items():
            if name == family:
                assert {sample[2] for sample in shown if sample[:2] == (name, label)} | {definitions.OTHER} == {
                    *values,
                    definitions.OTHER,
                }


def test_queries_use_only_metrics_that_exist() -> None:
    existing = {sample for row in documents.list_metrics() for sample in samples_of(row.name)} | {"up"}
    fences = re.findall(r"```promql\n(.*?)```", (ROOT / "TELEMETRY.md").read_text(), re.DOTALL)
    code = re.sub(r"#.*|\{.*?\}|\[\w+\]|\b(?:by|without) \(.*?\)", "", "\n".join(fences))
    queried = set(re.findall(r"\b[a-z_]{2,}\b(?! ?\()", code)) - {"sum", "min", "max", "or"}
    assert queried
    assert queried <= existing


def test_deployment_lists_the_webhook_events_that_are_handled_and_counted_and_no_other() -> None:
    listed = part("docs/deployment.md", "   <!-- events -->", "   <!-- /events -->").split()[1:-1]
    assert len(listed) == len(set(listed))
    assert set(listed) == HANDLED == set(definitions.STRIPE_EVENTS)


# -- commands, files, anchors ---------------------------------------------------------------------------------------


def commands_in(text: str) -> Iterator[tuple[str, str]]:
    """Yield the NAME of each ``flask church NAME`` and the rest of its line."""
    yield from re.findall(r"\bflask(?: --app [\w./]+)? church ([a-z]\w*)([^`\n|&;]*)", text)


@each_document
def test_document_names_only_commands_and_options_that_exist(document: Path) -> None:
    for name, arguments in commands_in(document.read_text()):
        rest, command = arguments, command_group.commands.get(name)
        assert command is not None, f"flask church {name}"
        while isinstance(command, click.Group) and (inner := re.match(r" ([a-z][\w-]*)", rest)):
            command, rest = command.commands.get(inner[1]), rest[inner.end() :]
            assert command is not None, f"flask church {name} … {inner[1]}"
        options = {option for p in command.params if isinstance(p, click.Option) for option in p.opts} | {"--help"}
        assert set(re.findall(r"(?<!\S)--\w+", rest)) <= options, f"flask church {name}{rest}"


def test_commands_page_has_a_section_for_every_command_and_no_other() -> None:
    text = part("docs/commands.md", "<!-- commands -->", "<!-- /commands -->")
    assert re.findall(r"^## (flask church .+)$", text, re.MULTILINE) == [name for name, _ in documents.list_commands()]
    assert {name.split()[2] for name, _ in documents.list_commands()} == command_group.commands.keys()


def test_commands_page_shows_usage_and_every_option_with_its_help() -> None:
    text = part("docs/commands.md", "<!-- commands -->", "<!-- /commands -->")
    for name, command in documents.list_commands():
        section = text.partition(f"## {name}\n")[2].partition("\n## ")[0]
        assert f"```\n{name}" in section
        for option in (param for param in command.params if isinstance(param, click.Option)):
            assert re.search(rf"^\| `{option.opts[0]}\b.*` \| \w", section, re.MULTILINE), f"{name} {option.opts[0]}"


def test_security_lists_every_route_with_its_methods_and_who_may_use_it(app: Flask) -> None:
    rows = re.findall(r"^\| (`/.+?) \| ([A-Z, ]+) \| (.+?) \|", (ROOT / "SECURITY.md").read_text(), re.MULTILINE)
    documented = [
        (rule, method, who.partition(";")[0].replace("`", ""))
        for rules, methods, who in rows
        for rule in re.findall(r"`([^`]+)`", rules)
        for method in methods.split(", ")
    ]
    actual = {
        (re.sub(r"<int\(.*?\):", "<", rule.rule), method, policy.name)
        for rule in app.url_map.iter_rules()
        if (policy := policy_of(app.view_functions[rule.endpoint])) is not None
        for method in (rule.methods or set()) - {"OPTIONS"}
    }
    assert sorted(documented) == sorted(actual)  # each once


@each_document
def test_document_links_to_files_and_headings_that_exist(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@each_document
def test_document_names_only_files_that_exist(document: Path) -> None:
    named = re.findall(
        r"[\s`(]((?:church|ops|tests|docs|templates|static|content)/[\w./-]*\w)(?=[\s`,.;:)#\]])", document.read_text()
    )
    missing = [name for name in named if not (ROOT / name).exists() and name not in MADE_BY_THE_OPERATOR]
    assert missing == []


def test_readme_shows_every_screenshot_and_none_is_too_large() -> None:
    shown = re.findall(r"""(?:\]\(|src=")docs/img/([\w.-]+)""", (ROOT / "README.md").read_text())
    assert sorted(shown) == sorted(shot.name for shot in screenshots.SHOTS)
    assert max((screenshots.IMAGES / name).stat().st_size for name in shown) <= screenshots.MOST_BYTES


# -- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replace ROOT by a folder with copies of the documents that have a generated part."""
    for name in ("docs/settings.md", "docs/commands.md", ".env.example", "TELEMETRY.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    monkeypatch.setattr(documents, "ROOT", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("docs/settings.md", "How many gunicorn workers"),
        ("docs/commands.md", "Run queued and scheduled jobs"),
        ("TELEMETRY.md", "`failed_credentials`"),
    ],
)
def test_check_lists_the_document_that_differs_and_write_updates_it(
    copies: Path, capsys: pytest.CaptureFixture[str], name: str, words: str
) -> None:
    assert documents.main(["--check"]) == 0, "run python -m ops.documents --write"
    document = copies / name
    original = document.read_text()
    document.write_text(original.replace(words, "Something else", 1))
    assert documents.main(["--check"]) == 1
    assert capsys.readouterr().out.startswith(f"{document.name}: differs")
    assert documents.main(["--write"]) == 0
    assert document.read_text() == original


def test_document_without_its_markers_is_refused(copies: Path) -> None:
    (copies / "TELEMETRY.md").write_text("no markers here\n")
    with pytest.raises(ValueError, match="no lines <!-- catalogue -->"):
        documents.main(["--check"])
