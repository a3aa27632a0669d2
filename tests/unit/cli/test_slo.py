"""``flask church slo generate``: writes the rules, or checks that they are up to date."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from church.cli.slo import slo_commands

SPEC = Path(__file__).parent.parent.parent.parent / "ops/slo.yml"


def generate(into: Path, *options: str, spec: Path = SPEC) -> Result:
    """Generate the rules of ``spec`` in the folder ``into``."""
    return CliRunner().invoke(slo_commands, ["generate", "--spec", f"{spec}", "--into", f"{into}", *options])


def test_generate_writes_each_file_once(tmp_path: Path) -> None:
    first = generate(tmp_path)
    assert first.exit_code == 0
    written = [line.removeprefix("Wrote ").removesuffix(".") for line in first.output.splitlines()]
    assert written
    assert all(Path(path).is_file() for path in written)
    assert generate(tmp_path).output == "The rules match the objectives.\n"


def test_check_names_files_that_differ_and_writes_nothing(tmp_path: Path) -> None:
    result = generate(tmp_path, "--check")
    assert result.exit_code == 1
    assert "differs from the objectives." in result.output
    assert list(tmp_path.iterdir()) == []
    generate(tmp_path)
    assert generate(tmp_path, "--check").exit_code == 0


@pytest.mark.parametrize(("text", "message"), [(b"\xff", "file: This is not UTF-8 text."), (b"slos: [{}]", "slos[0]")])
def test_invalid_objectives_are_reported_with_their_place(tmp_path: Path, text: bytes, message: str) -> None:
    spec = tmp_path / "slo.yml"
    spec.write_bytes(text)
    result = generate(tmp_path / "rules", spec=spec)
    assert result.exit_code == 1
    assert f"Error: {spec}: " in result.output
    assert message in result.output
