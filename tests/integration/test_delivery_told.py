"""Deployments reported to a real site by the curl line of the docs and by the script of the shipped workflow."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.delivery_fixture import Repository
from tests.support.programs import program
from tests.support.site_fixture import ROOT, Site

pytestmark = [pytest.mark.services, pytest.mark.needs("bash", "curl", "git", "jq")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"), WEB_CONCURRENCY="1", METRICS_TOKEN="t" * 40)
    try:
        yield site.start()
    finally:
        site.stop()


@pytest.fixture(scope="module")
def token(site: Site) -> str:
    return site.run("token", "create", "CI", "--scope", "delivery:write").strip()


def figure(site: Site, name: str) -> tuple[float | None, int]:
    headers = {"Authorization": "Bearer " + "t" * 40, "Accept": "application/json"}
    status, body = site.get("/dora?from=2024-01-01", **headers)
    assert status == 200, body
    found = json.loads(body)["metrics"][name]
    return found["value"], found["n"]


def bash(script: str, folder: Path, **environment: str) -> str:
    """Run a script as GitHub runs a step with ``shell: bash``."""
    command = [program("bash"), "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_curl_line_of_the_docs_records_a_deployment(site: Site, token: str, tmp_path: Path) -> None:
    (line,) = re.findall(r"^ *(curl .*)$", (ROOT / "docs/dora.md").read_text(), re.MULTILINE)
    output = bash(line.replace("https://church.example", site.url), tmp_path, TOKEN=token)
    assert json.loads(output) == {"id": "2026-03-01.1", "outcome": "recorded"}
    assert figure(site, "lead_time_seconds")[1] == 1


def test_workflow_records_a_push_with_the_times_of_its_commits(site: Site, token: str, tmp_path: Path) -> None:
    steps = yaml.safe_load((ROOT / ".github/workflows/metrics.yml").read_text())["jobs"]["deployment"]["steps"]
    script, names = steps[1]["run"], steps[1]["env"]
    assert "${{" not in script  # text from outside never becomes part of the script
    repository = Repository(tmp_path)
    head = bash("git rev-parse HEAD", tmp_path).strip()
    environment = dict.fromkeys(names, "") | {
        "SITE_URL": site.url,
        "DELIVERY_TOKEN": token,
        "DELIVERY_ENVIRONMENT": "production",
        "GITHUB_SHA": head,
        "RUN_URL": "https://github.example/church/actions/runs/7",
        "MESSAGE": 'Hotfix: $(touch pwned) "; touch pwned',
    }
    before = figure(site, "lead_time_seconds")[1]
    environment |= {"GITHUB_RUN_ID": "7", "BEFORE": bash("git rev-parse v1", tmp_path).strip()}
    output = bash(script, tmp_path, **environment)
    assert json.loads(output) == {"id": "github-7", "outcome": "recorded"}
    assert figure(site, "lead_time_seconds")[1] == before + 4
    assert figure(site, "deployment_rework_rate") == (0.5, 2)
    repository.commit("after a forced push, or the first")
    head = bash("git rev-parse HEAD", tmp_path).strip()
    environment |= {"GITHUB_RUN_ID": "8", "BEFORE": "0" * 40, "GITHUB_SHA": head}
    output = bash(script, tmp_path, **environment)
    assert json.loads(output)["outcome"] == "recorded"
    assert figure(site, "lead_time_seconds")[1] == before + 5
    assert not (tmp_path / "pwned").exists()
