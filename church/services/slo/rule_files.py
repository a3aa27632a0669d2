"""Generate Prometheus' rule file and its tests from ``ops/slo.yml``, write them, or find those that are out of date."""

from __future__ import annotations

from pathlib import Path

from church.services.slo.rules import make_rule_groups
from church.services.slo.simulations import make_promtool_tests
from church.services.slo.spec import read_spec
from church.services.slo.yaml_text import dump_yaml

RULES = Path("rules/slo.yml")
TESTS = Path("tests/slo_test.yml")


def generate_files(spec: str) -> dict[Path, str]:
    """Make the rule and test files from the text of ``ops/slo.yml``, by their path in Prometheus' folder.

    Raises FieldErrors with the place of every error.
    """
    slos = read_spec(spec)
    return {
        RULES: dump_yaml({"groups": make_rule_groups(slos)}),
        TESTS: dump_yaml(make_promtool_tests(slos, Path("..") / RULES)),
    }


def write_stale_files(spec: str, folder: Path) -> list[Path]:
    """Write the files that are missing or out of date in ``folder``. Returns them. Raises FieldErrors, OSError."""
    changed = list_stale_files(spec, folder)
    files = generate_files(spec)
    for name in changed:
        path = folder / name
        if not path.parent.exists():
            path.parent.mkdir(parents=True)
            path.parent.chmod(0o755)
        path.write_text(files[name])
        path.chmod(0o644)  # Prometheus reads them as another user
    return changed


def list_stale_files(spec: str, folder: Path) -> list[Path]:
    """List the files in ``folder`` that are missing or out of date. Raises FieldErrors, OSError."""
    return [path for path, text in generate_files(spec).items() if _text(folder / path) != text]


def _text(path: Path) -> str | None:
    return path.read_text() if path.exists() else None
