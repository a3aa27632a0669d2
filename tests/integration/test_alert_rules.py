"""The shipped alerts: promtool tests each with series that make it fire and series that do not.

The alerts of ops/slo.yml have generated tests of their own.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops import documents
from tests.support.programs import program

pytestmark = pytest.mark.services

OPS = documents.ROOT / "ops" / "prometheus"
OURS = sorted(path for path in (OPS / "rules").glob("*.yml") if path.name != "slo.yml")
TRIALS = sorted(path for path in (OPS / "tests").glob("*_test.yml") if path.name != "slo_test.yml")
ALWAYS = {"Watchdog"}


def alerts(*paths: Path) -> Iterator[dict[str, Any]]:
    for path in paths:
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from (rule for rule in group["rules"] if "alert" in rule)


def sections() -> dict[str, str]:
    """Read the text below each heading of the runbooks, by GitHub's anchor of the heading."""
    found = {}
    for part in re.split(r"^## ", (documents.ROOT / "docs" / "runbooks.md").read_text(), flags=re.MULTILINE)[1:]:
        heading, _, text = part.partition("\n")
        found[re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")] = text
    return found


@pytest.mark.needs("promtool")
@pytest.mark.parametrize("trial", TRIALS, ids=lambda path: path.stem)
def test_alerts_fire_only_for_their_problem(trial: Path) -> None:
    done = subprocess.run([program("promtool"), "test", "rules", trial], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_firing_and_a_silent_test() -> None:
    fires, silent = set(), set()
    for path in TRIALS:
        for trial in yaml.safe_load(path.read_text())["tests"]:
            for expectation in trial.get("alert_rule_test", ()):
                (fires if expectation["exp_alerts"] else silent).add(expectation["alertname"])
    named = {rule["alert"] for rule in alerts(*OURS)}
    assert (fires, silent) == (named, named - ALWAYS)


def test_every_alert_has_severity_and_runbook() -> None:
    runbooks = sections()
    for rule in alerts(*(OPS / "rules").glob("*.yml")):
        notes, name = rule["annotations"], rule["alert"]
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}, name
        assert notes["summary"], name
        assert notes["description"], name
        page, _, anchor = notes["runbook_url"].partition("#")
        assert page.endswith("/docs/runbooks.md"), name
        assert anchor in runbooks, name
        if "sloth_severity" not in rule["labels"]:
            assert f"`{name}`" in runbooks[anchor].split("\n\n")[0], name


def test_alert_rules_use_existing_metrics_of_the_site_only() -> None:
    given = {"job", "instance", "le"}
    known = {row.name: {*row.labels, *given} for row in documents.list_metrics()} | {"up": given}
    for rule in alerts(*OURS):
        selectors = re.findall(r"([a-z_]+)\{([^}]*)\}", rule["expr"])
        assert selectors or rule["alert"] in ALWAYS, rule["alert"]
        for name, selector in selectors:
            base = name if name in known else re.sub("_(bucket|count|sum)$", "", name)
            labels = set(re.findall(r"(\w+)(?:=~|!~|!=|=)", selector))
            assert labels <= known.get(base, set()), f"{name}{{{selector}}}"
            assert 'job="church"' in selector, f"{name}: Prometheus and others have metrics of such names too"
