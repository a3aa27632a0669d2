"""The alerts of TELEMETRY.md, given to Prometheus' own tester: each fires in its trouble and is quiet without."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from church import documents
from tests.services_fixture import require

pytestmark = pytest.mark.services

ATTEMPTS = 'auth_attempts_total{type="login",outcome="%s"}'
WEBHOOKS = 'stripe_webhooks_total{event_type="other",status="%s"}'
STRIPE = 'outbound_request_duration_seconds_count{service="stripe",outcome="%s"}'
SMTP = 'outbound_request_duration_seconds_count{service="smtp",outcome="%s"}'
EVENTS = 'security_events_total{event_type="%s",severity="medium"}'
REQUESTS = 'http_requests_total{status_code="%s"}'

HEALTHY = {
    'up{job="church",instance="a"}': "1x60",
    'database_up{instance="a"}': "1x60",
    REQUESTS % 200: "0+600x60",
    ATTEMPTS % "success": "0+6x60",
    ATTEMPTS % "failed_credentials": "0+2x60",
    ATTEMPTS % "failed_throttled": "0x60",
    ATTEMPTS % "failed_error": "0x60",
    EVENTS % "login_throttled": "0x60",
    EVENTS % "csrf_refused": "0+1x60",
    SMTP % "success": "0+3x60",
    SMTP % "failed": "0x60",
    WEBHOOKS % "processed": "0+1x100",
    WEBHOOKS % "failed": "0 1x100",
    WEBHOOKS % "invalid_signature": "0 0 1x100",
    'stripe_subscriptions_active{instance="a",plan="friend",status="active"}': "30x100",
    STRIPE % "success": "0+3x60",
    STRIPE % "failed": "0+1x60",
    STRIPE % "refused": "0+9x60",
    "mail_pending": "0 2 0 1 0 3 0x54",
    'jobs_pending{kind="mails.send"}': "0 30 0x58",
    'jobs_dead{kind="mails.send",instance="a"}': "0 1 0x58",
    'jobs_dead{kind="billing.cancel",instance="a"}': "0x60",
}
TROUBLE = {
    "ChurchDown": {'up{job="church",instance="a"}': "1x10 0x50"},
    "ChurchErrors": {REQUESTS % 500: "0+12x60"},
    "ChurchDatabaseDown": {'database_up{instance="a"}': "1x10 0x50"},
    "ChurchLoginsFail": {ATTEMPTS % "failed_credentials": "0+60x60"},
    "ChurchAccountGuessed": {EVENTS % "login_throttled": "0+5x60"},
    "ChurchLoginsBreak": {ATTEMPTS % "failed_error": "0+2x60"},
    "ChurchFormsRefused": {EVENTS % "csrf_refused": "0+10x60"},
    "ChurchWebhooksFail": {WEBHOOKS % "failed": "0+1x60"},
    "ChurchWebhooksForged": {WEBHOOKS % "invalid_signature": "0+1x60"},
    "ChurchWebhooksSilent": {WEBHOOKS % "processed": "7x100"},
    "ChurchStripeFails": {STRIPE % "success": "5x60", STRIPE % "failed": "0+1x60"},
    "ChurchMailsWait": {"mail_pending": "0x5 1+1x55"},
    "ChurchMailServerFails": {SMTP % "success": "0x60", SMTP % "failed": "0+1x60"},
    "ChurchJobsWait": {'jobs_pending{kind="mails.send"}': "0x5 40x55"},
    "ChurchJobsDead": {'jobs_dead{kind="billing.cancel",instance="a"}': "0x5 1x55"},
}
SLOW = {"ChurchWebhooksSilent": ("1h", "75h")}  # step and time of those that need days; the others are asked in minutes


@pytest.fixture(scope="module")
def promtool() -> str:
    return require("promtool", shutil.which("promtool"), "apt-get install prometheus")


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    text = (documents.ROOT / "TELEMETRY.md").read_text()
    found = re.search(r"<!-- alerts -->\n```yaml\n(.*?)```\n<!-- /alerts -->", text, re.DOTALL)
    assert found is not None
    path = tmp_path_factory.mktemp("alerts") / "rules.yml"
    path.write_text(found[1])
    return path


def firing(
    promtool: str, rules: Path, series: dict[str, str], expected: str | None, step: str = "1m", at: str = "55m"
) -> str:
    """Run the tester, to whom the only alert that fires ``at`` that time is ``expected``; what it complains of."""
    samples = [{"labels": f'{{alertname="{expected}"}}', "value": 1}] if expected else []
    test: dict[str, Any] = {
        "rule_files": [str(rules)],
        "evaluation_interval": step,
        "tests": [
            {
                "interval": step,
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "promql_expr_test": [
                    {
                        "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                        "eval_time": at,
                        "exp_samples": samples,
                    }
                ],
            }
        ],
    }
    path = rules.with_name("test.yml")
    path.write_text(yaml.safe_dump(test))
    done = subprocess.run([promtool, "test", "rules", str(path)], check=False, capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_alert_rules_ask_for_metrics_that_exist(promtool: str, rules: Path) -> None:
    subprocess.run([promtool, "check", "rules", "--lint=all", "--lint-fatal", str(rules)], check=True)
    asked = set(re.findall(r"\b([a-z]+_[a-z_]+)\b(?! ?\()", re.sub(r'".*?"|\{.*?\}', "", rules.read_text())))
    known = {f"{row.name}{suffix}" for row in documents.catalogue() for suffix in ("", "_count", "_bucket", "_sum")}
    assert asked - known == set()


@pytest.mark.parametrize(("step", "at"), [("1m", "55m"), ("1h", "75h")])
def test_alerts_of_a_healthy_site_are_quiet(promtool: str, rules: Path, step: str, at: str) -> None:
    assert firing(promtool, rules, HEALTHY, None, step, at) == ""


def test_every_alert_has_its_trouble(rules: Path) -> None:
    (group,) = yaml.safe_load(rules.read_text())["groups"]
    assert [rule["alert"] for rule in group["rules"]] == list(TROUBLE)


@pytest.mark.parametrize("alert", TROUBLE)
def test_alert_in_its_trouble_fires_and_no_other(promtool: str, rules: Path, alert: str) -> None:
    assert firing(promtool, rules, HEALTHY | TROUBLE[alert], alert, *SLOW.get(alert, ())) == ""
