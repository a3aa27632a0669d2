"""The generated rules of the objectives pass promtool with their generated tests."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from church.services import slo
from church.services.slo import rule_files
from ops.documents import ROOT
from tests.support.programs import needing, program

pytestmark = pytest.mark.services

# The strictest and the loosest objective that are taken, with the least and much traffic.
EXTREMES = """
service: shop
runbooks: https://shop.example/runbooks
labels: {environment: production}
slos:
  - name: strict
    objective: 99.99
    description: Orders are taken.
    alert: Strict
    minimum: 1
    sli: {total: orders_total, good: 'orders_total{outcome="done"}'}
    samples: {good: ['orders_total{outcome="done"}'], error: ['orders_total{outcome="lost"}']}
  - name: loose
    objective: 93.1
    description: Letters are answered.
    alert: Loose
    minimum: 5000
    sli: {total: letters_total, errors: 'letters_total{outcome="lost"}'}
    samples: {good: ['letters_total{outcome="answered"}'], error: ['letters_total{outcome="lost"}']}
"""


@pytest.fixture(scope="module")
@needing("promtool")
def promtool() -> str:
    return program("promtool")


def tried(promtool: str, folder: Path) -> str:
    """Run promtool. Returns its complaints."""
    checks = (["check", "rules", "--lint=all", "--lint-fatal", rule_files.RULES], ["test", "rules", rule_files.TESTS])
    for words in checks:
        done = subprocess.run([promtool, *map(str, words)], check=False, capture_output=True, text=True, cwd=folder)
        if done.returncode:
            return done.stdout + done.stderr
    return ""


def test_shipped_rules_page_at_an_outage_ticket_a_slow_burn_clear_and_stay_silent_when_idle(promtool: str) -> None:
    assert tried(promtool, ROOT / "ops" / "prometheus") == ""


def test_rules_of_the_strictest_and_the_loosest_objective_pass_their_tests(promtool: str, tmp_path: Path) -> None:
    slo.write_stale_files(EXTREMES, tmp_path)
    assert tried(promtool, tmp_path) == ""
