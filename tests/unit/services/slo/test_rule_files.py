"""The generated files: writing and comparing them, from the command line, and the shipped ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from church.cli import church
from church.errors import FieldErrors
from church.services import slo
from church.services.slo import rule_files
from church.services.slo.spec import read_spec
from ops import documents
from tests.support.slo_fixture import write_spec

SPEC = documents.ROOT / "ops" / "slo.yml"


@pytest.mark.parametrize(
    "text", ["", "- 1", "a: [", "slos: !!python/name:os.system", "service: 2024-99-99", "[" * 10_000]
)
def test_file_without_objectives_is_refused(text: str) -> None:
    with pytest.raises(FieldErrors) as refused:
        rule_files.generate_files(text)
    assert "file" in refused.value.errors


def test_shipped_objectives_use_existing_metrics_and_labels() -> None:
    known = {row.name: {*row.labels} for row in documents.list_metrics()}
    for one in read_spec(SPEC.read_text()).slos:
        for selector in (one.sli.total, one.sli.errors, one.sli.good, one.sli.absent):
            name, _, matchers = (selector or one.sli.total).partition("{")
            labels = {*re.findall(r'(\w+)[=!]~?"', matchers)} - {"job", "le"}
            assert labels <= known[re.sub(r"_(bucket|count)$", "", name)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "slo.yml").write_text(write_spec())
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
    (folder / "slo.yml").write_text(write_spec("slos.0.objective", 100))
    refused = run(folder)
    assert refused.exit_code == 1
    assert "slos[0].objective: This must be a percentage of at least 93.1 and below 100." in refused.output
    (folder / "slo.yml").write_bytes(b"\xff\xfe")
    assert "file: This is not UTF-8 text." in run(folder).output


def test_shipped_rules_match_the_shipped_objectives() -> None:
    assert slo.list_stale_files(SPEC.read_text(), documents.ROOT / "ops" / "prometheus") == []
