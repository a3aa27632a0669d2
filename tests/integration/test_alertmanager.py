"""The shipped configuration of Alertmanager: receivers, texts of notifications, and inhibition."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ops.documents import ROOT
from tests.support.programs import needing, program
from tests.support.services_fixture import free_port, wait_until

pytestmark = pytest.mark.services

OPS = ROOT / "ops" / "alertmanager"
Labels = dict[str, str]


def amtool(*words: str) -> str:
    done = subprocess.run([program("amtool"), *words], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.needs("amtool")
@pytest.mark.parametrize(
    ("receivers", "labels"),
    [
        ("site,pager", "alertname=ChurchDown severity=critical"),
        ("site,pager", "alertname=ChurchLatencyBudget severity=critical sloth_slo=latency"),
        # Its cause opens the incident, and resolves when the problem is over.
        ("pager", "alertname=ChurchAvailabilityBudget severity=critical sloth_slo=availability"),
        ("pager", "alertname=NodeGone severity=critical"),
        ("chat", "alertname=ChurchSlow severity=warning"),
        ("chat", "alertname=DoraTimeToRestore severity=warning"),
        ("chat", "alertname=Unknown"),
        ("mail", "alertname=ChurchSeriesDropped severity=info"),
        ("heartbeat", "alertname=Watchdog severity=info"),
    ],
)
def test_alert_reaches_the_receivers_of_its_severity(receivers: str, labels: str) -> None:
    config = f"--config.file={OPS / 'alertmanager.yml'}"
    amtool("config", "routes", "test", config, f"--verify.receivers={receivers}", *labels.split())


@pytest.mark.needs("amtool")
def test_notification_has_problem_start_and_runbook(tmp_path: Path) -> None:
    alert = {
        "status": "resolved",
        "labels": {"alertname": "ChurchDown", "severity": "critical"},
        "annotations": {"summary": "Nobody answers", "description": "None does.", "runbook_url": "https://x/#down"},
        "startsAt": "2026-03-01T10:00:00Z",
        "endsAt": "2026-03-01T10:20:00Z",
    }
    data = {
        "status": "resolved",
        "alerts": [alert],
        "groupLabels": {"alertname": "ChurchDown", "environment": "production"},
        "commonAnnotations": alert["annotations"],
    }
    (tmp_path / "data.json").write_text(json.dumps(data))
    parts = "|".join(f'{{{{ template "church.{name}" . }}}}' for name in ("title", "runbook", "text"))
    where = (f"--template.glob={OPS / 'templates'}/*.tmpl", f"--template.data={tmp_path / 'data.json'}")
    output = amtool("template", "render", *where, f"--template.text={parts}")
    title, runbook, text = output.strip().split("|")
    assert (title, runbook) == ("[RESOLVED] ChurchDown (production)", "https://x/#down")
    assert text.splitlines() == [
        "Nobody answers: resolved",
        "None does.",
        "Since 2026-03-01 10:00:00 UTC, until 2026-03-01 10:20:00 UTC, critical. What to do: https://x/#down",
    ]


@pytest.fixture(scope="module")
@needing("prometheus-alertmanager")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run Alertmanager with the shipped configuration, without notifications. Yields its URL."""
    folder = tmp_path_factory.mktemp("alertmanager")
    shutil.copytree(OPS, folder / "etc")
    config = folder / "etc" / "alertmanager.yml"
    text = config.read_text()
    for wait in ("group_wait: 0s", "group_wait: 10s", "group_wait: 30s"):
        assert wait in text
        text = text.replace(wait, "group_wait: 1h")
    config.write_text(text)
    address = f"127.0.0.1:{free_port()}"
    server = subprocess.Popen(
        [
            program("prometheus-alertmanager"),
            f"--config.file={config}",
            f"--storage.path={folder / 'data'}",
            f"--web.listen-address={address}",
            "--cluster.listen-address=",
            "--log.level=error",
        ]
    )
    yield address
    server.terminate()
    server.wait(60)


def ask(address: str, what: str, sent: Any = None) -> Any:
    body = None if sent is None else json.dumps(sent).encode()
    request = urllib.request.Request(f"http://{address}{what}", body, {"Content-Type": "application/json"})
    with suppress(OSError), urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read() or b"true")
    return None


def alert(name: str, severity: str, environment: str, **labels: str) -> Labels:
    return {"alertname": name, "severity": severity, "environment": environment, "job": "church", **labels}


A, B = {"instance": "a:8000"}, {"instance": "b:8000"}


@pytest.mark.parametrize(
    ("cause", "silent", "active"),
    [
        (
            alert("ChurchDown", "critical", "one"),
            [alert("ChurchSlow", "warning", "one"), alert("ChurchSeriesDropped", "info", "one", **A)],
            [  # the end of an incident must be reported, so it is never inhibited
                alert("ChurchErrors", "critical", "one"),
                alert("ChurchSlow", "warning", "another"),
                alert("DoraTimeToRestore", "warning", "one"),
                alert("Watchdog", "info", "one"),
            ],
        ),
        (
            alert("ChurchHostDown", "warning", "two", **A),
            [alert("ChurchMemory", "warning", "two", **A)],
            [alert("ChurchMemory", "warning", "two", **B), alert("ChurchSlow", "warning", "two")],
        ),
        (
            alert("ChurchDatabaseDown", "critical", "three"),
            [
                alert("ChurchErrorsLinger", "warning", "three"),
                alert("ChurchMailsWait", "warning", "three"),
                alert("ChurchLoginBudget", "warning", "three", sloth_id="church-login"),
            ],
            [alert("ChurchAttacked", "warning", "three"), alert("ChurchDiskFills", "warning", "three", **A)],
        ),
        (
            alert("ChurchLiveBudget", "critical", "four", sloth_severity="page", sloth_id="church-live"),
            [alert("ChurchLiveBudget", "warning", "four", sloth_severity="ticket", sloth_id="church-live")],
            [alert("ChurchLatencyBudget", "warning", "four", sloth_severity="ticket", sloth_id="church-latency")],
        ),
    ],
    ids=lambda value: value["alertname"] if isinstance(value, dict) else "",
)
def test_only_consequences_of_a_cause_are_inhibited(
    alertmanager: str, cause: Labels, silent: list[Labels], active: list[Labels]
) -> None:
    sent = [{"labels": labels} for labels in (cause, *silent, *active)]
    wait_until(lambda: ask(alertmanager, "/api/v2/alerts", sent), "alerts are taken")

    def states() -> dict[frozenset[tuple[str, str]], str]:
        got = ask(alertmanager, "/api/v2/alerts?receiver=pager|chat|mail|heartbeat") or []
        return {frozenset(one["labels"].items()): one["status"]["state"] for one in got}

    expected = {frozenset(labels.items()): "suppressed" for labels in silent}
    expected |= {frozenset(labels.items()): "active" for labels in (cause, *active)}
    wait_until(lambda: expected.items() <= states().items(), f"{cause['alertname']} silences what follows from it")
