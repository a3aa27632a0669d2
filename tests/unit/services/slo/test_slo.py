"""The file of objectives and the generated rules: errors by field, budgets, alerts, and the shipped rules."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from church.cli import church
from church.errors import FieldErrors
from church.services import slo
from church.services.slo import rule_files
from church.services.slo.spec import read_spec
from ops import documents

SPEC = documents.ROOT / "ops" / "slo.yml"
MINIMAL: dict[str, Any] = {
    "service": "shop",
    "runbooks": "https://shop.example/runbooks",
    "slos": [
        {
            "name": "orders",
            "objective": 99.9,
            "description": "Orders are taken.",
            "alert": "Orders",
            "minimum": 50,
            "sli": {"total": "orders_total", "errors": 'orders_total{outcome!="done"}'},
            "samples": {"good": ['orders_total{outcome="done"}'], "error": ['orders_total{outcome="lost"}']},
        }
    ],
}


def spec(place: str = "", value: object = None) -> str:
    """Write the minimal file as YAML with another value in one place, such as ``slos.0.sli.total``; None removes it."""
    text = yaml.safe_dump(MINIMAL)
    whole = yaml.safe_load(text)
    part, (*way, last) = whole, place.split(".")
    for step in way:
        part = part[int(step)] if isinstance(part, list) else part[step]
    if place and value is None:
        del part[last]
    elif place:
        part[last] = value
    return yaml.safe_dump(whole)


def rules(text: str) -> dict[str, Any]:
    """Generate the rules of a file, by the series or alert they make; a page comes before its ticket."""
    groups = yaml.safe_load(rule_files.generate_files(text)[rule_files.RULES])["groups"]
    found: dict[str, Any] = {}
    for rule in (rule for group in groups for rule in group["rules"]):
        name = rule.get("record") or f"{rule['alert']} {rule['labels']['sloth_severity']}"
        found.setdefault(name, rule)
    return found


@pytest.mark.parametrize(
    ("place", "value", "field"),
    [
        ("service", None, "service"),
        ("service", "The Shop", "service"),
        ("extra", "more", "extra"),
        ("slos", [], "slos"),
        ("labels", {"sloth_id": "mine"}, "labels.sloth_id"),
        ("labels", {"team": 7}, "labels.team"),
        ("slos.0.objective", 100, "slos[0].objective"),
        ("slos.0.objective", 93, "slos[0].objective"),
        ("slos.0.objective", float("nan"), "slos[0].objective"),
        ("slos.0.objective", "99.9", "slos[0].objective"),
        ("slos.0.minimum", 0, "slos[0].minimum"),
        ("slos.0.description", "two\nlines", "slos[0].description"),
        ("slos.0.description", "{{ $value }}", "slos[0].description"),
        ("slos.0.alert", "orders burn", "slos[0].alert"),
        ("slos.0.sli.total", "rate(orders_total[5m])", "slos[0].sli.total"),
        ("slos.0.sli.errors", 'orders_total{outcome=~"do"ne"}', "slos[0].sli.errors"),
        ("slos.0.sli.errors", None, "slos[0].sli"),
        ("slos.0.sli.good", "orders_total", "slos[0].sli"),
        ("slos.0.samples.good", ['orders_total{outcome=~"done"}'], "slos[0].samples.good[0]"),
        ("slos.0.samples.error", [], "slos[0].samples.error"),
        ("slos", [*MINIMAL["slos"], MINIMAL["slos"][0] | {"alert": "Others"}], "slos[1].name"),
        ("slos", [*MINIMAL["slos"], MINIMAL["slos"][0] | {"name": "others"}], "slos[1].alert"),
    ],
)
def test_invalid_field_is_named(place: str, value: object, field: str) -> None:
    with pytest.raises(FieldErrors) as refused:
        read_spec(spec(place, value))
    assert list(refused.value.errors) == [field]


@pytest.mark.parametrize(
    "text", ["", "- 1", "a: [", "slos: !!python/name:os.system", "service: 2024-99-99", "[" * 10_000]
)
def test_file_without_objectives_is_refused(text: str) -> None:
    with pytest.raises(FieldErrors) as refused:
        rule_files.generate_files(text)
    assert "file" in refused.value.errors


def test_budget_is_exact_and_labels_are_on_every_recorded_rule() -> None:
    found = rules(spec("labels", {"environment": "production"}))
    ids = {"sloth_id": "shop-orders", "sloth_service": "shop", "sloth_slo": "orders", "environment": "production"}
    assert found["slo:error_budget:ratio"] == {
        "record": "slo:error_budget:ratio",
        "expr": "vector(0.001)",
        "labels": ids,
    }
    assert all(ids.items() <= rule["labels"].items() for rule in found.values() if "record" in rule)
    assert found["slo:sli_error:ratio_rate6h"]["labels"] == ids | {"sloth_window": "6h"}


def test_alerts_need_each_factor_in_both_windows_and_traffic_in_the_long_one() -> None:
    found = rules(spec())
    for name, severity, pairs in (
        ("Orders page", "critical", [("14.4", "1h", "5m"), ("6", "6h", "30m")]),
        ("Orders ticket", "warning", [("3", "1d", "2h"), ("1", "3d", "6h")]),
    ):
        limits = re.findall(r"ratio_rate(\w+)\{.*?\} > \((\S+) \* 0\.001\)", found[name]["expr"])
        assert limits == [(window, factor) for factor, long, short in pairs for window in (short, long)]
        traffic = re.findall(r"slo:sli_total:increase(\w+)\{.*?\} >= 50", found[name]["expr"])
        assert traffic == [long for _, long, _ in pairs]
        assert found[name]["labels"]["severity"] == severity


def test_shipped_objectives_use_existing_metrics_and_labels() -> None:
    known = {row.name: {*row.labels} for row in documents.list_metrics()}
    for one in read_spec(SPEC.read_text()).slos:
        for selector in (one.sli.total, one.sli.errors, one.sli.good, one.sli.absent):
            name, _, matchers = (selector or one.sli.total).partition("{")
            labels = {*re.findall(r'(\w+)[=!]~?"', matchers)} - {"job", "le"}
            assert labels <= known[re.sub(r"_(bucket|count)$", "", name)]


@pytest.mark.parametrize(("total", "tests"), [("letters_total", 7), ("orders_total", 14)])
def test_objectives_with_the_same_metric_are_tested_separately(total: str, tests: int) -> None:
    other = MINIMAL["slos"][0] | {"name": "letters", "alert": "Letters", "sli": {"total": total, "errors": total}}
    made = rule_files.generate_files(spec("slos", [*MINIMAL["slos"], other]))[rule_files.TESTS]
    assert len(yaml.safe_load(made)["tests"]) == tests


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "slo.yml").write_text(spec())
    return tmp_path


def run(folder: Path, *words: str) -> Result:
    files = ("--spec", str(folder / "slo.yml"), "--into", str(folder / "prometheus"))
    return CliRunner().invoke(church, ["slo", "generate", *files, *words])


def test_generate_writes_world_readable_files_and_check_lists_differences(folder: Path) -> None:
    checked = run(folder, "--check")
    assert (checked.exit_code, checked.output.count("differs"), (folder / "prometheus").exists()) == (1, 2, False)
    assert run(folder).output.count("Wrote ") == 2
    assert (folder / "prometheus" / rule_files.RULES).stat().st_mode & 0o777 == 0o644
    assert (run(folder, "--check").exit_code, run(folder).output) == (0, "The rules match the objectives.\n")
    (folder / "prometheus" / rule_files.TESTS).write_text("")
    checked = run(folder, "--check")
    assert (checked.exit_code, checked.output.split()[0]) == (1, str(folder / "prometheus" / rule_files.TESTS))


def test_generate_names_the_invalid_field(folder: Path) -> None:
    (folder / "slo.yml").write_text(spec("slos.0.objective", 100))
    refused = run(folder)
    assert refused.exit_code == 1
    assert "slos[0].objective: This must be a percentage of at least 93.1 and below 100." in refused.output
    (folder / "slo.yml").write_bytes(b"\xff\xfe")
    assert "file: This is not UTF-8 text." in run(folder).output


def test_shipped_rules_match_the_shipped_objectives() -> None:
    assert slo.list_stale_files(SPEC.read_text(), documents.ROOT / "ops" / "prometheus") == []
